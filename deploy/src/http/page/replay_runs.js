// Runs of replays, on whatever hosts they are or were: how they get on, what can be wanted of them, and
// what the index said of them.

/** Runs that are shown, the latest. */
const RUNS_MAX = 20;
/** Over which time the rate of a run is taken, in ms. */
const RATE_OVER = 30000;
/** Why a run waits that an operator has told to. */
const BY_OPERATOR = "an operator paused it";
/** What the register says of a run whose process knows more. */
const FAILED = "it failed";

const TONES = { starting: "calm", running: "calm", paused: "warn", done: "ok", stopped: "warn", lost: "bad", aborted: "warn", "not begun": "bad", refused: "bad" };
/** Of runs that are done: with whatever else nobody has found it to be as it should. */
const VERDICTS = { exact: "ok", wrong: "bad" };

function showRuns(into, begun) {
  const head = part(into, "h3", "head");
  set(head, { tabindex: -1 });
  write(head, "Runs");
  const runs = replays.runs.slice(0, RUNS_MAX);
  const none = replays.known ? "No replay has been run." : "Asking for the runs.";
  const more = replays.runs.length - runs.length;
  const rest = more > 0 ? `${number(more)} earlier ones are told by isobar replay list --limit 0.` : null;
  const old = part(into, "p", "told");
  const since = replays.heard ? `Not heard since ${clock(replays.heard, true)}` : "Not heard yet";
  tell(old, replays.failure && `${since}: ${replays.failure}`, "bad");
  const list = part(into, "ol", "runs");
  set(list, { class: replays.failure ? "runs old" : "runs" });
  nothing(into, runs.length === 0 ? (replays.failure ? null : none) : rest);
  const known = new Map([...list.children].map((line) => [line.dataset.run, line]));
  runs.forEach((run, place) => {
    const line = known.get(run.id) ?? element("li", { "data-run": run.id });
    known.delete(run.id);
    if (list.children[place] !== line) list.insertBefore(line, list.children[place] ?? null);
    showRun(line, run, begun);
  });
  known.forEach((line) => line.remove());
}

function showRun(into, run, begun) {
  const { told, state: word } = run;
  const head = part(into, "p", "title");
  const badge = part(head, "b", "state");
  const [text, tone] = badgeOf(run);
  set(badge, { "data-tone": tone });
  write(badge, text);
  const at = new Date(namedAt(run)).toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  write(part(head, "span", "what"), `${run.id}, ${isRedrive(run) ? "begun" : "planned"} ${at}${told ? `: target ${told.target}` : ""}`);
  const { settled, all } = progress(run);
  const bar = part(into, "progress", "settled");
  bar.hidden = !told || isRedrive(run) || !["running", "paused", "stopped", "lost"].includes(word);
  set(bar, { max: Math.max(1, all), value: settled ?? 0, "aria-label": `Offsets of ${run.id} that are settled` });
  write(part(into, "p", "figures"), figures(run, settled, all));
  const why = part(into, "p", "why");
  write(why, [because(run), checked(run)].filter(Boolean).join(" "));
  why.hidden = !why.textContent;
  showActions(part(into, "div", "actions"), run, begun);
  const details = part(into, "details", "details");
  details.hidden = !told;
  write(part(details, "summary", "head"), "Partitions and verification");
  details.ontoggle ??= () => {
    if (!details.open) return replays.details.delete(run.id);
    replays.details.set(run.id, {});
    showReplaysAgain();
    askAgain();
  };
  if (told && details.open) showDetails(details, run, replays.details.get(run.id)?.answer);
}

/** The state in a word or two, and its tone; of a run that is done both go by what the index said of it last. */
function badgeOf({ state: word, verdict, job }) {
  if (word !== "done") return [word, TONES[word] ?? "calm"];
  const last = (job?.command === "verify" && job.verdict) || verdict || job?.verdict || "not verified";
  return [last === "exact" ? word : `${word}, ${last}`, VERDICTS[last] ?? "warn"];
}

/** Offsets that are settled, and all of the run; what is settled is null while it is not known. */
function progress({ told }) {
  const parts = told?.partitions ?? [];
  const done = (one) => (one.next == null ? null : Math.max(0, Math.min(one.next, one.to) - one.from));
  return { settled: sum(parts, done), all: sum(parts, (one) => one.to - one.from) };
}

/** Remembers how far a run that reads was when it was last heard of. */
function sampled({ id, state: word, told, told_ms }) {
  if (word !== "running") return replays.samples.delete(id);
  const { settled } = progress({ told });
  const known = (replays.samples.get(id) ?? []).filter((one) => one.attempt === told.attempt && told_ms - one.at < RATE_OVER);
  if (settled != null && known.at(-1)?.at !== told_ms) known.push({ at: told_ms, settled, attempt: told.attempt });
  replays.samples.set(id, known);
}

/** Offsets per second; null before it was heard of twice. */
function rateOf({ id }) {
  const known = replays.samples.get(id) ?? [];
  const [first, last] = [known[0], known.at(-1)];
  return known.length < 2 ? null : (1000 * (last.settled - first.settled)) / (last.at - first.at);
}

