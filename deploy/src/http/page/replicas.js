// All replicas: this one, and the others that it was told of with --peers.

function showReplicas(into, { replicas }) {
  into.hidden = replicas.length < 2;
  if (into.hidden) return;
  const rows = replicas.map((one) => ({ ...one, ...one.statistics, id: one.address }));
  const known = (row, figure) => (row.statistics ? figure(row) : UNKNOWN);
  const columns = [
    { name: "Replica", of: (row) => row.address },
    { name: "Answered", of: answered, tone: (row) => (row.failure ? "bad" : "ok"), why: (row) => row.failure ?? "" },
    { name: "Status", of: (row) => known(row, () => said(ofWorst(row).status)), tone: (row) => (row.statistics ? tone(ofWorst(row).status) : "warn"), why: (row) => (row.statistics ? ofWorst(row).reason : "") },
    { name: "Partitions", number: true, of: (row) => known(row, () => number(sum(row.lag, (spout) => spout.partitions.length))) },
    { name: "Lag", number: true, title: "Records that are not settled, of its partitions.", of: (row) => known(row, () => number(sum(row.lag, (spout) => spout.lag))) },
    { name: "Read /s", number: true, of: (row) => known(row, () => rate(sum(row.spouts, (spout) => spout.records_per_second))) },
    { name: "In flight", number: true, of: (row) => known(row, () => number(sum(row.spouts, (spout) => spout.in_flight_records))) },
    { name: "Memory", number: true, of: (row) => known(row, () => bytes(row.process.resident_bytes)) },
  ];
  table(into, "Replicas", columns, rows, (row) => row.address);
  const failures = rows.filter((row) => row.failure);
  nothing(into, failures.map((row) => row.failure).join("; ") || null);
}

/** When it last answered: what it says is that old. */
function answered({ address, age_seconds, failure }) {
  if (address === "here") return "now";
  if (age_seconds == null) return failure ? "never" : "not asked yet";
  return `${time(age_seconds)} ago`;
}

function ofWorst({ lag }) {
  return worstSpout(lag) ?? { status: "OK", reason: "" };
}
