// The graph: nodes in layers, from the spouts on, with what moves along the edges. Where they stand comes
// from the server. Below it the same as a table, which screen readers and small screens are better off with.

/** Below this scale words cannot be read: the layers go down instead. */
const SCALE_MIN = 0.8;

let layout = null;

function showGraph(into, { statistics, accounting, diagnostics, layouts }) {
  const nodes = figuresOfNodes(statistics, accounting, diagnostics);
  const picture = part(into, "div", "picture");
  const room = picture.clientWidth - 12;
  if (layout?.of !== layouts || layout.room !== room) {
    const chosen = layouts.find((way) => room / way.view[2] >= SCALE_MIN) ?? layouts.at(-1);
    layout = { ...chosen, of: layouts, room };
    const scale = Math.min(1, Math.max(SCALE_MIN, room / layout.view[2]));
    picture.replaceChildren(drawGraph(layout, scale));
    set(picture, { tabindex: 0, role: "region", "aria-label": "Picture of the topology" });
    scrollToSpouts(picture, layout, scale, new Set(statistics.spouts.map((one) => one.spout)));
  }
  const image = picture.firstChild;
  const names = [...nodes.values()].map((node) => `${node.id} ${rate(node.perSecond)} per second`).join(", ");
  set(image, { "aria-label": `Topology of ${nodes.size} nodes: ${names}` });
  image.querySelectorAll(".node").forEach((card) => updateNode(card, nodes.get(card.dataset.id)));
  image.querySelectorAll(".edge").forEach((drawing, number) => updateLine(drawing, layout.lines[number], statistics.edges, nodes));
  const details = part(into, "details", "table");
  write(part(details, "summary", "head"), "As a table");
  table(details, "Nodes of the topology", nodeColumns(), [...nodes.values()], (node) => node.id);
}

/** Wide topologies are larger than the box: it shows first where records come in, and not a corner without cards. */
function scrollToSpouts(picture, { form, nodes, view }, scale, spouts) {
  const places = nodes.filter((node) => spouts.has(node.id)).map((node) => (form.down ? node.x - view[0] : node.y - view[1]));
  const middle = scale * (Math.min(...places) + Math.max(...places)) / 2;
  picture.scrollTo(form.down ? { left: middle - picture.clientWidth / 2, top: 0 } : { left: 0, top: middle - picture.clientHeight / 2 });
}

/** What is known of each node, by id. */
function figuresOfNodes(statistics, accounting, diagnostics) {
  const nodes = new Map(diagnostics.plan.nodes.map((node) => [node.id, { id: node.id, type: node.type }]));
  const conditions = Map.groupBy
    ? Map.groupBy(diagnostics.conditions, (one) => one.component)
    : new Map(diagnostics.conditions.map((one) => [one.component, [one]]));
  for (const spout of statistics.spouts) {
    const lag = statistics.ownLag.find((one) => one.spout === spout.spout);
    const share = Math.max(spout.in_flight_records / spout.in_flight_records_max, spout.in_flight_bytes / spout.in_flight_bytes_max);
    Object.assign(nodes.get(spout.spout) ?? {}, {
      spout: true, perSecond: spout.records_per_second, fill: Math.min(1, share),
      records: accounting.spouts.find((one) => one.spout === spout.spout)?.read,
      filled: `${percent(Math.min(1, share))} of what may be in flight`, note: `in flight ${percent(Math.min(1, share))}`,
      status: lag && lag.status !== "OK" ? said(lag.status) : null, tone: lag ? tone(lag.status) : "ok", reason: lag?.reason,
    });
  }
  for (const bolt of statistics.bolts) {
    const queue = bolt.waiting_batches != null;
    const share = queue ? bolt.waiting_batches / bolt.waiting_batches_max : null;
    Object.assign(nodes.get(bolt.bolt) ?? {}, {
      perSecond: bolt.records_per_second, fill: queue ? share : null,
      records: bolt.records - bolt.records_again, again: bolt.records_again,
      rejected: bolt.rejected, failures: bolt.failures, busy: bolt.busy_share,
      filled: queue ? `${number(bolt.waiting_batches)} of ${number(bolt.waiting_batches_max)} batches wait` : "no queue: part of the bolt before it",
      note: bolt.again_per_second > 0 ? `again ${rate(bolt.again_per_second)} /s` : `busy ${percent(bolt.busy_share)}`, tone: "ok",
      bottleneck: statistics.bottleneck?.bolt === bolt.bolt ? statistics.bottleneck.reason : null,
    });
  }
  for (const [id, found] of conditions) {
    const kind = found[0].kind;
    Object.assign(nodes.get(id) ?? {}, { status: kind, tone: kind === "held" ? "bad" : "warn", reason: found[0].text });
  }
  return nodes;
}