function figures(run, settled, all) {
  if (run.state === "starting") return "Starting: it looks whether the plan still fits, and claims its records. That takes some seconds.";
  if (!run.told) return run.state === "not begun" ? "It has read nothing." : "";
  if (isRedrive(run)) return `Dead letters of records among ${number(all)} offsets; what is open is told by isobar dlq stats.`;
  const share = settled == null || all === 0 ? "" : ` (${Math.floor((100 * settled) / all)} %)`;
  const so_far = `${number(settled)} of ${number(all)} offsets settled${share}`;
  if (run.state !== "running") return `${so_far}.`;
  if (settled === all) return `${so_far}. The index is asked for each of them.`;
  if (settled === 0 && run.told.target === "purge") return `${so_far}. The documents that are there are deleted first.`;
  const speed = rateOf(run);
  if (speed == null) return `${so_far}. How fast is known in some seconds.`;
  return `${so_far}, ${rate(speed)} a second${speed > 0 ? `; done in ${time((all - settled) / speed)}` : ""}.`;
}

/**
 * Why a run is in its state, by the register, or by the last words of its process where the register has
 * no word of that attempt, or only that it failed.
 */
function because({ told, state: word, job }) {
  const failed = job && !job.is_running && job.command === "run" && job.exit !== 0 && !job.verdict;
  const of_job = !told || told.started_ms < job?.started_ms || [undefined, null, FAILED].includes(told.why);
  const words = failed && of_job && ["not begun", "stopped", "refused"].includes(word) ? lastWords(job) : null;
  const why = words ?? told?.why;
  return why ? `${capital(why)}${/[.!]$/.test(why) ? "" : "."}` : "";
}

function lastWords({ said }) {
  const words = said.filter((line) => line.startsWith("isobar: "));
  return (words.at(-1) ?? said.at(-1))?.replace(/^isobar: /, "") ?? null;
}

/** What came of asking the index once more. */
function checked({ job }) {
  if (job?.command !== "verify") return "";
  if (job.is_running) return "Being verified once more.";
  const at = clock(job.started_ms, true);
  return job.verdict ? `Verified once more at ${at}: ${job.verdict}.` : `It could not be verified at ${at}: ${lastWords(job) ?? "it said nothing"}.`;
}

/** What can be wanted of a run: label, and what is asked for; where the label ends in dots, a question comes before. */
function actionsOf(run, anyBegun) {
  const { id, state: word, told, job } = run;
  const begun = anyBegun && !isRedrive(run);
  const act = (action) => () => askWithToken(ofSpout(`replays/${id}/${action}`), "POST", { patience: PATIENCE_REPLAYS });
  const limited = (limits) => askWithToken("replays", "POST", { body: { plan: id, resume: true, ...limits } });
  const goOn = begun ? { "Go on…": limited } : {};
  const verify = begun && !job?.is_running ? { Verify: act("verify") } : {};
  const abort = { "Abort…": act("abort") };
  const heldByOperator = told?.why?.startsWith(BY_OPERATOR);
  switch (word) {
    case "running": return { Pause: act("pause"), ...abort };
    case "paused": return { ...(heldByOperator ? { Resume: act("resume") } : { Pause: act("pause") }), ...abort };
    case "stopped": case "lost": return { ...goOn, ...verify, ...abort };
    // What it has deleted is missing until it is written anew.
    case "aborted": return told.target === "purge" ? goOn : {};
    case "done": return verify;
    default: return {};
  }
}

function showActions(into, run, begun) {
  const actions = actionsOf(run, begun);
  const buttons = part(into, "div", "buttons");
  const said = part(into, "p", "told");
  if (!said.hasAttribute("role")) tell(said, null);
  const question = part(into, "div", "question");
  const labels = Object.keys(actions);
  buttons.hidden = labels.length === 0;
  if (buttons.dataset.labels !== labels.join()) {
    buttons.dataset.labels = labels.join();
    buttons.replaceChildren(...labels.map((label) => element("button", { type: "button", "aria-label": `${label.replace("…", "")} ${run.id}` }, label)));
    question.hidden = true;
  }
  [...buttons.children].forEach((button, place) => {
    const act = actions[labels[place]];
    const ask = { "Abort…": askToAbort, "Go on…": askToGoOn }[labels[place]];
    button.onclick = () => (ask ? ask(question, button, run, said, act) : actOnReplays(button, said, act));
  });
}

function askToAbort(into, button, { id, told }, said, act) {
  const of_letters = "What it has written stays, and letters that are open stay open.";
  const left = isRedrive({ told }) ? of_letters : told.target === "purge"
    ? "What it has deleted and not written anew yet is missing, until it goes on to its end."
    : "What it has written stays, and how far it has got is forgotten.";
  const abort = element("button", { class: "bad" }, told.target === "purge" ? `Abort ${id}` : `Abort ${id} for good`);
  askBefore(into, "bad", button, [element("p", {}, left)], abort, () => actOnReplays(button, said, act));
  abort.focus();
}

