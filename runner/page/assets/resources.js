// What a job uses of the machine, beside its loss: small charts with one axis of time and one cursor.
import { get, of } from "./api.js";
import { draw, valueAt } from "./chart.js";
import { button, make, number } from "./dom.js";
const AGAIN = 5000, HEIGHT = 170, COLUMNS = 400, LATER = 60; // LATER: seconds after the last look at the machine
export function resourcesView(batch, i, path, running) {
  let closed = false, busy = false, range = null, charts = [], before = "";
  const totals = make("p"), findings = make("ul"), grid = make("div", { class: "charts" }), values = make("details", { class: "values" });
  const back = button("Whole range", () => zoom(null)), element = make("div", {}, totals, findings, make("div", { class: "bar" }, back), grid, values);
  back.hidden = true;
  function zoom(to) { range = to; back.hidden = !to; look(); }
  async function loss(found) {
    if (!found.wall || !found.curves.length) return [];
    const [from, to] = range || [found.range[0] - 1, found.range[1] + LATER];
    const answer = await get(`${of(batch)}/curves`, { jobs: i, x: "wall", px: COLUMNS, from, to });
    return answer.series.filter((curve) => curve.kept.length).map((curve) => ({ ...curve, title: answer.key }));
  }
  async function look() {
    if (busy) return;
    busy = true;
    try {
      const found = await get(`${path}/resources`, { px: COLUMNS, from: range && range[0], to: range && range[1] });
      const all = [...(await loss(found)), ...found.curves.map((curve) => ({ ...curve, title: curve.name }))], text = JSON.stringify([found, all, range]);
      if (closed || text === before) return;
      before = text;
      totals.textContent = found.totals || (all.length ? "" : "Nothing is known of what this job uses.");
      findings.replaceChildren(...found.findings.map((one) => make("li", { text: one })));
      requestAnimationFrame(() => { if (!closed) paint(found, all); });
    } catch (error) { totals.textContent = error.message; } finally { busy = false; }
  }
  function paint(found, all) {
    for (const one of charts) one.destroy();
    const last = Math.max(found.range[1], ...all.flatMap((curve) => curve.kept.map(([xs]) => xs[xs.length - 1])));
    const options = { x: found.wall ? "wall clock" : "seconds", time: found.wall, height: HEIGHT, range: range || [found.range[0], last], sync: `resources of ${i}` };
    const places = all.map((curve) => {
      const value = make("b", { text: number(curve.last) }), place = make("div", { class: "chart small", role: "img", "aria-label": `${curve.title}: last ${number(curve.last)}, lowest ${number(curve.min)}, highest ${number(curve.max)}` });
      return { curve, value, place, figure: make("figure", { class: "plain" }, make("figcaption", {}, `${curve.title}: `, value), place) };
    });
    grid.replaceChildren(...places.map((one) => one.figure));
    charts = places.map(({ curve, value, place }) => draw(place, [curve], options, zoom, (x) => { value.textContent = number(x === null ? curve.last : valueAt(curve, x)) || "–"; })).filter(Boolean);
    const rows = all.map((curve) => make("tr", {}, make("td", { text: curve.title }), [curve.last, curve.min, curve.max].map((one) => make("td", { class: "num", text: number(one) }))));
    values.hidden = !all.length;
    values.replaceChildren(make("summary", { text: "Values" }), make("div", { class: "scroll" }, make("table", {}, make("thead", {}, make("tr", {}, ["Curve", "Last", "Lowest", "Highest"].map((text) => make("th", { text, scope: "col" })))), make("tbody", {}, rows))));
  }
  const timer = setInterval(() => { if (running() && document.visibilityState !== "hidden" && !grid.matches(":hover")) look(); }, AGAIN);
  const dark = matchMedia("(prefers-color-scheme: dark)"), again = () => { before = ""; look(); };
  dark.addEventListener("change", again); addEventListener("resize", again);
  look();
  return { element, close() { closed = true; clearInterval(timer); dark.removeEventListener("change", again); removeEventListener("resize", again); for (const one of charts) one.destroy(); } };
}