function nodeColumns() {
  return [
    { name: "Node", of: (node) => node.id },
    { name: "Type", of: (node) => node.type },
    { name: "Status", of: (node) => node.status ?? "OK", tone: (node) => node.tone, why: (node) => node.reason },
    { name: "Records/s", number: true, of: (node) => rate(node.perSecond) },
    { name: "Records", number: true, of: (node) => number(node.records) },
    { name: "Sent again", number: true, of: (node) => (node.spout ? "" : number(node.again)), title: "Records that it was sent once more after a failure: no part of the two figures before." },
    { name: "Rejected", number: true, of: (node) => (node.spout ? "" : number(node.rejected)) },
    { name: "Failures", number: true, of: (node) => (node.spout ? "" : number(node.failures)), title: "Calls that ended in an error or a panic." },
    { name: "Busy", number: true, of: (node) => (node.spout ? "" : percent(node.busy)), title: "Of the time of all lanes." },
    { name: "Queue", of: (node) => node.filled },
    { name: "Bottleneck", of: (node) => (node.bottleneck ? "yes" : ""), tone: (node) => (node.bottleneck ? "warn" : null), why: (node) => node.bottleneck },
  ];
}

function drawGraph({ form, nodes, lines, view }, scale) {
  const { down } = form;
  const short = (text) => (text.length > form.letters ? `${text.slice(0, form.letters - 1)}…` : text);
  const drawings = lines.map((line) => drawn("g", { class: line.rejected ? "edge letters" : "edge" },
    drawn("title"), drawn("path", { class: line.arrives ? "line arrives" : "line", d: line.d }),
    ...(line.label ? [drawn("text", { class: "label", x: line.label.x, y: line.label.y, "text-anchor": line.label.anchor })] : [])));
  const low = form.height;
  const cards = nodes.map((one) => drawn("g",
    { class: "node", "data-id": one.id, transform: `translate(${one.x - form.width / 2} ${one.y - low / 2})` },
    drawn("title"),
    drawn("rect", { class: "card", width: form.width, height: low, rx: 8 }),
    drawn("rect", { class: "stripe", width: 5, height: low - 16, x: 6, y: 8, rx: 2.5 }),
    drawn("text", { class: "id", x: 20, y: 24 }, short(one.id)),
    drawn("text", { class: "type", x: 20, y: 41 }),
    drawn("text", { class: "rate", x: 20, y: 62 }),
    drawn("text", down ? { class: "busy", x: 20, y: 80 } : { class: "busy", x: form.width - 12, y: 62, "text-anchor": "end" }),
    drawn("rect", { class: "track", width: form.width - 32, height: 5, x: 20, y: low - 13, rx: 2.5 }),
    drawn("rect", { class: "fill", width: 0, height: 5, x: 20, y: low - 13, rx: 2.5 })));
  const arrow = drawn("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 9, markerHeight: 9, orient: "auto", markerUnits: "userSpaceOnUse" },
    drawn("path", { d: "M0 0.5 8 4 0 7.5z" }));
  return drawn("svg", { role: "img", width: view[2] * scale, height: view[3] * scale, viewBox: view.join(" ") },
    drawn("defs", {}, arrow), ...drawings, ...cards);
}

function updateNode(card, node) {
  if (!node) return;
  set(card, { "data-tone": node.tone ?? "calm", class: node.bottleneck ? "node bottleneck" : "node" });
  const [title, , , , kind, perSecond, busy, track, fill] = card.children;
  const lines = [`${node.id} (${node.type})`, `${rate(node.perSecond)} records per second, ${number(node.records)} in all`, node.filled, node.reason, node.bottleneck && `Bottleneck: ${node.bottleneck}`];
  write(title, lines.filter(Boolean).join("\n"));
  const { letters } = layout.form;
  const mark = node.status ?? (node.bottleneck ? "bottleneck" : null);
  const said = mark ?? node.type;
  write(kind, said.length > letters + 2 ? `${said.slice(0, letters + 1)}…` : said);
  set(kind, { class: mark ? "status" : "type" });
  write(perSecond, `${rate(node.perSecond)} /s`);
  write(busy, node.note ?? "");
  set(track, { visibility: node.fill == null ? "hidden" : null });
  set(fill, { width: track.getAttribute("width") * (node.fill ?? 0), "data-tone": fillTone(node.fill) });
}

/** Shows what moves along a line, which several edges may take. */
function updateLine(drawing, line, all, nodes) {
  const edges = line.edges.map((number) => all[number]);
  const to = nodes.get(edges[0].to);
  if (!to) return;
  const [title, path, label] = drawing.children;
  const perSecond = edges.reduce((sum, edge) => sum + (edge.records_per_second ?? 0), 0);
  const said = edges.map((edge) => `${edge.from} to ${edge.to}: ${rate(edge.records_per_second)} records per second, ${number(edge.records)} in all`);
  write(title, [...said, to.filled].join("\n"));
  const moving = perSecond > 0;
  if (label) write(label, moving ? `${rate(perSecond)} /s` : "");
  set(drawing, { "data-moving": moving ? "" : null, "data-tone": fillTone(to.fill) });
  // From 1.5 to 5, by the order of magnitude.
  path.style.strokeWidth = moving ? Math.min(5, 1.5 + Math.log10(1 + perSecond) * 0.6) : 1.5;
}
