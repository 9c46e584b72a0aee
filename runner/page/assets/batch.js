import { FAILED, failure, group, orderButton, running } from "./cards.js";
import { compareView } from "./compare.js";
import { curvesView } from "./curves.js";
import { badge, make, state } from "./dom.js";
import { gpuStrip } from "./gpus.js";
import { follow } from "./state.js";
import { jobTable } from "./table.js";
const CURVES = 1000; // milliseconds between two looks at curves that grow
export function batchView(name, params, go) {
  let closed = false, lastCurves = 0, waiting = 0;
  const keep = (key, value) => { if (value === "" || value === null) params.delete(key); else params.set(key, value); go(params, true); };
  const title = make("h1", { text: name }), words = make("p", { class: "sentence", role: "status" }), orders = make("div", { class: "bar" });
  const failures = make("section", { "aria-label": "Failures" }), runs = make("section", { "aria-label": "Running jobs" });
  const known = follow(name, changed);
  const comparison = compareView(name, keep, params, () => { table.order(); curves.refresh(); });
  const curves = curvesView(name, params, { jobs: known.all, chosen: comparison.chosen, best: () => known.about().best }, keep, () => table.order());
  const table = jobTable(name, params, { drawn: curves.drawn, pick: curves.pick, chosen: comparison.chosen, key: curves.key, jobs: known.jobs }), gpus = gpuStrip(name);
  table.onKeep(keep);
  const readOnly = () => known.about().read_only;
  function header() {
    const about = known.about(), active = about.runner || about.state === "running without a runner";
    words.replaceChildren(state(about.state), ` ${about.sentence}`);
    const wanted = active && !readOnly() ? "stop drain kill" : "";
    if (orders.dataset.wanted !== wanted) { orders.dataset.wanted = wanted; orders.replaceChildren(...wanted.split(" ").filter(Boolean).map((what) => orderButton(what, name, null))); }
    gpus.start(Boolean(active));
    badge(name, known.all());
  }
  function changed({ first, jobs, error }) {
    if (closed) return;
    if (error) { words.textContent = error; return; }
    header();
    const all = known.all();
    group(failures, "Failures", all.filter((job) => FAILED.includes(job.status)), (job) => failure(name, job, readOnly()));
    group(runs, "Running", all.filter((job) => job.status === "running"), (job) => running(name, job, readOnly()));
    if (first || jobs.length) grow(); // before the table, which takes long to lay out: the answer comes meanwhile
    comparison.update(all, known.settings(), known.about().best);
    table.update(all, known.settings(), known.about().best ? known.about().best.metric : null);
    if (first) performance.mark("table");
  }
  function grow() {
    clearTimeout(waiting);
    const wait = lastCurves + CURVES - performance.now();
    if (lastCurves && wait > 0) { waiting = setTimeout(grow, wait); return; }
    lastCurves = performance.now();
    curves.refresh().then(() => { performance.mark("curves"); table.look(); });
  }
  return {
    element: make("div", {}, title, words, orders, failures, runs, curves.element, make("h2", { text: "Jobs" }), table.element, comparison.element, gpus.element),
    close() { closed = true; clearTimeout(waiting); known.close(); curves.close(); table.close(); comparison.close(); gpus.close(); },
    key(pressed) {
      const first = () => { const one = orders.querySelector("button") || runs.querySelector(".bar button"); if (one) one.focus(); };
      const act = { j: () => table.move(1), k: () => table.move(-1), "/": () => table.filter.focus(), x: () => table.toggle(), ".": first }[pressed];
      if (act) act();
      return Boolean(act);
    },
  };
}
