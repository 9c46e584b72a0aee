// The table of jobs: a row is made again only if its job has changed.
import { button, duration, make, number, sample, state } from "./dom.js";
import { link } from "./cards.js";
import { sparks } from "./spark.js";
// `drawn`, `pick`: the jobs of the chart; `chosen`: whether a job is among those of the comparison, null for all; `key`: the metric of the chart.
export function jobTable(batch, params, { drawn, pick, chosen, key, jobs: known }) {
  const head = make("thead"), body = make("tbody"), count = make("span", { class: "quiet" });
  const filter = make("input", { type: "search", placeholder: "Filter jobs, as in lr=0.1 failed (/)", id: "search", "aria-label": "Filter jobs", value: params.get("filter") || "", on: { input: () => order(), change: () => keep("filter", filter.value) } });
  const rows = new Map(); // number of the job -> its row and what it was made of
  let jobs = [], settings = [], metric = null, heads = "", current = -1, keep = () => {};
  const small = sparks(batch, () => metric || key(), () => known);
  let [by, down] = [(params.get("sort") || "i").replace(/^-/, ""), (params.get("sort") || "").startsWith("-")];
  function columns() {
    return [["Job", "name", (job) => job.name], ["Status", "status", (job) => job.status], ...(metric ? [[metric, "metric", (job) => job.metrics[metric] ?? null]] : []), ["Curve", "curve", null], ["Time", "seconds", (job) => job.seconds],
      ...settings.map((column, at) => [column.name, `s${at}`, (job) => { const cell = column.cells[job.i]; return cell !== "" && isFinite(cell) ? Number(cell) : cell; }])];
  }
  function cell(job, [, id, of_]) {
    if (id === "curve") return small.cell(job.i);
    const value = of_(job);
    if (id === "name") return make("td", {}, sample(job.name), link(batch, job));
    if (id === "status") return make("td", {}, state(job.status), job.attempt > 1 ? ` (attempt ${job.attempt})` : "", job.note ? make("div", { class: "quiet", text: job.note }) : null);
    return make("td", { class: typeof value === "number" ? "num" : null, text: id === "seconds" ? duration(value) : number(value) });
  }
  function row(job, cols) {
    const text = JSON.stringify(job), known = rows.get(job.i);
    if (known && known.text === text && known.heads === heads) return known.element;
    const box = make("input", { type: "checkbox", "aria-label": `Draw ${job.name}`, on: { change: () => pick(job.i, box.checked) } });
    const element = make("tr", { "data-i": job.i }, make("td", {}, box), cols.map((col) => cell(job, col)));
    const found = `${job.name} ${job.status} ${job.cause || ""} ${settings.map((one) => `${one.name}=${one.cells[job.i]}`).join(" ")}`.toLowerCase();
    rows.set(job.i, { text, heads, element, box, found });
    small.row(job.i, element);
    return element;
  }
  function headings(cols) {
    const numbers = cols.map(([, , of_]) => Boolean(of_) && jobs.some((job) => typeof of_(job) === "number"));
    const now = JSON.stringify([cols.map(([text]) => text), numbers, by, down]);
    if (now === heads) return;
    heads = now;
    head.replaceChildren(make("tr", {}, make("th", { scope: "col", text: "Draw" }), cols.map(([text, id, of_], at) => (!of_ ? make("th", { scope: "col", text }) : make("th", { scope: "col", class: numbers[at] ? "num" : null, "aria-sort": by === id ? (down ? "descending" : "ascending") : null },
      button(text + (by === id ? (down ? " ↓" : " ↑") : ""), () => { down = by === id && !down; by = id; keep("sort", (down ? "-" : "") + by); order(); }))))));
  }
  function order() {
    const cols = columns(), col = cols.find(([, id, of_]) => id === by && of_), value = col ? col[2] : (job) => job.i;
    headings(cols);
    const only = chosen();
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const list = jobs.filter((job) => { row(job, cols); const { found } = rows.get(job.i); return (!only || only(job.i)) && words.every((word) => found.includes(word)); });
    list.sort((a, b) => { const x = value(a), y = value(b); if (x === y) return a.i - b.i; if (x === null || x === undefined) return 1; if (y === null || y === undefined) return -1; return (x < y ? -1 : 1) * (down ? -1 : 1); });
    const elements = list.map((job) => rows.get(job.i).element);
    if (elements.length !== body.children.length || elements.some((one, at) => one !== body.children[at])) {
      const held = body.contains(document.activeElement) ? document.activeElement : null, of_ = held && held.closest("tr").dataset.i, kind = held && held.tagName;
      body.replaceChildren(...elements);
      const again = held && elements.find((one) => one.dataset.i === of_);
      if (again) again.querySelector(kind).focus({ preventScroll: true });
      elements.forEach((one, at) => one.classList.toggle("current", at === current));
    }
    count.textContent = list.length < jobs.length ? `${list.length} of ${jobs.length} jobs` : "";
    const marked = drawn();
    for (const job of list) { const { box } = rows.get(job.i), yes = marked.has(job.i); if (box.checked !== yes) box.checked = yes; }
  }
  function move(step) {
    const all = [...body.children];
    current = Math.max(0, Math.min(all.length - 1, current + step));
    all.forEach((one, at) => one.classList.toggle("current", at === current));
    if (all[current]) { all[current].querySelector("a").focus(); all[current].scrollIntoView({ block: "nearest" }); }
  }
  return {
    element: make("div", {}, make("div", { class: "bar" }, filter, count), make("div", { class: "scroll" }, make("table", {}, head, body))),
    update(jobs_, settings_, metric_) { jobs = jobs_; settings = settings_; metric = metric_; order(); small.look(); },
    look: small.look, close: small.close,
    onKeep(handler) { keep = handler; }, order, filter, move, toggle() { const one = body.children[current]; if (one) one.querySelector("input").click(); },
  };
}
