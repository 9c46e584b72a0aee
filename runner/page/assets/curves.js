import { get, of } from "./api.js";
import { columns, draw, valueAt } from "./chart.js";
import { button, make, number, sample } from "./dom.js";
const CHOSEN = 10, LEAST_FAN = 20, SOON = 300, FAN_AGAIN = 10000;
const AXES = { step: "step", work: "working hours", wall: "wall clock" }, SCALES = { linear: "linear", log: "log", symlog: "symlog" };
const select = (name, choices, value, changed) => { const made = make("select", { "aria-label": name, on: { change: () => changed(made.value) } }, Object.entries(choices).map(([key, text]) => make("option", { value: key, text }))); made.value = choices[value] ? value : Object.keys(choices)[0]; return made; };
// `chosen`: whether a job is among those of the comparison, null for all; `best`: the metric by which jobs are compared.
export function curvesView(batch, params, { jobs, chosen: compared, best }, keep, drawnChanged) {
  let chart = null, found = null, fan = null, closed = false, busy = false, dirty = false, plotted = "", fanAt = -FAN_AGAIN, later = 0;
  let range = params.get("from") && params.get("to") ? [Number(params.get("from")), Number(params.get("to"))] : null;
  let chosen = params.get("pick") ? new Set(params.get("pick").split(",").map(Number)) : null;
  const key = make("select", { "aria-label": "Metric", on: { change: () => set("key", key.value) } });
  const axis = select("Axis", AXES, params.get("x"), (value) => { zoom(null); set("x", value === "step" ? "" : value); });
  const scale = select("Scale", SCALES, params.get("scale"), (value) => set("scale", value === "linear" ? "" : value));
  const smooth = make("input", { type: "range", min: "0", step: "0.01", max: "0.99", value: params.get("smooth") || "0", "aria-label": "Smoothing", on: { change: () => set("smooth", smooth.value === "0" ? "" : smooth.value) } });
  const old = make("input", { type: "checkbox", checked: params.get("old") !== "0", on: { change: () => set("old", old.checked ? "" : "0") } }), oldLabel = make("label", { title: "What was measured again after a resume, dashed" }, old, "Before resumes");
  const back = button("Whole range", () => { zoom(null); refresh(); });
  const place = make("div", { class: "chart", role: "img", "aria-label": "Curves; the numbers are in the table Values below" }), legend = make("ul", { class: "legend" });
  const values = make("details", { class: "values" }, make("summary", { text: "Values" })), note = make("p", { class: "quiet", role: "status" });
  back.hidden = true; oldLabel.hidden = true;
  function set(name, value) { keep(name, value); refresh(); }
  function zoom(to) { range = to; keep("from", to ? to[0] : ""); keep("to", to ? to[1] : ""); }
  // The best first; those without a value keep their sequence behind them.
  function ranked(list) {
    const by = best(), value = (job) => { const found = by ? job.metrics[by.metric] : null; return typeof found === "number" ? (by.better === "max" ? -found : found) : Infinity; };
    return [...list].sort((a, b) => { const x = value(a), y = value(b); return x < y ? -1 : x > y ? 1 : a.i - b.i; });
  }
  function picked() {
    const all = jobs();
    if (chosen) return all.filter((job) => chosen.has(job.i));
    const only = compared(), live = all.filter((job) => job.status !== "pending" && (!only || only(job.i)));
    return [...live.filter((job) => job.status === "running"), ...ranked(live.filter((job) => job.status !== "running"))].slice(0, CHOSEN);
  }
  function pick(i, yes) { chosen = new Set(picked().map((job) => job.i)); if (yes) chosen.add(i); else chosen.delete(i); keep("pick", [...chosen].join(",")); refresh(); drawnChanged(); }
  const query = (list) => ({ jobs: list.map((job) => job.i).join(","), key: params.get("key"), x: axis.value, px: columns(place), smooth: params.get("smooth"), from: range && range[0], to: range && range[1] });
  // While curves grow only what follows is asked for, until what was added is more than a chart can show.
  function after(list) {
    if (!found || range || params.get("smooth") || found.series.length !== list.length || found.reading) return null;
    const grown = found.series.reduce((sum, curve) => sum + (curve.added || 0), 0);
    return grown > 2 * columns(place) ? null : found.series.map((curve) => `${curve.i}:${curve.n}`).join(",");
  }
  function append(tail) {
    for (const more of tail.series) {
      const curve = found.series.find((one) => one.i === more.i), marks = [...curve.nonfinite.marks, ...more.nonfinite.marks];
      const last = curve.kept[curve.kept.length - 1];
      for (const [at, piece] of more.kept.entries()) {
        if (at === 0 && last && more.nonfinite.count === curve.nonfinite.count) { last[0].push(...piece[0]); last[1].push(...piece[1]); } else curve.kept.push(piece);
        found.range[1] = Math.max(found.range[1], piece[0][piece[0].length - 1]);
      }
      const added = (curve.added || 0) + more.n - curve.n;
      Object.assign(curve, more, { kept: curve.kept, added, nonfinite: { ...more.nonfinite, marks } });
    }
  }
  async function refresh() {
    const list = picked();
    if (!list.length) { if (chart) chart.destroy(); chart = null; found = null; legend.replaceChildren(); values.hidden = true; place.textContent = jobs().length ? "No job has started, or none is ticked in the table." : ""; return; }
    if (busy) { dirty = true; return; }
    busy = true; dirty = false;
    const asked = JSON.stringify(query(list));
    try {
      const tail = plotted === asked ? after(list) : null;
      const answer = await get(`${of(batch)}/curves`, { ...query(list), after: tail });
      if (closed) return;
      if (answer.tail) append(answer); else found = answer;
      plotted = asked;
      await fans();
      if (!closed) paint();
      clearTimeout(later);
      if (answer.reading || (fan && fan.reading)) later = setTimeout(refresh, SOON);
    } catch (error) { note.textContent = error.message; } finally { busy = false; if (dirty && !closed) setTimeout(refresh, 0); }
  }
  async function fans() {
    if (jobs().length < LEAST_FAN || range) { fan = null; return; }
    if (fan && fan.of === `${found.key} ${axis.value}` && !fan.reading && performance.now() - fanAt < FAN_AGAIN) return;
    const answer = await get(`${of(batch)}/fan`, { key: found.key, x: axis.value });
    fan = { ...answer, of: `${found.key} ${axis.value}` }; fanAt = performance.now();
  }
  function paint() {
    if (!found) return;
    if (found.keys.length) { key.replaceChildren(...found.keys.map((text) => make("option", { text, value: text }))); key.value = found.key; }
    const shown = found.series.map((curve) => (old.checked ? curve : { ...curve, replaced: [] }));
    const drawable = fan && (scale.value !== "log" || fan.parts.every((values_) => values_[0] > 0)) ? fan : null;
    const ends = found.range && drawable && drawable.x.length && !range ? [Math.min(found.range[0], drawable.x[0]), Math.max(found.range[1], drawable.x[drawable.x.length - 1])] : found.range;
    if (chart) chart.destroy();
    chart = draw(place, shown, { scale: scale.value, x: AXES[axis.value], time: axis.value === "wall", range: range || ends, fan: drawable }, (to) => { zoom(to); refresh(); }, hover);
    back.hidden = !range; oldLabel.hidden = !found.series.some((curve) => curve.replaced.length);
    const waits = found.reading + (fan ? fan.reading : 0);
    note.textContent = [waits ? `reading the metrics of ${waits} more jobs …${found.series.some((curve) => curve.rough) ? " Until then some of their rows are drawn." : ""}` : "", drawable && drawable.jobs ? `Grey: all ${drawable.jobs} jobs with this metric, the middle half darker, the median as a line.` : ""].filter(Boolean).join(" ");
    describe();
  }
  const at = (x) => (axis.value === "wall" ? new Date(x * 1000).toLocaleString() : number(x) + (axis.value === "work" ? " h" : ""));
  function describe() {
    const lost = (curve) => (curve.nonfinite.count ? `, ${curve.nonfinite.count} not finite, first at ${at(curve.nonfinite.first)}` : "");
    const below = (curve) => { const hidden = scale.value === "log" ? curve.kept.reduce((sum, [, ys]) => sum + ys.filter((y) => y <= 0).length, 0) : 0; return hidden ? `, ${hidden} drawn values of 0 or less are not on a log scale: choose symlog` : ""; };
    legend.replaceChildren(...found.series.map((curve) => make("li", { "data-i": curve.i }, sample(curve.name), `${curve.name}: `, make("b", { text: number(curve.last) }), `${lost(curve)}${below(curve)}${curve.replaced.length ? ", dashed: measured again after a resume" : ""}`)));
    const heads = make("tr", {}, ["Job", "Last", "Lowest", "Highest", "Not finite"].map((text) => make("th", { text, scope: "col" })));
    const rows = found.series.map((curve) => make("tr", {}, make("td", { text: curve.name }), [curve.last, curve.min, curve.max, curve.nonfinite.count].map((value) => make("td", { class: "num", text: number(value) }))));
    values.hidden = false;
    values.replaceChildren(make("summary", { text: "Values" }), make("div", { class: "scroll" }, make("table", {}, make("thead", {}, heads), make("tbody", {}, rows))));
    const last = found.series.filter((curve) => curve.last !== undefined);
    place.setAttribute("aria-label", `${found.key} of ${found.series.length} jobs by ${AXES[axis.value]}; last values from ${number(Math.min(...last.map((curve) => curve.last)))} to ${number(Math.max(...last.map((curve) => curve.last)))}; the numbers are in the table Values below`);
  }
  function hover(x) {
    for (const item of legend.children) {
      const curve = found.series.find((one) => one.i === Number(item.dataset.i));
      if (curve) item.querySelector("b").textContent = number(x === null ? curve.last : valueAt(curve, x)) || "–";
    }
    legend.dataset.at = x === null ? "" : `at ${at(axis.value === "wall" ? x : Number(x.toPrecision(4)))}`;
  }
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let wide = 0;
  const watcher = new ResizeObserver(() => { if (Math.abs(place.clientWidth - wide) > 1) { wide = place.clientWidth; requestAnimationFrame(() => { if (!closed && found) refresh(); }); } });
  dark.addEventListener("change", paint); watcher.observe(place);
  return {
    element: make("section", { "aria-label": "Curves" }, make("h2", { text: "Curves" }), make("div", { class: "bar" }, make("label", {}, "Metric", key), make("label", {}, "Over", axis), make("label", {}, "Scale", scale), make("label", {}, "Smoothing", smooth), oldLabel, back), place, legend, note, values),
    refresh, pick, key: () => (found ? found.key : ""), drawn: () => new Set(picked().map((job) => job.i)),
    close() { closed = true; clearTimeout(later); dark.removeEventListener("change", paint); watcher.disconnect(); if (chart) chart.destroy(); },
  };
}
