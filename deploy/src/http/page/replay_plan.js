// A plan of a replay: the form that asks for it, what it says, and the button that runs it.

/** What becomes of documents that are there. None is chosen beforehand. */
const TARGETS = {
  missing: "stores what is not there, changes nothing that is",
  overwrite: "writes every document anew, for a bug that was fixed",
  purge: "deletes the documents of the range, then writes them anew",
  index: "writes into another index",
};
/** How fast a run is that nobody bounds. */
const FAST = "as fast as it goes";
/** Documents with their differences that are shown. */
const DIFFERING_MAX = 20;
/** Characters of a value. */
const VALUE_MAX = 300;
/** Differences of a document, and fields that change, that are shown. */
const LISTED_MAX = 20;

/** An input with its label; `of` tells it from another one of the same name on the page. */
function field(name, label, input, hint, of = "") {
  const id = `replay-${name}${of}`;
  set(input, { id, name, "aria-describedby": hint ? `${id}-hint` : null });
  const said = hint ? [element("small", { id: `${id}-hint`, class: "quiet" }, hint)] : [];
  return element("div", { class: `field ${name}` }, element("label", { for: id }, label), input, ...said);
}

/** A box to tick, with what it does below it. */
function tick(name, label, hint) {
  const id = `replay-${name}`;
  const input = element("input", { id, name, type: "checkbox", "aria-describedby": `${id}-hint` });
  return element("div", { class: `field ${name}` }, element("label", { class: "check", for: id }, input, label),
    element("small", { id: `${id}-hint`, class: "quiet" }, hint));
}

/** What bounds an attempt to run a plan. `pace`: how fast it is where nothing is said. */
function limitFields(pace, of = "") {
  return [
    rateField(pace, of),
    field("yield_to_live", "Yields to the live topology", textInput({ value: "30s", required: "" }), "waits while its oldest record is older, or its age is not known, and has one lane where somebody reads for it; off for never, and all lanes", of),
    field("max_in_flight", "Records in flight, at most", wholeNumber("as the topology says"), "less takes less from the live topology", of)];
}

function limitsOf({ rate, yield_to_live, max_in_flight }) {
  return { yield_to_live: yield_to_live.value.trim(), ...counted({ rate, max_in_flight }) };
}

function rateField(pace, of = "") {
  return field("rate", "Records per second, at most", wholeNumber(pace), null, of);
}

function wholeNumber(placeholder) {
  return element("input", { type: "number", min: 1, max: 4294967295, placeholder });
}

/** The numbers of those inputs that have one. */
function counted(inputs) {
  return Object.fromEntries(Object.entries(inputs).filter(([, input]) => input.value).map(([name, input]) => [name, Number(input.value)]));
}

function textInput(attributes) {
  return element("input", { type: "text", autocomplete: "off", spellcheck: "false", ...attributes });
}

function showPlanForm(form, spouts) {
  if (!form.firstChild) makePlanForm(form);
  const { spout, topics } = form.elements;
  options(spout, spouts.map((name) => [name, name]), replays.spout);
  const lag = state.statistics.lag.find((one) => one.spout === replays.spout);
  const names = [...new Set(lag?.partitions.map((one) => one.topic))];
  options(topics, [["", "all"], ...names.map((name) => [name, name])], topics.value);
  topics.closest(".field").hidden = names.length < 2;
  form.elements.slack.closest(".field").hidden = !isTime(form.elements.to.value);
  const toIndex = form.elements.target.value === "index";
  form.elements.index.closest(".field").hidden = !toIndex;
  form.elements.index.required = toIndex;
  // Another index is made anyway, and what a purge deletes is written anew wherever it goes.
  form.elements.create_missing.closest(".field").hidden = makesIndices(form.elements.target.value);
  write(document.getElementById("replay-target-hint"), TARGETS[form.elements.target.value] ?? "what becomes of documents that are there");
}

/** Whether a place is found by the timestamps of records. */
function isTime(place) {
  return !/^(\d*|earliest|now)$/.test(place.trim());
}

function makesIndices(target) {
  return target === "purge" || target.startsWith("index");
}

function options(select, wanted, chosen) {
  if ([...select.options].map((one) => one.value).join("\n") === wanted.map(([value]) => value).join("\n")) return;
  select.replaceChildren(...wanted.map(([value, text]) => element("option", { value }, text)));
  select.value = wanted.some(([value]) => value === chosen) ? chosen : wanted[0]?.[0];
}

