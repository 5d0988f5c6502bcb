// What is wrong now, what is held, and with which configuration it runs.

function showWrong(into, { diagnostics, statistics, now }) {
  const conditions = diagnostics.conditions.map((one) => ({
    where: one.component, what: one.kind, text: one.text, since: one.since,
  }));
  const said_of = new Set(conditions.map((one) => one.where));
  const rest = diagnostics.reasons.filter((reason) => ![...said_of].some((id) => reason.startsWith(`${id}: `)));
  const other = rest.map((text) => ({ where: "topology", what: "not ready", text, since: null }));
  const held = statistics.ownLag.flatMap((spout) => spout.partitions
    .filter((one) => one.status === "HELD" || one.status === "LOST")
    .map((one) => ({ where: `${spout.spout}: ${one.topic}/${one.partition}`, what: said(one.status), text: one.reason, since: null })));
  const rows = [...conditions, ...held, ...other];
  into.hidden = rows.length === 0;
  if (rows.length === 0) return;
  const columns = [
    { name: "Where", of: (row) => row.where },
    { name: "What", of: (row) => row.what, tone: (row) => (row.what === "held" || row.what === "lost" ? "bad" : "warn") },
    { name: "Why, and what it waits for", of: (row) => row.text },
    { name: "For", number: true, of: (row) => (row.since ? time(Math.max(0, (now - Date.parse(row.since)) / 1000)) : "") },
  ];
  table(into, "What is wrong", columns, rows, (row) => `${row.where} ${row.what} ${row.since ?? row.text}`);
  into.querySelector("table").classList.add("words");
}

function showFacts(into, { diagnostics }) {
  const facts = part(into, "dl", "pairs");
  const { plan } = diagnostics;
  const all = [
    ["Started", new Date(diagnostics.started).toLocaleString("en-GB")],
    ["Process", String(diagnostics.process)],
    ["Lanes", `${diagnostics.lanes.length}${diagnostics.lanes.some((lane) => lane.ended) ? ", some have ended" : ""}`],
    ["Queues", `${number(plan.bounds.queue_batches)} batches, ${bytes(plan.bounds.queue_bytes)} each`],
    ["Memory bound", bytes(plan.memory.total)],
    ...(diagnostics.configuration_file ? [["Topology file", diagnostics.configuration_file]] : []),
    ["Configuration hash", diagnostics.configuration_hash],
  ];
  all.forEach(([name, value]) => {
    const pair = part(facts, "div", name.toLowerCase().replaceAll(" ", "-"));
    write(part(pair, "dt", "name"), name);
    write(part(pair, "dd", "value"), value);
  });
  const shown = part(into, "details", "configuration");
  write(part(shown, "summary", "head"), "The topology file with all defaults, secrets hidden");
  const text = part(shown, "pre", "text");
  set(text, { tabindex: 0 });
  write(text, yaml(diagnostics.configuration, ""));
}

/** JSON as YAML, to be read. */
function yaml(value, indent) {
  if (value === null || typeof value !== "object") return `${scalar(value)}\n`;
  const entries = Object.entries(value);
  if (entries.length === 0) return Array.isArray(value) ? "[]\n" : "{}\n";
  if (Array.isArray(value) && value.every((one) => one === null || typeof one !== "object")) {
    return `[${value.map(scalar).join(", ")}]\n`;
  }
  return (indent ? "\n" : "") + entries.map(([key, one]) => {
    const head = Array.isArray(value) ? "-" : `${key}:`;
    return `${indent}${head} ${yaml(one, `${indent}  `)}`.replace(/ \n/, "\n");
  }).join("");
}

function scalar(value) {
  const plain = typeof value === "string" && /^[A-Za-z0-9_./<>][A-Za-z0-9_./:<>-]*$/.test(value) && !/^(true|false|null|[0-9.]+)$/.test(value);
  return plain ? value : JSON.stringify(value);
}
