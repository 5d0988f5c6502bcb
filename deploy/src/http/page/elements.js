// Makes elements, and changes only what has changed in them: focus, selection and scrolling stay where
// they are while figures move. Text is always set as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

function drawn(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(made, attributes, children) {
  set(made, attributes);
  made.append(...children);
  return made;
}

/** Sets attributes that differ; null takes one away. */
function set(of, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value == null) of.removeAttribute(name);
    else if (of.getAttribute(name) !== String(value)) of.setAttribute(name, value);
  }
}

function write(into, text) {
  if (into.textContent !== text) into.textContent = text;
}

/** Writes a name that is broken behind `_` and `-` where it has no room, and within a word only where that has none. */
function writeName(into, name) {
  if (into.textContent === name) return;
  into.replaceChildren(...name.split(/(?<=[_-])/).flatMap((part) => [part, element("wbr")]));
}

/** The child with a class, made on first use. */
function part(of, name, className) {
  const found = [...of.children].find((child) => child.classList.contains(className));
  if (found) return found;
  const made = element(name, { class: className });
  of.append(made);
  return made;
}

/**
 * A table in a box that scrolls by itself. Columns: {name, title?, number?, of(row), tone?(row), why?(row)}; rows: anything,
 * told apart by `key`. The first column heads its row.
 */
function table(into, label, columns, rows, key) {
  const box = part(into, "div", "scroll");
  set(box, { tabindex: 0, role: "region", "aria-label": label });
  const made = part(box, "table", "figures");
  const names = columns.map((column) => column.name).join("|");
  if (made.dataset.names !== names) {
    made.dataset.names = names;
    const head = columns.map((column) =>
      element("th", { scope: "col", class: column.number ? "number" : null, title: column.title }, column.name));
    made.replaceChildren(element("thead", {}, element("tr", {}, ...head)), element("tbody"));
  }
  const body = made.tBodies[0];
  const known = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  rows.forEach((row, place) => {
    const id = key(row);
    let line = known.get(id);
    known.delete(id);
    if (!line) {
      const cells = columns.map((column, number) =>
        element(number === 0 ? "th" : "td", { scope: number === 0 ? "row" : null, class: column.number ? "number" : null }));
      line = element("tr", {}, ...cells);
      line.dataset.key = id;
    }
    if (body.rows[place] !== line) body.insertBefore(line, body.rows[place] ?? null);
    set(line, { class: row.sum ? "sum" : null });
    columns.forEach((column, number) => {
      const cell = line.cells[number];
      write(cell, column.of(row) ?? "");
      set(cell, { "data-tone": column.tone?.(row), title: column.why?.(row) });
    });
  });
  known.forEach((line) => line.remove());
}

/** Says in a paragraph that there is nothing to show, or takes it away. */
function nothing(into, text) {
  const said = part(into, "p", "nothing");
  write(said, text ?? "");
  said.hidden = text == null;
}
