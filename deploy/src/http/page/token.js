// The token, for what shows records or changes something: behind the address, or typed in.

/** Kept for this tab, as links within the page change the address. */
const token = (() => {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) sessionStorage.setItem("token", given);
  return given ?? sessionStorage.getItem("token");
})();

// A token that is put behind the address of a page that is open.
addEventListener("hashchange", () => {
  if (new URLSearchParams(location.hash.slice(1)).has("token")) location.reload();
});

/** Asks for what needs the token; fails with what the server says against it. */
async function askWithToken(path, method, { body, patience = PATIENCE } = {}) {
  const headers = { Authorization: `Bearer ${token}` };
  if (body) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body), cache: "no-store", signal: AbortSignal.timeout(patience) });
  if (answer.status === 401) throw new Error(refusal());
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.error?.reason ?? said.error ?? `${path} answers ${answer.status}`);
  return said;
}

function refusal() {
  return state.demo
    ? "The token is that of another demo: open the address that this one printed."
    : "The token was refused: that of this topology is in the file of --token-file.";
}

/** A form for the token, while `needed`; `what` needs it, in a sentence. */
function showTokenForm(into, needed, what) {
  const form = part(into, "form", "token");
  form.hidden = !needed;
  if (!needed || form.firstChild) return;
  // Not of type password, which browsers offer to keep.
  const input = element("input", { type: "text", class: "secret", id: "token", required: "", autocomplete: "off", spellcheck: "false" });
  const label = element("label", { for: "token" }, `${what} Token, as in the file of --token-file:`);
  form.append(label, input, element("button", {}, "Use it"));
  form.onsubmit = (event) => {
    event.preventDefault();
    sessionStorage.setItem("token", input.value.trim());
    // One in the address would come first.
    history.replaceState(null, "", location.pathname);
    location.reload();
  };
}
