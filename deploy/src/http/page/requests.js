// Requests of bolts to outside systems, by host: how many, and how long they take. Of several replicas rates and
// counts are sums, and times those of the replica for which the host is slowest.

function showRequests(into, { answering }) {
  const bolts = answering.flatMap((one) => one.statistics.bolts);
  const found = bolts.flatMap((bolt) => bolt.requests.map((one) => ({ ...one, bolt: bolt.bolt })));
  const rows = groupedBy(found, (row) => `${row.bolt} ${row.host}`).map(together);
  into.hidden = rows.length === 0;
  if (into.hidden) return;
  const columns = [
    { name: "Bolt", of: (row) => row.bolt },
    { name: "Host", of: (row) => row.host },
    { name: "Requests /s", number: true, title: "Over the last ten seconds.", of: (row) => rate(row.requests_per_second) },
    { name: "Half within", number: true, title: "Of the last ten seconds, from when a request is sent to the end of its answer.", of: (row) => took(row, row.half_within_seconds) },
    { name: "99 % within", number: true, title: "Of the last ten seconds.", of: (row) => took(row, row.most_within_seconds) },
    { name: "Requests", number: true, title: "Since the start, those sent again included.", of: (row) => number(row.requests) },
  ];
  table(into, "Requests by bolt and host", columns, rows, (row) => `${row.bolt} ${row.host}`);
}

function together(rows) {
  const asked = rows.filter((row) => row.requests_per_second > 0);
  const total = (figure) => sum(rows, (row) => row[figure]);
  const slowest = (figure) => longest(asked, (row) => row[figure]);
  return {
    ...rows[0], requests: total("requests"), requests_per_second: total("requests_per_second"),
    half_within_seconds: slowest("half_within_seconds"), most_within_seconds: slowest("most_within_seconds"),
  };
}

/** A bound of the histogram; without one, what was asked took longer than it reaches. */
function took({ requests_per_second: perSecond }, seconds) {
  if (perSecond == null) return UNKNOWN;
  if (perSecond === 0) return "–";
  return seconds == null ? "> 5 min" : `≤ ${time(seconds)}`;
}
