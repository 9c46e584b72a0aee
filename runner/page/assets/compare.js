// Which settings mattered: the numbers of `overnight compare`, asked for when the section is opened.
import { get, of } from "./api.js";
import { button, make, number } from "./dom.js";
const percent = (part) => (part === null || part === undefined ? "" : `${Math.round(part * 100)} %`);
const AXES = 12; // settings that have an axis
// `changed` is called when other jobs were chosen in the parallel coordinates.
export function compareView(batch, keep, params, changed) {
  const coordinates = make("div", { class: "compare-lines" });
  let lines = null, asked = false, closed = false, goal = null, jobs = [], settings = [], best = null;
  async function load() {
    if (asked) return;
    asked = true;
    const { parallel } = await import("./parallel.js");
    if (closed) return;
    lines = parallel(params, keep, changed);
    coordinates.replaceChildren(lines.element);
    axes();
    if (lines.chosen()) changed();
  }
  function axes() {
    if (!lines) { load(); return; }
    const columns = settings.slice(0, AXES).map((column, at) => [`s${at}`, column.name, jobs.map((job) => column.cells[job.i])]);
    const has = (name) => name && jobs.some((job) => typeof job.metrics[name] === "number");
    const shown = [metric.value, params.get("by"), best && best.metric].find(has);
    if (shown) columns.push(["metric", shown, jobs.map((job) => job.metrics[shown])]);
    lines.update(jobs, shown ? columns.filter(([, , values]) => values.some((value) => value !== "" && value !== "(not set)")) : [], goal && shown === metric.value ? goal : (best && best.better) || "min");
  }
  const place = make("div", { class: "compare" }), metric = make("select", { "aria-label": "Compare by", on: { change: () => { keep("by", metric.value); look(); } } });
  const box = make("details", { class: "section", on: { toggle: () => { if (box.open) { axes(); look(); } keep("compare", box.open ? "1" : ""); } } }, make("summary", {}, make("h2", { text: "Comparison" })), make("div", { class: "bar" }, make("label", {}, "By", metric), button("Again", () => look())), coordinates, place);
  async function look() {
    place.setAttribute("aria-busy", "true");
    try {
      const found = await get(`${of(batch)}/compare`, { metric: params.get("by") });
      metric.replaceChildren(...found.metrics.map((text) => make("option", { text, value: text }))); metric.value = found.metric || "";
      goal = found.goal; axes();
      place.replaceChildren(...shown(found));
    } catch (error) { place.replaceChildren(make("p", { class: "quiet", text: error.message })); } finally { place.removeAttribute("aria-busy"); }
  }
  if (params.get("compare") === "1") box.open = true;
  return {
    element: box, chosen: () => lines && lines.chosen(), close() { closed = true; if (lines) lines.close(); },
    update(list, columns, value) { [jobs, settings, best] = [list, columns, value]; if (box.open || params.get("brush")) axes(); },
  };
}
const table = (name, heads, rows) => make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": name }, make("table", {}, make("thead", {}, make("tr", {}, heads.map((text, at) => make("th", { text, scope: "col", class: rows.length ? rows[0].children[at].className : null })))), make("tbody", {}, rows)));
function shown(found) {
  const ties = new Set(found.not_distinguishable_from_best), same = Object.entries(found.same || {});
  const interval = (group) => (group.lo === null || group.lo === undefined ? "" : `${number(group.lo)} to ${number(group.hi)}`);
  const rows = found.groups.slice(0, 200).map((group, at) => make("tr", {}, make("td", { class: "num", text: String(at + 1) }), found.settings.map((name) => make("td", { text: number(group.settings[name]) })),
    make("td", { class: "num", text: number(group.mean) }), make("td", { class: "num", text: interval(group) }), make("td", { class: "num", text: number(group.median) }), make("td", { class: "num", text: String(group.n) }), make("td", { text: [group.failed ? `${group.failed} of ${group.n + group.failed} failed` : "", ties.has(at) ? "not distinguishable from the best" : ""].filter(Boolean).join("; ") })));
  const parts = (found.importance || []).map((part) => make("tr", {}, make("td", { text: Array.isArray(part.key) ? part.key.join(" with ") : String(part.key) }), make("td", { class: "num", text: percent(part.share) }), make("td", { class: "num", text: part.lo === null || part.lo === undefined ? "" : `${percent(part.lo)} to ${percent(part.hi)}` })));
  return [
    make("p", { class: "quiet", text: `${found.jobs} jobs in ${found.groups.length} groups${found.over.length ? `, averaged over ${found.over.join(", ")}` : ""}${found.goal ? `; the ${found.goal === "max" ? "highest" : "lowest"} ${found.metric} is best` : ""}. ${found.interval}; ${found.ranking}.` }),
    ...found.sentences.map((text) => make("p", {}, make("span", { class: "state bad", text: "✗" }), ` ${text}`)),
    table("Groups of jobs", ["Rank", ...found.settings, "Mean", "Interval", "Median", "Runs", "Remarks"], rows),
    make("h3", { text: "What explains the differences" }),
    found.refused ? make("p", { class: "quiet", text: found.refused }) : table("What explains the differences", ["Setting", "Part", "Interval"], parts),
    same.length ? make("p", { class: "quiet", text: `The same in all jobs: ${same.map(([name, value]) => `${name}=${value}`).join(", ")}` }) : "",
  ];
}