function makePlanForm(form) {
  const places = "an offset, a time with its zone, 2h for 2 hours ago";
  const target = element("select", { required: "" });
  options(target, [["", "choose one"], ...Object.keys(TARGETS).map((word) => [word, word])], "");
  form.append(element("div", { class: "fields" },
    field("spout", "Spout", element("select")),
    field("topics", "Topics", element("select")),
    field("from", "From", textInput({ required: "", placeholder: "2h" }), `${places}, or earliest`),
    field("to", "To", textInput({ required: "", placeholder: "now" }), `${places}, or now; not part of it`),
    field("slack", "Late records, up to", textInput({ placeholder: "none" }), "such as 15m: those that come so much later are in it, and younger ones"),
    field("target", "Target", target, " "),
    field("index", "Name of the index", textInput({ placeholder: "again-logs" }), "a name, or a template as in the topology file"),
    field("partitions", "Partitions", textInput({ placeholder: "all" }), "such as 0,3,7-9"),
    field("sample", "Records to compare", element("input", { type: "number", min: 0, max: 100, value: 10, required: "" }), "with what is indexed; 0 for none"),
    tick("create_missing", "Make indices that do not exist", "such as those that a lifecycle has deleted; without it their documents are left out"),
    field("only_bolts", "Only bolts", textInput({ placeholder: "all" }), "of those that index, such as index,archive"),
    field("exclude_bolts", "Without bolts", textInput({ placeholder: "none" }), "and what only they lead to; those that change something elsewhere are left out anyway"),
    rateField(FAST, "-planned")));
  const said = element("p", { class: "told" });
  const button = element("button", {}, "Plan");
  form.append(element("div", { class: "buttons" }, button), said);
  tell(said, null);
  form.onchange = () => {
    if (form.elements.spout.value !== replays.spout) {
      Object.assign(replays, { spout: form.elements.spout.value, runs: [], known: false, failure: null, heard: null });
      askAgain();
    }
    showReplaysAgain();
  };
  form.onsubmit = (event) => {
    event.preventDefault();
    actOnReplays(button, said, async () => {
      tell(said, "Planning: brokers and indices are asked, nothing is changed.");
      replays.plan = null;
      showReplaysAgain();
      replays.plan = await askWithToken("replays/plans", "POST", { body: asked(form.elements), patience: PATIENCE_REPLAYS });
      tell(said, null);
      showReplaysAgain();
      document.querySelector("#replays .plan h3").focus();
    });
  };
}

function asked({ spout, topics, from, to, slack, target, index, create_missing, partitions, sample, only_bolts, exclude_bolts, rate }) {
  const value = (input) => input.value.trim();
  const names = (input) => value(input).split(/[\s,]+/).filter(Boolean);
  return {
    spout: spout.value,
    from: value(from),
    to: value(to),
    target: target.value === "index" ? `index=${value(index)}` : target.value,
    ...(topics.value ? { topics: [topics.value] } : {}),
    ...(isTime(to.value) && value(slack) ? { slack: value(slack) } : {}),
    ...(value(partitions) ? { partitions: value(partitions) } : {}),
    sample: Number(sample.value),
    only_bolts: names(only_bolts),
    exclude_bolts: names(exclude_bolts),
    ...counted({ rate }),
    ...(create_missing.checked && !makesIndices(target.value) ? { create_missing: true } : {}),
  };
}

/** The plan, made anew only for another one: what somebody is typing stays. */
function showPlan(into) {
  const { plan } = replays;
  into.hidden = !plan;
  if (into.dataset.plan === (plan?.id ?? "")) return;
  into.dataset.plan = plan?.id ?? "";
  into.replaceChildren();
  if (!plan) return;
  const { id, spout, from, to, target, partitions } = plan;
  into.append(
    element("h3", { tabindex: -1 }, "Plan"),
    element("p", {}, `Replay ${id}: spout ${spout}, from ${from} to ${to}, target ${target}. Nothing has been changed yet.`));
  const missing = plan.missing_indices ?? [];
  const areMade = plan.create_missing || makesIndices(target);
  const narrowed = [
    ...partitions.flatMap((one) => one.narrowed.map((why) => `${one.topic}/${one.partition}: ${why}.`)),
    ...missing.filter(() => !areMade).map((name) => `${name} does not exist: documents for it are left out.`)];
  if (plan.narrowed) into.append(noted("warn", narrowed.length > 0 ? "Less than what was asked for:" : "Less than what was asked for, as said below.", narrowed));
  const rows = [...partitions.map((one) => ({ ...one, name: `${one.topic}/${one.partition}` }))];
  const all = sum(rows, (row) => row.to - row.from);
  if (rows.length > 1) rows.push({ name: "all", sum: true });
  table(into, "Ranges of the plan", [
    { name: "Partition", of: (row) => row.name },
    { name: "From", number: true, of: (row) => (row.sum ? "" : number(row.from)) },
    { name: "To", number: true, title: "The first offset that is not part of it.", of: (row) => (row.sum ? "" : number(row.to)) },
    { name: "Offsets", number: true, of: (row) => number(row.sum ? all : row.to - row.from) },
    ...extentColumns(partitions),
  ], rows, (row) => row.name);
  const facts = [...aboutRate(plan), ...plan.sinks.flatMap(aboutSink),
    ...missing.filter(() => areMade).map((name) => `${name} does not exist, and is made.`),
    ...plan.left_out.map((bolt) => `Left out: ${bolt}; what would reach nothing else is dropped.`),
    ...partitions.flatMap((one) => one.notes.map((note) => `${one.topic}/${one.partition}: ${note}.`))];
  into.append(element("ul", { class: "facts" }, ...facts.map((text) => element("li", {}, text))));
  const notes = [...(plan.notes ?? []), ...(plan.sample?.notes ?? [])];
  if (notes.length > 0) into.append(noted("warn", "To know before it is run:", notes.map((note) => `${note}.`)));
  if (plan.sample) into.append(...sampleOf(plan.sample));
  into.append(all > 0 ? runForm(plan, all) : element("p", { class: "quiet" }, "There is nothing to replay: the ranges are empty."));
}

