"use strict";
// Tables that sort, and charts that say what is under the pointer and can be zoomed. The report is whole without it.

const UNITS = {ms: 0.001, s: 1, min: 60, h: 3600, d: 86400, bytes: 1, KiB: 1024, MiB: 1048576, GiB: 1073741824};

/** A cell as a number: `12.5`, `4 min 05 s`, `1.2 GiB`; NaN for other texts. */
function numberOf(text) {
  const plain = text.replace(/,/g, "").replace(/^[★\s]+/, "");
  if (plain === "") return NaN;
  if (Number.isFinite(Number(plain))) return Number(plain);
  const parts = plain.match(/^(\d+(?:\.\d+)? [a-zA-Z]+ ?)+$/) ? plain.match(/\d+(?:\.\d+)? [a-zA-Z]+/g) : [];
  if (parts.length === 0 || parts.some((part) => !(part.split(" ")[1] in UNITS))) return NaN;
  return parts.reduce((sum, part) => sum + Number(part.split(" ")[0]) * UNITS[part.split(" ")[1]], 0);
}

function compare(a, b) {
  const x = numberOf(a), y = numberOf(b);
  if (!Number.isNaN(x) && !Number.isNaN(y)) return x - y;
  if (!Number.isNaN(x) || !Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1;
  return a.localeCompare(b, "en", {numeric: true});
}

function sortBy(table, place, heading) {
  const up = heading.getAttribute("aria-sort") !== "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", up ? "ascending" : "descending");
  const body = table.tBodies[0];
  const text = (row) => row.cells[place].textContent;
  const rows = [...body.rows].sort((a, b) => {
    const empty = (text(a) === "") - (text(b) === "");
    return empty || (up ? 1 : -1) * compare(text(a), text(b));
  });
  body.append(...rows);
}

for (const table of document.querySelectorAll(".wide table")) {
  [...table.tHead.rows[0].cells].forEach((heading, place) => {
    const button = document.createElement("button");
    button.textContent = heading.textContent;
    heading.replaceChildren(button);
    button.addEventListener("click", () => sortBy(table, place, heading));
  });
}

// Charts. `data-x` and `data-y` are: low, high, begin, end in the drawing, and 1 if the axis is logarithmic.

function axisOf(text) {
  const [low, high, begin, end, log] = text.split(" ").map(Number);
  const scaled = (value) => (log ? Math.log10(value) : value);
  const back = (value) => (log ? 10 ** value : value);
  return {
    low, high, begin, end,
    value: (place) => back(scaled(low) + (place - begin) / (end - begin) * (scaled(high) - scaled(low))),
    place: (value) => begin + (scaled(value) - scaled(low)) / (scaled(high) - scaled(low)) * (end - begin),
  };
}

/** The points of a path of `M x y l dx dy ...`, a list for each piece. */
function pieces(path) {
  return path.split("M").slice(1).map((piece) => {
    const numbers = piece.match(/-?[\d.]+/g).map(Number);
    const points = [[numbers[0], numbers[1]]];
    for (let at = 2; at + 1 < numbers.length; at += 2) {
      const [x, y] = points[points.length - 1];
      points.push([x + numbers[at], y + numbers[at + 1]]);
    }
    return points;
  });
}

/** The significant digits that a place in the drawing has. */
const shown = (value) => String(Number(value.toPrecision(4)));
const element = (name, attributes) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};

