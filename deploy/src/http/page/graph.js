// The graph: nodes in layers, from the spouts on, with what moves along the edges. Below it the same as a
// table, which screen readers and small screens are better off with.

/** Sizes of cards and of what is between them, along the layers and across: where layers go right, down, and down on a phone. */
const RIGHT = { down: false, width: 168, height: 84, along: 64, across: 26, letters: 17 };
const DOWN = { down: true, width: 168, height: 100, along: 42, across: 22, letters: 17 };
const NARROW = { down: true, width: 124, height: 100, along: 42, across: 14, letters: 12 };
/** Room for an edge that passes a layer. */
const LANE = 14;
/** Below this scale words cannot be read: the layers go down instead. */
const SCALE_MIN = 0.8;

let layout = null;

function showGraph(into, { statistics, accounting, diagnostics }) {
  const nodes = figuresOfNodes(statistics, accounting, diagnostics);
  const picture = part(into, "div", "picture");
  const room = picture.clientWidth - 12;
  const shape = JSON.stringify([diagnostics.plan.nodes.map((node) => node.id), diagnostics.plan.edges, room]);
  if (layout?.shape !== shape) {
    const ways = [RIGHT, DOWN, NARROW].map((card) => arrange(diagnostics.plan, card));
    layout = { shape, ...(ways.find((way) => room / way.width >= SCALE_MIN) ?? ways.at(-1)) };
    picture.replaceChildren(drawGraph(layout, diagnostics.plan, Math.min(1, Math.max(SCALE_MIN, room / layout.width))));
  }
  const image = picture.firstChild;
  const names = [...nodes.values()].map((node) => `${node.id} ${rate(node.perSecond)} per second`).join(", ");
  set(image, { "aria-label": `Topology of ${nodes.size} nodes: ${names}` });
  image.querySelectorAll(".node").forEach((card) => updateNode(card, nodes.get(card.dataset.id)));
  statistics.edges.forEach((edge, number) => updateEdge(image, edge, number, nodes));
  const details = part(into, "details", "table");
  write(part(details, "summary", "head"), "As a table");
  table(details, "Nodes of the topology", nodeColumns(), [...nodes.values()], (node) => node.id);
}

/** What is known of each node, by id. */
function figuresOfNodes(statistics, accounting, diagnostics) {
  const nodes = new Map(diagnostics.plan.nodes.map((node) => [node.id, { id: node.id, type: node.type }]));
  const conditions = Map.groupBy
    ? Map.groupBy(diagnostics.conditions, (one) => one.component)
    : new Map(diagnostics.conditions.map((one) => [one.component, [one]]));
  for (const spout of statistics.spouts) {
    const lag = statistics.lag.find((one) => one.spout === spout.spout);
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
      perSecond: bolt.records_per_second, fill: queue ? share : null, records: bolt.records,
      rejected: bolt.rejected, failures: bolt.failures, busy: bolt.busy_share,
      filled: queue ? `${number(bolt.waiting_batches)} of ${number(bolt.waiting_batches_max)} batches wait` : "no queue: part of the bolt before it",
      note: `busy ${percent(bolt.busy_share)}`, tone: "ok",
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
    { name: "Rejected", number: true, of: (node) => (node.spout ? "" : number(node.rejected)) },
    { name: "Failures", number: true, of: (node) => (node.spout ? "" : number(node.failures)), title: "Calls that ended in an error or a panic." },
    { name: "Busy", number: true, of: (node) => (node.spout ? "" : percent(node.busy)), title: "Of the time of all lanes." },
    { name: "Queue", of: (node) => node.filled },
    { name: "Bottleneck", of: (node) => (node.bottleneck ? "yes" : ""), tone: (node) => (node.bottleneck ? "warn" : null), why: (node) => node.bottleneck },
  ];
}

/** The node that a stream such as `parse` or `route.errors` comes from. */
function sourceOf(from, ids) {
  return ids.has(from) ? from : from.slice(0, from.lastIndexOf("."));
}

/**
 * Places nodes in layers by their longest way from a spout, and orders each layer by where its edges come
 * from and go to (Sugiyama). An edge that skips layers gets a place in each; those to one node share it.
 * What takes only rejected records is in the last layer, beside the sinks.
 */