/** How much is in the ranges; `~` before what is estimated from records here and there of each. */
function extentColumns(partitions) {
  if (!partitions.some((one) => one.extent)) return [];
  const of = ({ extent, sum: isSum }) => (isSum ? {
    records: sum(partitions, (one) => one.extent?.records ?? 0),
    bytes: sum(partitions, (one) => one.extent?.bytes ?? 0),
    is_exact: partitions.every((one) => one.extent?.is_exact),
  } : extent ?? {});
  const about = (row, text) => (of(row).is_exact === false ? "~" : "") + text;
  const at = (row, ms) => (row.sum ? "" : ms == null ? UNKNOWN : about(row, new Date(ms).toISOString().replace(".000Z", "Z")));
  return [
    { name: "Records", number: true, of: (row) => about(row, number(of(row).records)) },
    { name: "Bytes", number: true, title: "Of keys, values and headers, uncompressed.", of: (row) => about(row, bytes(of(row).bytes)) },
    { name: "Oldest", of: (row) => at(row, of(row).oldest_ms) },
    { name: "Newest", of: (row) => at(row, of(row).newest_ms) },
  ];
}

/** How long it takes at the rate that was asked for. */
function aboutRate({ rate: most, partitions }) {
  const records = sum(partitions, (one) => one.extent?.records ?? null);
  if (!most || records == null) return [];
  const about = partitions.every((one) => one.extent.is_exact) ? "" : "about ";
  return [`At ${number(most)} records a second that takes ${about}${time(records / most)}.`];
}

function noted(how, head, sentences) {
  return element("div", { class: "noted", "data-tone": how }, element("p", {}, element("b", {}, head)),
    element("ul", {}, ...sentences.map((text) => element("li", {}, text))));
}

/** Indices that a purge deletes in that are shown. */
const PURGED_MAX = 20;

/** What a purge deletes, by index. */
function aboutPurge(purged) {
  const all = Object.entries(purged);
  const shown = all.slice(0, PURGED_MAX).map(([name, count]) => `${documents(count)} in ${name} are deleted.`);
  const rest = all.slice(PURGED_MAX);
  return rest.length === 0 ? shown
    : [...shown, `${documents(sum(rest, ([, count]) => count))} in ${number(rest.length)} more indices are deleted.`];
}

function aboutSink({ bolt, index, guarantee, verifiable, indices, purged = {} }) {
  const names = Object.keys(indices);
  const exist = names.length === 0 ? "none of its indices exists yet"
    : `${number(names.length)} of its indices exist${names.length === 1 ? "s" : ""} (${names.slice(0, 5).join(", ")}${names.length > 5 ? " and more" : ""})`;
  const verified = verifiable ? "It can be verified." : "It cannot be verified, as documents carry no origin.";
  const blocked = Object.entries(indices).filter(([, blocks]) => blocks.length > 0);
  return [`Bolt ${bolt} writes to ${index}: ${exist}. Protected against storing twice: ${guarantee}. ${verified}`,
    ...blocked.map(([name, blocks]) => `${name} takes no documents: ${blocks.join(", ")}.`),
    ...aboutPurge(purged)];
}

function documents(count) {
  return `${number(count)} document${count === 1 ? "" : "s"}`;
}