function enliven(svg, number) {
  const across = axisOf(svg.dataset.x), up = axisOf(svg.dataset.y);
  const paths = [...svg.querySelectorAll("path.line, path.fan, path.lost")].map((path) => {
    const close = path.getAttribute("d").endsWith("Z") ? "Z" : "";
    return {path, close, first: path.getAttribute("d"), pieces: pieces(path.getAttribute("d"))};
  });
  const curves = paths.filter((one) => one.path.matches(".line:not(.median):not(.old)"));
  const ticks = [...svg.querySelectorAll(".tick")].map((text) => ({text, x: text.getAttribute("x"), said: text.textContent}));
  let from = across.begin, to = across.end, pressed = null;
  const clip = element("clipPath", {id: `clip${number}`});
  clip.append(element("rect", {x: across.begin, y: up.end - 4, width: across.end - across.begin, height: up.begin - up.end + 8}));
  const line = element("path", {class: "cursor"});
  const mark = element("rect", {class: "chosen", y: up.end, height: up.begin - up.end, width: 0});
  svg.prepend(clip);
  svg.append(line, mark);
  const said = document.createElement("output");
  said.className = "said";
  said.textContent = "\u00a0";
  svg.after(said);

  const there = (x) => across.begin + (x - from) / (to - from) * (across.end - across.begin);
  const back = (place) => from + (place - across.begin) / (across.end - across.begin) * (to - from);
  const placeOf = (event) => {
    const box = svg.getBoundingClientRect(), unit = svg.viewBox.baseVal.width / box.width;
    return [(event.clientX - box.left) * unit, (event.clientY - box.top) * unit];
  };
  const within = (x) => Math.min(Math.max(x, across.begin), across.end);

  function draw() {
    const whole = from === across.begin && to === across.end;
    for (const one of paths) {
      one.path.setAttribute("clip-path", whole ? "none" : `url(#clip${number})`);
      if (whole) one.path.setAttribute("d", one.first);
      else if (one.path.matches(".lost")) {
        const [x, y] = one.pieces[0][0];
        one.path.setAttribute("d", one.first.replace(/^M[\d.]+ [\d.]+/, `M${there(x).toFixed(1)} ${y}`));
      } else {
        const made = one.pieces.map((piece) => "M" + piece.map(([x, y]) => `${there(x).toFixed(1)} ${y.toFixed(1)}`).join("L"));
        one.path.setAttribute("d", made.join("") + one.close);
      }
    }
    ticks.forEach(({text, x, said: first}) => {
      text.textContent = whole ? first : shown(across.value(back(Number(x))));
    });
  }

  /** What is nearest to the pointer, of the curves with a name. */
  function nearest(x, y) {
    let found = null;
    for (const {path, pieces: parts} of curves) {
      for (const point of parts.flat()) {
        const away = Math.hypot(there(point[0]) - x, (point[1] - y) / 2);
        if (point[0] >= from && point[0] <= to && (found === null || away < found.away)) found = {away, path, point};
      }
    }
    return found;
  }

  svg.addEventListener("pointermove", (event) => {
    const [x, y] = placeOf(event);
    if (pressed !== null) {
      mark.setAttribute("x", Math.min(pressed, within(x)));
      mark.setAttribute("width", Math.abs(within(x) - pressed));
      return;
    }
    const found = nearest(x, y);
    curves.forEach(({path}) => path.classList.toggle("near", found !== null && path === found.path));
    if (found === null) return;
    line.setAttribute("d", `M${there(found.point[0]).toFixed(1)} ${up.begin}V${up.end}`);
    const name = found.path.querySelector("title").textContent;
    const axis = svg.dataset.axis;
    said.textContent = `${name}: ${shown(up.value(found.point[1]))} at ${axis} ${shown(across.value(found.point[0]))}`;
  });
  svg.addEventListener("pointerleave", () => {
    line.setAttribute("d", "");
    curves.forEach(({path}) => path.classList.remove("near"));
    said.textContent = from === across.begin && to === across.end ? "\u00a0" : "double click: all of it";
  });
  svg.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "mouse" || event.button !== 0) return;
    pressed = within(placeOf(event)[0]);
    svg.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  svg.addEventListener("pointerup", (event) => {
    if (pressed === null) return;
    const [low, high] = [pressed, within(placeOf(event)[0])].sort((a, b) => a - b).map(back);
    pressed = null;
    mark.setAttribute("width", 0);
    if (high - low > (to - from) / 50) [from, to] = [low, high];
    draw();
  });
  svg.addEventListener("dblclick", () => {
    [from, to] = [across.begin, across.end];
    draw();
  });
}

document.querySelectorAll("svg[data-x]").forEach(enliven);
