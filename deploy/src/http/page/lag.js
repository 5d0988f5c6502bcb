// Lag by spout and partition: a plot of the last hour, and a table of now.

const MEASURES = {
  lag: ["Records behind", (value) => number(value)],
  oldest_age_seconds: ["Age of the oldest", (value) => time(value)],
  rates: ["Records per second", (value) => rate(value)],
};
/** Lines of one plot; those that are furthest behind come first. */
const LINES_MAX = 8;

const chosen = { measure: "lag", of: "" };

function showLag(into, { statistics, history, now }) {
  const { lag } = statistics;
  into.hidden = lag.length === 0;
  if (lag.length === 0) return;
  choose(into, lag);
  const lines = linesOf(lag, history);
  const [label, format] = MEASURES[chosen.measure];
  plot(part(into, "div", "over-time"), label, [...history.times_ms, now], lines, format, now);
  showTable(into, lag);
}

/** What the plot shows: a measure, and spouts or the partitions of one. */
function choose(into, lag) {
  const controls = part(into, "div", "controls");
  if (!controls.firstChild) {
    const measures = Object.entries(MEASURES).map(([id, [name]]) => {
      const input = element("input", { type: "radio", name: "measure", value: id });
      input.checked = id === chosen.measure;
      return element("label", {}, input, element("span", {}, name));
    });
    const fieldset = element("fieldset", { class: "choice" }, element("legend", { class: "unseen" }, "Measure"), ...measures);
    fieldset.addEventListener("change", (event) => changed({ measure: event.target.value }));
    const select = element("select", { id: "lines-of" });
    select.addEventListener("change", () => changed({ of: select.value }));
    controls.append(fieldset, element("label", { class: "of" }, "Lines: ", select));
  }
  const select = controls.querySelector("select");
  const options = [["", "spouts"], ...lag.map((spout) => [spout.spout, `partitions of ${spout.spout}`])];
  if (select.options.length !== options.length) {
    select.replaceChildren(...options.map(([value, text]) => element("option", { value }, text)));
    select.value = chosen.of;
  }
}

function changed(choice) {
  Object.assign(chosen, choice);
  showLag(document.getElementById("lag"), state);
}

function linesOf(lag, history) {
  const kept = [...history.lines.values()];
  const find = (spout, one) => kept.find((line) => line.spout === spout.spout
    && line.topic === (one?.topic ?? null) && line.partition === (one?.partition ?? null));
  const values = (line, figure, current) => [...(line?.[figure] ?? history.times_ms.map(() => null)), current];
  const spout = lag.find((one) => one.spout === chosen.of);
  const subjects = spout
    ? [...spout.partitions].sort((a, b) => (b.lag ?? -1) - (a.lag ?? -1)).slice(0, LINES_MAX).sort(byName)
      .map((one) => [`${one.topic}/${one.partition}`, find(spout, one), one])
    : lag.slice(0, LINES_MAX).map((one) => [one.spout, find(one), one]);
  return subjects.flatMap(([name, line, current], place) => {
    const className = `line-${place}`;
    if (chosen.measure !== "rates") return [{ name, className, values: values(line, chosen.measure, current[chosen.measure]) }];
    return [["in", "incoming_per_second"], ["out", "outgoing_per_second"]].map(([way, figure]) => ({
      name: `${name} ${way}`, className: `${className} ${way}`, values: values(line, figure, current[figure]),
    }));
  });
}

function byName(a, b) {
  return a.topic.localeCompare(b.topic) || a.partition - b.partition;
}

