// The account, with its difference, and why records were rejected.

const TERMS = [
  ["delivered", "Delivered", "The outside system took it."],
  ["already_present", "Already present", "The outside system had it already, under the same id."],
  ["dropped", "Dropped", "Left out on purpose, by a named policy."],
  ["dead_lettered", "Dead-lettered", "Rejected, and the dead letter is written."],
  ["handed_back", "Handed back", "Given back unfinished: the partition moved to another member, or the topology stopped."],
  ["in_flight", "In flight", "Read, and not settled yet."],
];

function showRecords(into, { accountingOfAll, replicas }) {
  const { total, spouts } = accountingOfAll;
  const bar = part(into, "div", "share");
  set(bar, { role: "img", "aria-label": TERMS.map(([name, word]) => `${word} ${number(total[name])}`).join(", ") });
  TERMS.forEach(([name, word]) => {
    const piece = part(bar, "span", name);
    const part_of = total.read > 0 ? total[name] / total.read : 0;
    piece.style.flexGrow = part_of;
    piece.hidden = total[name] === 0;
    set(piece, { title: `${word}: ${number(total[name])} (${(part_of * 100).toFixed(part_of < 0.01 ? 2 : 0)} %)` });
  });
  const columns = [
    { name: "Spout", of: (row) => row.name },
    { name: "Read", number: true, of: (row) => number(row.read), title: "Handed out by the spout." },
    ...TERMS.map(([name, word, title]) => ({ name: word, title, number: true, of: (row) => number(row[name]) })),
    {
      name: "Difference", number: true, title: "Read, and in none of the terms: anything but 0 is a bug.",
      of: (row) => number(row.difference), tone: (row) => (row.difference === 0 ? "ok" : "bad"),
    },
    { name: "Sent again", number: true, title: "Times that a record was sent again after a failure.", of: (row) => number(row.retried) },
    {
      name: "Lost", number: true, title: "Deleted at the source before it was read: no part of what was read.",
      of: (row) => number(row.lost), tone: (row) => (row.lost === 0 ? null : "bad"),
    },
  ];
  const rows = spouts.map((spout) => ({ ...spout, name: spout.spout }));
  if (rows.length !== 1) rows.push({ ...total, name: "all", sum: true });
  table(into, "What became of each record", columns, rows, (row) => row.name);
  const policies = Object.entries(total.dropped_by_policy);
  const dropped = policies.map(([policy, count]) => `${policy} ${number(count)}`).join(", ");
  const answering = replicas.filter((one) => one.statistics && !one.failure).length;
  const words = [
    replicas.length > 1 ? `The sums over ${answering} of ${replicas.length} replicas, those that answer.` : "",
    policies.length ? `Dropped by policy: ${dropped}.` : "",
  ];
  nothing(into, words.filter(Boolean).join(" ") || null);
}

function showRejects(into, { answering, replicas, accountingOfAll, demo }) {
  const bolts = answering.flatMap((one) => one.statistics.bolts);
  const found = bolts.flatMap((bolt) =>
    Object.entries(bolt.rejected_by_class).map(([reason, count]) => ({ bolt: bolt.bolt, reason, count })));
  const rows = groupedBy(found, (row) => `${row.bolt} ${row.reason}`)
    .map((same) => ({ ...same[0], count: sum(same, (row) => row.count) }));
  rows.sort((a, b) => b.count - a.count);
  into.querySelector(".scroll")?.toggleAttribute("hidden", rows.length === 0);
  if (rows.length === 0) return nothing(into, answering.length < replicas.length ? "No record was rejected by those that answer." : "No record was rejected.");
  const { read } = accountingOfAll.total;
  const lately = (row) => demo?.rejects.find((one) => one.bolt === row.bolt && one.class === row.reason)?.reason;
  const columns = [
    { name: "Bolt", of: (row) => row.bolt },
    { name: "Reason", of: (row) => row.reason },
    // Reasons may quote records, so only a demonstration shows them to everybody.
    ...(demo ? [{ name: "In words, lately", of: (row) => lately(row) ?? "" }] : []),
    { name: "Records", number: true, of: (row) => number(row.count), title: "Those sent again included." },
    { name: "Of what was read", number: true, of: (row) => (read > 0 ? `${((row.count / read) * 100).toFixed(2)} %` : UNKNOWN) },
  ];
  table(into, "Rejected records by bolt and reason", columns, rows, (row) => `${row.bolt} ${row.reason}`);
  nothing(into, "The dead letters have the reasons in full.");
}
