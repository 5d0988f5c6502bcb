// Replays: why there are none, or a form for a plan, the plan with its diff, and the runs. What is asked
// about them starts a process each time, so it is asked apart from the figures, and seldom.

/** Between two questions about runs, in ms: while one is under way, after a failure, and otherwise. */
const RUNS_EVERY = 2000;
const RUNS_EVERY_FAILING = 10000;
const RUNS_EVERY_IDLE = 15000;
/** How long an answer may take, in ms: longer than the server lets a command take. */
const PATIENCE_REPLAYS = 65000;

/**
 * What is shown: of the spout that is chosen the runs, once they are `known`, and the plan that may be run.
 * `samples`: of each run, what was settled when. `details`: of each run that is looked at, all that is known.
 * `heard`: when runs were last told, by the server's clock; `failure`: why not since. `again`: they are to be
 * asked for at once, `wake` ends the pause before that.
 */
const replays = { spout: null, runs: [], known: false, plan: null, samples: new Map(), details: new Map(), heard: null, failure: null, refused: false, again: false, wake: null };

function showReplays(into, { diagnostics }) {
  const offer = diagnostics.replays;
  into.hidden = offer.spouts.length === 0 && !offer.missing;
  if (into.hidden) return;
  showMissing(part(into, "p", "missing"), offer.missing ?? "");
  showTokenForm(into, offer.shown && (!token || replays.refused), replays.refused ? refusal() : "Replays show records and change what is indexed.");
  const open = offer.shown && token && !replays.refused;
  const planning = part(into, "div", "planning");
  planning.hidden = !(open && offer.begun);
  const runs = part(into, "div", "all-runs");
  runs.hidden = !open;
  if (!open) return;
  if (!offer.spouts.includes(replays.spout)) [replays.spout] = offer.spouts;
  if (!planning.hidden) {
    showPlanForm(part(planning, "form", "to-plan"), offer.spouts);
    showPlan(part(planning, "div", "plan"));
  }
  showRuns(runs, offer.begun);
}

/** What is not there, with options of the command line that are not broken over lines. */
function showMissing(into, text) {
  into.hidden = !text;
  if (into.textContent === text) return;
  into.replaceChildren(...text.split(/(--[a-z-]+)/).map((piece) => (piece.startsWith("--") ? element("code", {}, piece) : piece)));
}

function showReplaysAgain() {
  if (state.diagnostics) showReplays(document.getElementById("replays"), state);
}

/** A path about the replays of the spout that is chosen. */
function ofSpout(path) {
  return `${path}?${new URLSearchParams({ spout: replays.spout })}`;
}

/** When the id of a run was given, in ms since 1970: it is that time, and the name of a redrive ends in it. */
function namedAt({ id }) {
  return parseInt(id.split(".").at(-1), 16);
}

/** Whether its records come from dead letters: that is begun, verified and gone on with at a terminal. */
function isRedrive({ told }) {
  return told?.target === "redrive";
}

function isUnderWay(run) {
  return ["starting", "running", "paused"].includes(run.state) || run.job?.is_running;
}

async function askRuns() {
  const { spout } = replays;
  const { runs, jobs } = await askWithToken(ofSpout("replays"), "GET", { patience: PATIENCE_REPLAYS });
  // Another one was chosen meanwhile.
  if (spout !== replays.spout) return;
  const known = new Map(runs.map((run) => [run.told.run, { ...run, id: run.told.run }]));
  for (const [id, job] of Object.entries(jobs)) {
    if (job.spout === spout || known.has(id)) known.set(id, { id, ...known.get(id), state: job.state, job });
  }
  replays.runs = [...known.values()].sort((a, b) => namedAt(b) - namedAt(a));
  Object.assign(replays, { known: true, heard: state.now });
  replays.runs.forEach(sampled);
}

/** Asks about runs for as long as the page is open, while somebody can see it. */
async function followReplays() {
  for (;;) {
    const offer = state.diagnostics?.replays;
    const wanted = offer?.shown && token && replays.spout && !replays.refused && !document.hidden;
    replays.again = false;
    if (wanted) {
      try {
        await askRuns();
        await askDetails();
        replays.failure = null;
      } catch (error) {
        replays.failure = error.message;
        replays.refused = error.message === refusal();
      }
      showReplaysAgain();
    }
    const usual = replays.runs.some(isUnderWay) ? RUNS_EVERY : RUNS_EVERY_IDLE;
    const pause = !wanted ? 500 : replays.failure ? RUNS_EVERY_FAILING : usual;
    // What was done while the answer was under way is not in it.
    if (replays.again) continue;
    await new Promise((done) => {
      replays.wake = done;
      setTimeout(done, pause);
    });
  }
}

function askAgain() {
  replays.again = true;
  replays.wake?.();
}

/** Does what a button is for, says in `said` what was said against it, and looks at the runs again. */
async function actOnReplays(button, said, act) {
  button.disabled = true;
  tell(said, null);
  try {
    await act();
  } catch (error) {
    tell(said, capital(error.message), "bad");
  }
  button.disabled = false;
  askAgain();
}

/** Says something that is read aloud, too. */
function tell(into, text, how = "calm") {
  set(into, { role: "status", "data-tone": how });
  write(into, text ?? "");
  into.hidden = text == null;
}