function showTable(into, lag) {
  const sums = (spout) => ({ ...spout, topic: "all partitions", sum: true });
  const rows = lag.flatMap((spout) => [
    ...spout.partitions.map((one) => ({ spout: spout.spout, ...one })),
    ...(spout.partitions.length === 1 ? [] : [sums(spout)]),
  ]);
  const columns = [
    { name: "Partition", of: (row) => (row.sum ? row.topic : `${row.topic}/${row.partition}`) },
    { name: "Status", of: (row) => said(row.status), tone: (row) => tone(row.status), why: (row) => row.reason },
    { name: "Lag", number: true, title: "Records that are not settled; ≤ an upper bound.", of: (row) => records(row.lag, row.lag_exactness), why: offsets },
    { name: "Oldest", number: true, title: "Age of the oldest record that is not settled; ~ an estimate, ≤ an upper bound.", of: (row) => age(row.oldest_age_seconds, row.oldest_age_exactness) },
    { name: "In /s", number: true, title: "Over the last minute.", of: (row) => rate(row.incoming_per_second) },
    { name: "Out /s", number: true, title: "Over the last minute, or from one commit to another where that is longer.", of: (row) => rate(row.outgoing_per_second) },
    { name: "Caught up in", number: true, title: "At these rates; ~ an estimate.", of: (row) => (row.lag === 0 ? "–" : age(row.eta_seconds, row.eta_exactness)) },
    { name: "Headroom", number: true, title: "Until something is deleted unread.", of: headroom },
    { name: "Unread", number: true, title: "Records that have not been read.", of: (row) => share(row, "read_lag") },
    { name: "Open", number: true, title: "Offsets that were read, from the first one on that is not settled.", of: (row) => share(row, "open") },
    { name: "To commit", number: true, title: "Settled and not committed: they would be read again after a crash.", of: (row) => share(row, "commit_debt") },
  ];
  if (lag.length > 1) columns.unshift({ name: "Spout", of: (row) => row.spout });
  // Of this replica alone it would say the same in each row.
  if (rows.some((row) => !row.sum && row.owner !== "here")) columns.push({ name: "Read by", of: (row) => (row.sum ? "" : row.owner === "here" ? "this replica" : row.owner ?? "nobody") });
  table(into, "Lag by partition", columns, rows, (row) => `${row.spout} ${row.topic} ${row.partition ?? ""}`);
  showReasons(into, rows.filter((row) => !row.sum && row.status !== "OK"));
  const failures = lag.filter((spout) => spout.failure).map((spout) => `${spout.spout}: ${spout.failure}.${staleness([spout])}`);
  const empty = lag.filter((spout) => spout.partitions.length === 0 && !spout.failure).map((spout) => `${spout.spout} reads no partition: other members of group ${spout.group} have them.`);
  nothing(into, [...failures, ...empty].join(" ") || null);
}

/** Where a partition is, in offsets. */
function offsets(row) {
  if (row.sum) return null;
  const known = (offset) => (offset == null ? UNKNOWN : number(offset));
  return `Settled up to ${known(row.frontier ?? row.committed)}, end ${known(row.end)}, committed ${known(row.committed)}, first ${known(row.start)}.`;
}

/** Why partitions are not OK; those that wait for the same thing say so once. */
function showReasons(into, rows) {
  const by = new Map();
  rows.forEach((row) => by.set(row.reason, [...(by.get(row.reason) ?? []), `${row.topic}/${row.partition}`]));
  const list = part(into, "dl", "reasons");
  list.hidden = by.size === 0;
  while (list.children.length > by.size) list.lastChild.remove();
  [...by].forEach(([reason, partitions], place) => {
    const pair = list.children[place] ?? list.appendChild(element("div", {}, element("dt"), element("dd")));
    const more = partitions.length > 6 ? ` and ${partitions.length - 6} more` : "";
    write(pair.children[0], partitions.slice(0, 6).join(", ") + more);
    write(pair.children[1], reason);
  });
}

function share(row, figure) {
  return row.sum ? number(sum(row.partitions, (one) => one[figure])) : number(row[figure]);
}

function headroom(row) {
  if (row.lag === 0) return "–";
  if (row.headroom_seconds === "never") return "never";
  // Where size may delete sooner, the records say more.
  if (row.headroom_seconds != null && row.headroom_exactness !== "upper_bound") return age(row.headroom_seconds, row.headroom_exactness);
  return row.headroom_records == null ? UNKNOWN : `${number(row.headroom_records)} records`;
}
