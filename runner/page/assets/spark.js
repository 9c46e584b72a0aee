// The curve of a job as a small picture in its row of the table. Rows that are on the screen ask for theirs.
import { get, of } from "./api.js";
import { make, number, svg } from "./dom.js";
const WIDTH = 96, HEIGHT = 22, EDGE = 3, HIGHEST = 63, LOST = -1, SOON = 150, AGAIN = 2000, MOST = 50;
const across = (at, count) => EDGE + (at / Math.max(count - 1, 1)) * (WIDTH - 2 * EDGE);
const up = (level) => HEIGHT - EDGE - (level / HIGHEST) * (HEIGHT - 2 * EDGE);
function picture(entry) {
  const lines = [[]], marks = [], { levels } = entry;
  levels.forEach((level, at) => {
    const x = across(at, levels.length);
    if (level === null) return;
    if (level === LOST) { marks.push(svg("path", { d: `M${x - 3} ${HEIGHT}h6l-3 -5z`, class: "lost" })); lines.push([]); return; }
    lines[lines.length - 1].push([x, up(level)]);
  });
  const drawn = lines.filter((line) => line.length), ends = drawn.length ? drawn[drawn.length - 1] : [];
  const last = ends.length ? [svg("circle", { cx: ends[ends.length - 1][0], cy: ends[ends.length - 1][1], r: 2.2 })] : [];
  const words = entry.first === undefined ? "not finite" : `from ${number(entry.first)} to ${number(entry.last)}${marks.length ? ", with values that are not finite" : ""}`;
  return svg("svg", { class: "spark", width: WIDTH, height: HEIGHT, viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": words },
    ...drawn.map((line) => svg("polyline", { points: line.map((point) => point.join()).join(" ") })), ...marks, ...last);
}
// `key`: the metric that is drawn; `jobs`: number of a job -> its entry.
export function sparks(batch, key, jobs) {
  const cells = new Map(), seen = new Set(), known = new Map(); // number -> its cell; rows on the screen; number -> of, at, entry
  let soon = 0, due = 0, busy = false, closed = false, drawn = "";
  const rows = new Map();
  const watcher = new IntersectionObserver((found) => {
    for (const one of found) { const i = Number(one.target.dataset.i); if (one.isIntersecting) seen.add(i); else seen.delete(i); }
    later(SOON);
  });
  function later(wait) {
    const at = performance.now() + wait;
    if (closed || (soon && due <= at)) return;
    clearTimeout(soon);
    due = at; soon = setTimeout(() => { soon = 0; look(); }, wait);
  }
  const stamp = (job) => `${key()} ${job.status} ${job.attempt} ${job.iter ?? ""} ${job.loss ?? ""}`; // some rows have epochs alone
  function fill(i) { const cell = cells.get(i), one = known.get(i); if (cell) cell.replaceChildren(...(one && one.key === key() && one.entry.levels.length ? [picture(one.entry)] : [])); }
  async function look() {
    if (key() !== drawn) { drawn = key(); for (const i of cells.keys()) fill(i); }
    if (busy || !drawn || document.visibilityState === "hidden") return;
    const now = performance.now();
    const old = [...seen].filter((i) => { const job = jobs().get(i), one = known.get(i); return job && cells.has(i) && job.status !== "pending" && (!one || one.of !== stamp(job)); });
    const list = old.filter((i) => { const one = known.get(i); return !one || one.key !== drawn || now - one.at >= AGAIN; }).slice(0, MOST);
    if (!list.length) { if (old.length) later(AGAIN); return; }
    busy = true;
    try {
      const stamps = new Map(list.map((i) => [i, stamp(jobs().get(i))])), asked = drawn;
      const found = await get(`${of(batch)}/sparks`, { jobs: list.join(), key: asked });
      if (closed) return;
      for (const [name, entry] of Object.entries(found.sparks)) { const i = Number(name); known.set(i, { of: found.reading.includes(i) ? "" : stamps.get(i), key: asked, at: now, entry }); fill(i); }
      later(found.reading.length ? AGAIN / 2 : SOON);
    } catch { later(AGAIN); } finally { busy = false; }
  }
  const seenAgain = () => later(SOON); // what was due while the tab was hidden
  document.addEventListener("visibilitychange", seenAgain);
  return {
    cell(i) { const made = make("td", { class: "curve" }); cells.set(i, made); fill(i); return made; },
    row(i, element) { if (rows.has(i)) watcher.unobserve(rows.get(i)); rows.set(i, element); watcher.observe(element); later(SOON); },
    look: () => later(SOON), close() { closed = true; clearTimeout(soon); watcher.disconnect(); document.removeEventListener("visibilitychange", seenAgain); },
  };
}