function arrange(plan, card) {
  const { down } = card;
  const ids = new Set(plan.nodes.map((node) => node.id));
  const edges = plan.edges.map((edge) => ({ from: sourceOf(edge.from, ids), to: edge.to, rejected: edge.from.endsWith(".rejected") }));
  const layerOf = new Map(plan.nodes.map((node) => [node.id, 0]));
  // Nodes come in the order of processing, so one pass sees each edge after what leads to it.
  const settle = () => plan.nodes.forEach(({ id }) => edges.filter((edge) => edge.from === id && !edge.rejected)
    .forEach((edge) => layerOf.set(edge.to, Math.max(layerOf.get(edge.to), layerOf.get(id) + 1))));
  settle();
  const last = Math.max(...layerOf.values());
  const inputs = (id) => edges.filter((edge) => edge.to === id);
  const letters = plan.nodes.filter(({ id }) => inputs(id).length > 0 && inputs(id).every((edge) => edge.rejected));
  letters.forEach(({ id }) => layerOf.set(id, last));
  settle();
  const layers = Array.from({ length: Math.max(...layerOf.values()) + 1 }, () => []);
  const items = new Map();
  const item = (id, layer, real) => {
    if (!items.has(id)) {
      items.set(id, { id, real, near: [] });
      layers[layer].push(items.get(id));
    }
    return items.get(id);
  };
  plan.nodes.forEach((node) => item(node.id, layerOf.get(node.id), true));
  const paths = edges.map((edge) => {
    const path = [items.get(edge.from)];
    for (let layer = layerOf.get(edge.from) + 1; layer < layerOf.get(edge.to); layer += 1) {
      path.push(item(`${layer}\n${edge.to}`, layer, false));
    }
    path.push(items.get(edge.to));
    path.slice(1).forEach((next, place) => {
      path[place].near.push(next);
      next.near.push(path[place]);
    });
    return path;
  });
  const size = (one) => (one.real ? (down ? card.width : card.height) : LANE);
  const place = (layer) => {
    const total = layer.reduce((sum, one) => sum + size(one) + card.across, -card.across);
    let at = -total / 2;
    layer.forEach((one) => {
      one.across = at + size(one) / 2;
      at += size(one) + card.across;
    });
  };
  layers.forEach(place);
  const mean = (one) => one.near.reduce((total, near) => total + near.across, 0) / Math.max(1, one.near.length);
  for (let sweep = 0; sweep < 6; sweep += 1) {
    for (const layer of sweep % 2 ? [...layers].reverse() : layers) {
      layer.sort((a, b) => mean(a) - mean(b));
      place(layer);
    }
  }
  const all = [...items.values()];
  const least = Math.min(...all.map((one) => one.across - size(one) / 2));
  const most = Math.max(...all.map((one) => one.across + size(one) / 2));
  const thick = down ? card.height : card.width;
  const step = thick + card.along;
  layers.forEach((layer, number) => layer.forEach((one) => {
    const along = number * step + thick / 2;
    const across = one.across - least;
    Object.assign(one, down ? { x: across, y: along } : { x: along, y: across });
  }));
  const length = (layers.length - 1) * step + thick;
  return {
    card, items, paths,
    // With room for marks above cards and for edges around the last layer.
    width: (down ? most - least + 20 : length + 50),
    height: (down ? length : most - least) + 56,
  };
}

function drawGraph({ card, items, paths, width, height }, plan, scale) {
  const { down } = card;
  const short = (text) => (text.length > card.letters ? `${text.slice(0, card.letters - 1)}…` : text);
  const lines = paths.map((path, number) => {
    const edge = plan.edges[number];
    const curve = curveThrough(path, card);
    const kind = edge.to === "dead_letter" ? "edge letters" : "edge";
    return drawn("g", { class: kind, "data-edge": number },
      drawn("title"), drawn("path", { class: "line", d: curve.d }), drawn("text", { class: "label", x: curve.x, y: curve.y }));
  });
  const low = card.height;
  const cards = [...items.values()].filter((one) => one.real).map((one) => drawn("g",
    { class: "node", "data-id": one.id, transform: `translate(${one.x - card.width / 2} ${one.y - low / 2})` },
    drawn("title"),
    drawn("rect", { class: "card", width: card.width, height: low, rx: 8 }),
    drawn("rect", { class: "stripe", width: 5, height: low - 16, x: 6, y: 8, rx: 2.5 }),
    drawn("text", { class: "id", x: 20, y: 24 }, short(one.id)),
    drawn("text", { class: "type", x: 20, y: 41 }),
    drawn("text", { class: "rate", x: 20, y: 62 }),
    drawn("text", down ? { class: "busy", x: 20, y: 80 } : { class: "busy", x: card.width - 12, y: 62, "text-anchor": "end" }),
    drawn("rect", { class: "track", width: card.width - 32, height: 5, x: 20, y: low - 13, rx: 2.5 }),
    drawn("rect", { class: "fill", width: 0, height: 5, x: 20, y: low - 13, rx: 2.5 }),
    drawn("text", { class: "mark", x: card.width / 2, y: -7, "text-anchor": "middle" })));
  const arrow = drawn("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto", markerUnits: "userSpaceOnUse" },
    drawn("path", { d: "M0 0.5 8 4 0 7.5z" }));
  return drawn("svg", { role: "img", width: width * scale, height: height * scale, viewBox: `${down ? -10 : -25} -22 ${width} ${height}` },
    drawn("defs", {}, arrow), ...lines, ...cards);
}