/** Limits are those of an attempt: they are asked for once more. */
function askToGoOn(into, button, { id }, said, act) {
  const fields = element("div", { class: "fields" }, ...limitFields("as the plan says", `-${id}`));
  const go = element("button", { class: "main" }, `Go on with ${id}`);
  const head = element("p", {}, "It goes on with these limits; those that it had are not kept.");
  const less = element("label", { class: "check" }, element("input", { type: "checkbox", name: "accept_narrowed" }), "Also where it is less than what was asked for, and what Kafka has deleted meanwhile counts as lost");
  askBefore(into, "calm", button, [head, fields, less], go, ({ elements }) => {
    const limits = limitsOf(elements);
    actOnReplays(button, said, () => act({ accept_narrowed: elements.accept_narrowed.checked, ...limits }));
  });
  fields.querySelector("input").focus();
}

/** Asks before something is done: what there is to be known or filled in, the button that does it, and one that does not. */
function askBefore(into, how, button, content, yes, act) {
  const no = element("button", { type: "button" }, "Let it be");
  const form = element("form", {}, ...content, element("div", { class: "buttons" }, yes, no));
  set(into, { "data-tone": how });
  into.replaceChildren(form);
  into.hidden = false;
  const close = () => {
    into.hidden = true;
    button.focus();
  };
  form.onsubmit = (event) => {
    event.preventDefault();
    close();
    act(form);
  };
  no.onclick = close;
  into.onkeydown = (event) => {
    if (event.key === "Escape") close();
  };
}

/** Asks for all that is known of the runs that are looked at, once for each of their processes. */
async function askDetails() {
  for (const [id, detail] of replays.details) {
    const job = replays.runs.find((run) => run.id === id)?.job;
    const of = job ? `${job.started_ms} ${job.is_running}` : "none";
    if (detail.of === of) continue;
    const answer = await askWithToken(ofSpout(`replays/${id}`), "GET", { patience: PATIENCE_REPLAYS });
    Object.assign(detail, { of, answer });
  }
}

function showDetails(into, { told, told_ms }, answer) {
  const { result } = answer?.job ?? {};
  const verdict = result?.verification ?? (result?.verdict ? result : null);
  const of = (row) => verdict?.partitions.find((one) => one.topic === row.topic && one.partition === row.partition);
  const columns = [
    { name: "Partition", of: (row) => `${row.topic}/${row.partition}` },
    { name: "From", number: true, of: (row) => number(row.from) },
    { name: "To", number: true, of: (row) => number(row.to) },
    { name: "Settled to", number: true, of: (row) => number(row.next) },
  ];
  const found = [
    ["In the index", (one) => one.in_index], ["Dead-lettered", (one) => one.others?.dead_lettered], ["Dropped", (one) => one.others?.dropped],
    ["No record", (one) => one.others?.gaps], ["Lost", (one) => one.others?.lost],
  ].map(([name, figure]) => ({ name, number: true, of: (row) => number(of(row) && figure(of(row))) }));
  const word = { name: "Verified", of: (row) => of(row)?.verdict ?? UNKNOWN, tone: (row) => (of(row)?.verdict === "exact" ? "ok" : "bad") };
  table(into, `Partitions of ${told.run}`, verdict ? [...columns, ...found, word] : columns, told.partitions, (row) => `${row.topic} ${row.partition}`);
  const without = (verdict?.partitions ?? []).filter((one) => one.verdict !== "exact" && one.without.length > 0)
    .map((one) => `${one.topic}/${one.partition} without a document: ${one.without.map(number).join(" ")}${(one.without_in_all ?? one.planned - one.in_index) > one.without.length ? " and more" : ""}.`);
  const several = (one) => (one.doubled_in_all ?? 0) + (one.repeated_in_all ?? 0);
  const twice = (verdict?.partitions ?? []).filter((one) => several(one) > 0)
    .map((one) => `${one.topic}/${one.partition} has several documents of ${number(several(one))} offsets.`);
  const kept = (verdict?.partitions ?? []).filter((one) => one.kept > 0)
    .map((one) => `${one.topic}/${one.partition} keeps documents of ${number(one.kept)} offsets that were not written anew.`);
  const since = (verdict?.partitions ?? []).filter((one) => one.since > 0)
    .map((one) => `${one.topic}/${one.partition} has documents of ${number(one.since)} offsets by now that were rejected or dropped.`);
  const fewer = Object.entries(verdict?.fewer ?? {}).map(([bolt, count]) => `${bolt} has ${number(count)} documents fewer than before the purge.`);
  const ago = time(Math.max(0, (state.now - told_ms) / 1000));
  const unknown = answer && !verdict && !isRedrive({ told }) ? " What the index said partition by partition is kept where it was begun; Verify asks it once more." : "";
  write(part(into, "p", "quiet"), `On ${told.host}, process ${told.pid}, heard of ${ago} ago.${unknown} ${[...without, ...twice, ...kept, ...since, ...fewer].join(" ")}`.trim());
}
