// What only a demonstration has, and who has the token of its address: buttons that break things, the
// account as seen from outside, and a search over the documents.

/** What the demonstration has come to; null where there is none. */
async function askDemo({ demo }) {
  if (!demo) return null;
  const answer = await fetch("demo", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
  return answer.ok ? answer.json() : null;
}

function showDemo(into, { demo, now }) {
  into.hidden = !demo;
  if (!demo) return;
  const buttons = part(into, "div", "buttons");
  const locked = part(into, "p", "locked");
  write(locked, "Buttons and the search need the token: open the address that isobar demo has printed, which ends in /#token=…");
  locked.hidden = Boolean(token);
  buttons.hidden = !token;
  demo.actions.forEach((offer, place) => {
    const button = part(buttons, "button", `offer-${place}`);
    write(button, offer.label);
    set(button, { type: "button", title: offer.effect, "data-action": offer.action });
    button.onclick = () => act(into, button);
  });
  const by_hand = demo.by_hand.map((one) => `${capital(one.what)}, for ${time(Math.max(0, (now - one.since_ms) / 1000))}.`);
  const done = part(into, "p", "by-hand");
  set(done, { "data-tone": "warn" });
  write(done, by_hand.join(" "));
  done.hidden = by_hand.length === 0;
  const { written, stored, dead_lettered, lost, on_the_way } = demo.sum;
  const terms = [
    ["Written to the topic", written, `${number(demo.input.garbage)} of them garbage`],
    ["Stored by the index", stored, demo.index.let_go ? `the latest ${number(demo.index.documents)} are held` : "each once"],
    ["Dead-lettered", dead_lettered, "with their reasons"],
    ["Lost", lost, "not read before the topic let them go"],
    ["On the way", on_the_way, demo.input.is_paused ? "0 when all have arrived" : "pause the input to see it reach 0"],
  ];
  const list = part(into, "dl", "pairs");
  terms.forEach(([name, value, note]) => {
    const pair = part(list, "div", name.toLowerCase().replaceAll(" ", "-"));
    write(part(pair, "dt", "name"), name);
    write(part(pair, "dd", "value"), number(value));
    write(part(pair, "dd", "note"), note);
  });
  const { kafka, index } = demo;
  write(part(into, "p", "quiet"), `Kafka listens on ${kafka.brokers}, the index on ${index.url}. It takes ${number(index.takes_at_most)} documents a second at most, so that catching up can be watched. The dead letters, from a terminal:`);
  write(part(into, "code", "command"), `curl -sO ${location.origin}/demo/demo.yaml && ${demo.program} dlq list demo.yaml`);
}

async function act(into, button) {
  button.disabled = true;
  let wrong = null;
  try {
    state.demo = await askWithToken(`demo/actions/${button.dataset.action}`, "POST");
    showDemo(into, state);
  } catch (error) {
    wrong = error.message;
  }
  button.disabled = false;
  nothing(into, wrong);
}

function showDocuments(into, { demo }) {
  into.hidden = !demo || !token;
  if (into.hidden || into.querySelector("form")) return;
  const words = element("input", { type: "search", name: "q", id: "q", placeholder: "level:error basket*", autocomplete: "off" });
  const label = element("label", { for: "q" }, "Words, field:word, \"a phrase\", word*, -word");
  const form = element("form", { role: "search" }, label, words, element("button", {}, "Search"));
  form.onsubmit = (event) => {
    event.preventDefault();
    find(into, words.value);
  };
  into.append(form);
  find(into, "");
}

/** The search that was asked for last. */
let searched = 0;

async function find(into, words) {
  const search = ++searched;
  try {
    const asked = new URLSearchParams({ q: words, size: 20 });
    const { total, hits } = (await askWithToken(`demo/search?${asked}`, "GET")).hits;
    // Answers come in any order.
    if (search !== searched) return;
    const count = (total.relation === "gte" ? "more than " : "") + number(total.value);
    nothing(into, `${count} found${hits.length < total.value ? `, the latest ${hits.length} below` : ""}.`);
    const list = part(into, "ol", "found");
    // It scrolls, by keyboard too.
    set(list, { tabindex: 0, "aria-label": "Documents that were found" });
    list.replaceChildren(...hits.map((hit) =>
      element("li", {}, element("p", { class: "quiet" }, `${hit._index} / ${hit._id}`), element("code", {}, JSON.stringify(hit._source)))));
  } catch (error) {
    if (search !== searched) return;
    nothing(into, capital(error.message));
    part(into, "ol", "found").replaceChildren();
  }
}