/** A curve from card to card through the places between them, and where its label goes. */
function curveThrough(path, card) {
  const { down } = card;
  const half = (one) => (one.real ? (down ? card.height : card.width) / 2 : LANE);
  const point = (one, side) => (down ? [one.x, one.y + side * half(one)] : [one.x + side * half(one), one.y]);
  const [first, end] = [path[0], path.at(-1)];
  if (path.length === 2 && (down ? first.y === end.y : first.x === end.x)) {
    // Within the layer: around, on the far side.
    const [x1, y1] = point(first, 1);
    const [x2, y2] = point(end, 1);
    const bend = 26;
    return down
      ? { d: `M${x1} ${y1}C${x1} ${y1 + bend} ${x2} ${y2 + bend} ${x2} ${y2}`, x: (x1 + x2) / 2, y: y1 + bend }
      : { d: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 + bend} ${y2} ${x2} ${y2}`, x: x1 + bend, y: (y1 + y2) / 2 };
  }
  let d = "";
  let label = null;
  for (let place = 1; place < path.length; place += 1) {
    const [x1, y1] = point(path[place - 1], 1);
    const [x2, y2] = point(path[place], -1);
    if (place === 1) d += `M${x1} ${y1}`;
    else d += `L${x1} ${y1}`;
    const [mx, my] = [(x1 + x2) / 2, (y1 + y2) / 2];
    d += down ? `C${x1} ${my} ${x2} ${my} ${x2} ${y2}` : `C${mx} ${y1} ${mx} ${y2} ${x2} ${y2}`;
    // Nearer to where it goes: edges that fan out begin in one place.
    label ??= down ? [(mx + x2) / 2, my + 6] : [mx, (my + y2) / 2 - 7];
  }
  return { d, x: label[0], y: label[1] };
}

function updateNode(card, node) {
  if (!node) return;
  set(card, { "data-tone": node.tone ?? "calm", class: node.bottleneck ? "node bottleneck" : "node" });
  const [title, , , , kind, perSecond, busy, track, fill, mark] = card.children;
  const lines = [`${node.id} (${node.type})`, `${rate(node.perSecond)} records per second, ${number(node.records)} in all`, node.filled, node.reason, node.bottleneck && `Bottleneck: ${node.bottleneck}`];
  write(title, lines.filter(Boolean).join("\n"));
  const { letters } = layout.card;
  const said = node.status ?? node.type;
  write(kind, said.length > letters + 2 ? `${said.slice(0, letters + 1)}…` : said);
  set(kind, { class: node.status ? "status" : "type" });
  write(perSecond, `${rate(node.perSecond)} /s`);
  write(busy, node.note ?? "");
  write(mark, node.bottleneck ? "bottleneck" : "");
  set(track, { visibility: node.fill == null ? "hidden" : null });
  set(fill, { width: track.getAttribute("width") * (node.fill ?? 0), "data-tone": fillTone(node.fill) });
}

function updateEdge(image, edge, place, nodes) {
  const line = image.querySelector(`[data-edge="${place}"]`);
  const to = nodes.get(edge.to);
  if (!line || !to) return;
  const [title, path, label] = line.children;
  const moving = edge.records_per_second > 0;
  write(title, `${edge.from} to ${edge.to}: ${rate(edge.records_per_second)} records per second, ${number(edge.records)} in all; ${to.filled}`);
  write(label, moving ? `${rate(edge.records_per_second)} /s` : "");
  set(line, { "data-moving": moving ? "" : null, "data-tone": fillTone(to.fill) });
  // From 1.5 to 5, by the order of magnitude.
  path.style.strokeWidth = moving ? Math.min(5, 1.5 + Math.log10(1 + edge.records_per_second) * 0.6) : 1.5;
}