/** What would become of the sample, and the documents that would be others than those that are indexed. */
function sampleOf({ records, ends, changed_fields }) {
  const is = (word) => ends.filter((end) => end.fate === "document" && end.is === word);
  const counts = [[is("missing"), "not in the index"], [is("same"), "as indexed"], [is("changed"), "other than indexed"]]
    .filter(([found]) => found.length > 0).map(([found, text]) => `${documents(found.length)} ${text}`);
  const others = new Map();
  ends.filter((end) => end.fate !== "document").map(fate).forEach((text) => others.set(text, (others.get(text) ?? 0) + 1));
  const rest = [...others].map(([text, count]) => `${number(count)} ${text}`);
  const head = records === 0 ? "There is no record in the range." : `Of ${number(records)} record${records === 1 ? "" : "s"}: ${[...counts, ...rest].join(", ")}.`;
  const fields = listed(Object.entries(changed_fields), ([path, count]) => `${shortened(path) || "all"} in ${documents(count)}`, (more) => `${number(more)} other fields`);
  const made = [element("h3", {}, "Sample"), element("p", {}, head)];
  if (fields.length > 0) made.push(element("p", {}, `What changes: ${fields.join(", ")}.`));
  const changed = is("changed");
  if (changed.length === 0) return made;
  made.push(element("ol", { class: "diff", tabindex: 0, "aria-label": "Documents that would be others" }, ...changed.slice(0, DIFFERING_MAX).map(difference)));
  if (changed.length > DIFFERING_MAX) made.push(element("p", { class: "quiet" }, `And ${documents(changed.length - DIFFERING_MAX)} more.`));
  return made;
}

function fate({ fate: word, by, class: kind, policy, reason }) {
  return { rejected: `rejected by ${by} (${kind})`, dropped: `dropped by ${policy}` }[word] ?? `not known: ${reason}`;
}

/** A document: what is indexed in lines with -, what would be written in lines with +. */
function difference({ topic, partition, offset, id, target, differences }) {
  const line = (sign, path, value) => element("div", { class: sign === "-" ? "before" : "after" }, `${sign} ${shortened(path)}: ${shortened(JSON.stringify(value))}`);
  const lines = listed(differences, ({ path, before, after }) => [
    ...(before === undefined ? [] : [line("-", path, before)]),
    ...(after === undefined ? [] : [line("+", path, after)]),
  ], (more) => element("div", { class: "quiet" }, `and ${number(more)} more`)).flat();
  return element("li", {}, element("p", { class: "quiet" }, `${topic}/${partition} offset ${number(offset)}: ${target}, ${id ?? "an id by the cluster"}`), element("code", {}, ...lines));
}

/** The first ones, and what is said of how many more there are. */
function listed(all, one, rest) {
  const more = all.length - LISTED_MAX;
  return [...all.slice(0, LISTED_MAX).map(one), ...(more > 0 ? [rest(more)] : [])];
}

function shortened(text) {
  return text.length > VALUE_MAX ? `${text.slice(0, VALUE_MAX)}…` : text;
}

/** What is asked for in words before documents that are there are changed. */
function confirmation({ target }, all) {
  if (target === "purge") return `The documents of ${number(all)} offsets are deleted, and missing until they are written anew.`;
  if (target === "overwrite") return `The documents of ${number(all)} offsets are written anew, over what is there.`;
  return null;
}

function runForm(plan, all) {
  const fields = element("div", { class: "fields" }, ...limitFields(plan.rate ? `as planned: ${number(plan.rate)}` : FAST));
  const consequence = confirmation(plan, all);
  if (consequence) {
    const word = textInput({ required: "", pattern: plan.target, title: `the word ${plan.target}` });
    fields.append(field("word", `${consequence} To agree, type ${plan.target}`, word));
  }
  const form = element("form", { class: "to-run" }, fields);
  if (plan.narrowed) {
    form.append(element("label", { class: "check" }, element("input", { type: "checkbox", name: "accept_narrowed", required: "" }), "Run it though it is less than what was asked for"));
  }
  const [button, drop] = [element("button", { class: "main" }, "Run"), element("button", { type: "button" }, "Leave it")];
  const said = element("p", { class: "told" });
  tell(said, null);
  form.append(element("div", { class: "buttons" }, button, drop), said);
  const close = () => {
    replays.plan = null;
    showReplaysAgain();
  };
  drop.onclick = () => {
    close();
    document.querySelector("#replays .to-plan button").focus();
  };
  form.onsubmit = (event) => {
    event.preventDefault();
    const { accept_narrowed } = form.elements;
    const body = { plan: plan.id, accept_narrowed: Boolean(accept_narrowed?.checked), ...limitsOf(form.elements) };
    actOnReplays(button, said, async () => {
      await askWithToken("replays", "POST", { body });
      close();
      document.querySelector("#replays .all-runs h3").focus();
    });
  };
  return form;
}
