// Asks the server again and again, shows the answers, and goes on by itself when the program was away
// or was started again. Each section is a function of the state into its element.

const SECTIONS = [
  ["verdict", showVerdict],
  ["demo", showDemo],
  ["graph", showGraph],
  ["wrong", showWrong],
  ["requests", showRequests],
  ["replicas", showReplicas],
  ["lag", showLag],
  ["records", showRecords],
  ["rejects", showRejects],
  ["documents", showDocuments],
  ["replays", showReplays],
  ["facts", showFacts],
];

/** Between two questions, in ms; at least ten times what an answer takes, so that the page costs little. */
const INTERVAL = 2000;
/** The same for a demonstration, in which all happens soon. */
const INTERVAL_DEMO = 1000;
const PATIENCE = 10000;
/** Points of the history that are kept: an hour's. */
const KEPT_MS = 3600 * 1000;

/** Sections that are about this replica alone. */
const OF_ONE = { "graph-title": "Topology", "wrong-title": "What is wrong", "facts-title": "Configuration" };

const state = { history: { times_ms: [], lines: new Map() } };
let answeredAt = null;
let build = null;

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
  if (!answer.ok) throw new Error(`${path} answers ${answer.status}`);
  return answer.json();
}

async function update() {
  const last = state.history.times_ms.at(-1) ?? 0;
  const paths = ["replicas", "accounting", "diagnostics", `history?after_ms=${last}`];
  const [all, accounting, diagnostics, history] = await Promise.all(paths.map(ask));
  const demo = await askDemo(diagnostics);
  const served = `${diagnostics.version} ${diagnostics.revision}`;
  if (build !== null && build !== served) return location.reload();
  build = served;
  // They are the same for as long as the program runs.
  if (state.started !== diagnostics.started) state.layouts = await ask("layouts");
  answeredAt = Date.now();
  // Times are those of the server's clock, which need not be that of the browser.
  const now = Date.parse(diagnostics.started) + diagnostics.uptime_seconds * 1000;
  // Nodes, what is wrong and the configuration are of this replica, and say so; all else is of all that answer.
  const { replicas, lag, accounting: accountingOfAll } = all;
  const own = replicas[0].statistics;
  const statistics = { ...own, ownLag: own.lag, lag };
  const answering = replicas.filter((one) => one.statistics && !one.failure);
  Object.assign(state, { statistics, replicas, answering, accounting, accountingOfAll, diagnostics, demo, now, started: diagnostics.started });
  remember(state.history, history, now - KEPT_MS);
  show();
}

/** Adds newer points; what was known of the program before a restart stays. */
function remember(kept, newer, from) {
  const before = kept.times_ms.length;
  kept.times_ms.push(...newer.times_ms);
  const figures = ["lag", "oldest_age_seconds", "incoming_per_second", "outgoing_per_second"];
  const unknown = (count) => new Array(count).fill(null);
  for (const line of newer.lines) {
    const id = [line.spout, line.topic, line.partition].join("\n");
    if (!kept.lines.has(id)) {
      const fresh = { spout: line.spout, topic: line.topic, partition: line.partition };
      figures.forEach((figure) => (fresh[figure] = unknown(before)));
      kept.lines.set(id, fresh);
    }
    figures.forEach((figure) => kept.lines.get(id)[figure].push(...line[figure]));
  }
  const gone = Math.max(0, kept.times_ms.findIndex((at) => at >= from));
  const total = kept.times_ms.length;
  for (const line of kept.lines.values()) {
    figures.forEach((figure) => {
      // Lines that the program does not know any more end in a gap.
      line[figure].push(...unknown(total - line[figure].length));
      line[figure].splice(0, gone);
    });
  }
  kept.times_ms.splice(0, gone);
}

function show() {
  const { diagnostics } = state;
  document.title = `${diagnostics.topology} – Isobar`;
  write(document.getElementById("topology"), diagnostics.topology);
  write(document.getElementById("version"), `version ${diagnostics.version}, up ${time(diagnostics.uptime_seconds)}`);
  for (const [id, title] of Object.entries(OF_ONE)) {
    write(document.getElementById(id), state.replicas.length > 1 ? `${title} (this replica)` : title);
  }
  for (const [id, section] of SECTIONS) section(document.getElementById(id), state);
}

function showConnection(error) {
  const shown = document.getElementById("connection");
  set(shown, { "data-tone": error ? "bad" : "ok", title: error ? String(error.message) : null });
  const since = answeredAt ? `; these figures are of ${clock(answeredAt, true)}` : "";
  write(shown, error ? `no answer, asking again${since}` : "live");
  document.body.classList.toggle("stale", Boolean(error));
}

async function live() {
  for (;;) {
    const start = performance.now();
    let error = null;
    if (!document.hidden) {
      try {
        await update();
      } catch (failure) {
        error = failure;
      }
      showConnection(error);
    }
    const took = performance.now() - start;
    const pause = error ? 1000 : Math.max(state.demo ? INTERVAL_DEMO : INTERVAL, 10 * took);
    await new Promise((done) => setTimeout(done, pause));
  }
}

live();
followReplays();
