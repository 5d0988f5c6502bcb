// Lines over the last hour. Gaps stay gaps. A pointer, or the arrow keys, read values off.

const PLOT = { height: 250, left: 58, right: 14, top: 12, bottom: 26 };
const MINUTE = 60 * 1000;
const HOUR = 60 * MINUTE;

/**
 * Draws lines: [{name, className, values}], beside `times` in ms; `format` writes a value. `now` is the right end.
 */
function plot(into, label, times, lines, format, now) {
  const width = Math.max(280, into.clientWidth);
  const image = into.querySelector("svg") ?? into.appendChild(drawn("svg", { class: "plot", tabindex: 0, role: "img" }));
  const known = lines.flatMap((line) => line.values.filter((value) => value != null));
  const top = niceTop(known.length ? Math.max(...known) : 1);
  // A program that was started just now has little to show: the time axis grows up to an hour.
  const span = Math.min(HOUR, Math.max(5 * MINUTE, now - times[0]));
  const x = (at) => PLOT.left + ((at - (now - span)) / span) * (width - PLOT.left - PLOT.right);
  const y = (value) => PLOT.top + (1 - value / top.value) * (PLOT.height - PLOT.top - PLOT.bottom);
  set(image, { width, height: PLOT.height, viewBox: `0 0 ${width} ${PLOT.height}` });
  const latest = lines.map((line) => `${line.name} ${format(line.values.at(-1))}`).join(", ");
  set(image, { "aria-label": `${label} over the last hour. Now: ${latest}` });
  const grid = top.ticks.map((value) => drawn("g", { class: "tick" },
    drawn("line", { x1: PLOT.left, x2: width - PLOT.right, y1: y(value), y2: y(value) }),
    drawn("text", { x: PLOT.left - 6, y: y(value) + 4, "text-anchor": "end" }, format(value))));
  const every = [1, 2, 5, 10, 20].map((minutes) => minutes * MINUTE).find((one) => span / one <= width / 90);
  for (let at = Math.ceil((now - span) / every) * every; at <= now; at += every) {
    grid.push(drawn("g", { class: "tick" },
      drawn("line", { x1: x(at), x2: x(at), y1: PLOT.top, y2: PLOT.height - PLOT.bottom }),
      drawn("text", { x: x(at), y: PLOT.height - 8, "text-anchor": "middle" }, clock(at))));
  }
  const curves = lines.map((line) => drawn("path", { class: `curve ${line.className}`, d: pathOf(times, line.values, x, y) }));
  const cursor = drawn("line", { class: "cursor", y1: PLOT.top, y2: PLOT.height - PLOT.bottom, visibility: "hidden" });
  image.replaceChildren(...grid, ...curves, cursor);
  Object.assign(image, { figures: { times, lines, format, x } });
  if (!image.dataset.listens) listen(into, image);
  legend(into, image);
}

/** A path with a gap where values are unknown, or where nothing was known for long: the program was away. */
function pathOf(times, values, x, y) {
  let path = "";
  let before = null;
  times.forEach((at, place) => {
    const value = values[place];
    if (value != null) {
      const joined = before !== null && at - before < 45000;
      // A point alone is a dot.
      path += `${joined ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}${joined ? "" : "h.1"}`;
    }
    before = value == null ? null : at;
  });
  return path;
}

/** A round number at or above, and where lines go. */
function niceTop(most) {
  const magnitude = 10 ** Math.floor(Math.log10(Math.max(most, 1)));
  const step = [0.25, 0.5, 1, 2.5].map((part) => part * magnitude).find((one) => one * 4 >= most && one >= 0.25);
  return { value: step * 4, ticks: [0, 1, 2, 3, 4].map((count) => count * step) };
}

function listen(into, image) {
  image.dataset.listens = "yes";
  const move = (place) => {
    image.place = place;
    legend(into, image);
  };
  image.addEventListener("pointermove", (event) => {
    const { times, x } = image.figures;
    const at = event.clientX - image.getBoundingClientRect().left;
    const distances = times.map((time) => Math.abs(x(time) - at));
    move(distances.indexOf(Math.min(...distances)));
  });
  image.addEventListener("pointerleave", () => move(null));
  image.addEventListener("blur", () => move(null));
  image.addEventListener("keydown", (event) => {
    const last = image.figures.times.length - 1;
    const from = image.place ?? last;
    const to = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    move(Math.min(last, Math.max(0, to)));
  });
}

/** The lines with their values: where the cursor is, else now. */
function legend(into, image) {
  const { times, lines, format, x } = image.figures;
  const place = image.place != null && image.place < times.length ? image.place : null;
  const cursor = image.querySelector(".cursor");
  set(cursor, place === null ? { visibility: "hidden" } : { visibility: null, x1: x(times[place]), x2: x(times[place]) });
  const list = part(into, "ul", "legend");
  const all = [["when", "", place === null ? "now" : clock(times[place], true)],
    ...lines.map((line) => [line.name, line.className, format(place === null ? line.values.at(-1) : line.values[place])])];
  while (list.children.length > all.length) list.lastChild.remove();
  all.forEach(([name, className, value], number) => {
    const line = list.children[number] ?? list.appendChild(element("li", {}, element("i"), element("span"), element("b")));
    set(line, { class: number === 0 ? "when" : null });
    set(line.children[0], { class: className });
    write(line.children[1], number === 0 ? "" : name);
    write(line.children[2], value);
  });
}
