import { get, of, shown } from "./api.js";
import { button, duration, make, number, remember, sample, state } from "./dom.js";
import { draw } from "./chart.js";
import { logView } from "./log.js";
import { label, order } from "./orders.js";
const RUNS = "running";
export function jobView(batch, i, tab, go, readOnly) {
  let closed = false, job = null, version = 0, log = null, busy = false, details = null, words = "";
  const title = make("h1", { text: "…" }), line = make("p", { class: "sentence" }), orders = make("div", { class: "bar" }), tabs = make("div", { class: "tabs", role: "tablist" }), panel = make("div", { role: "tabpanel" });
  const rows = (pairs) => make("dl", {}, pairs.flatMap(([name, value]) => [make("dt", { class: "quiet", text: name }), make("dd", { text: value })]));
  const grid = (heads, list) => make("div", { class: "scroll" }, make("table", {}, make("thead", {}, make("tr", {}, heads.map((text) => make("th", { text, scope: "col" })))), make("tbody", {}, list.map((cells) => make("tr", {}, cells.map((cell) => make("td", { text: cell })))))));
  const SHOWN = {
    log: () => { log = logView(batch, i, () => !job || job.status === RUNS); return log.element; },
    config: () => { const changed = Object.entries(details.changes); return make("div", {}, make("h2", { text: "Changed by overrides" }), changed.length ? grid(["Setting", "In the config", "Used"], changed.map(([name, [old, now]]) => [name, old, now])) : make("p", { class: "quiet", text: "Nothing: the config is used as it is." }), make("h2", { text: "All settings" }), grid(["Setting", "Value"], Object.entries(details.config))); },
    results: () => (job && Object.keys(job.metrics).length ? grid(["Metric", "Last value"], Object.entries(job.metrics).map(([name, value]) => [name, number(value)])) : make("p", { class: "quiet", text: "No result yet." })),
    attempts: () => { const place = make("div"); attempts(place); return place; },
    resources: () => { const place = make("div"); used(place); return place; },
    files: () => make("div", {}, rows([["Folder", details.folder], ["Command", details.command.join(" ")]]), make("h2", { text: "Files" }), grid(["Name", "Size"], details.files.map((file) => [file.name, file.size < 1e6 ? `${file.size} B` : `${(file.size / 1e6).toFixed(1)} MB`]))),
  };
  if (!SHOWN[tab]) tab = "log";
  async function used(place) {
    try {
      const found = await get(`${of(batch)}/jobs/${i}/resources`);
      if (!found.totals && !found.curves.length) { place.append(make("p", { class: "quiet", text: "Nothing is known of what this job uses." })); return; }
      place.append(make("p", { text: found.totals }), make("ul", {}, found.findings.map((text) => make("li", { text }))));
      for (const one of found.curves) {
        const chart = make("div", { class: "chart small", role: "img", "aria-label": `${one.name}: last ${number(one.last)}, lowest ${number(one.min)}, highest ${number(one.max)}` });
        place.append(make("h2", { text: one.name }), chart);
        if (chart.isConnected) draw(chart, [one], { x: "seconds", height: 170 }, () => {});
      }
    } catch (error) { place.textContent = error.message; }
  }
  async function attempts(place) {
    try {
      const found = (await get(`${of(batch)}/jobs/${i}/attempts`)).attempts;
      place.replaceChildren(found.length ? grid(["Earlier attempt", "Status", "Started", "Ran for", "Error"], found.map((one) => [one.attempt, one.status, one.started_at ? new Date(one.started_at).toLocaleString() : "", duration(one.seconds), one.error])) : make("p", { class: "quiet", text: "No earlier attempts." }),
        make("p", { class: "quiet", text: found.length ? "Their logs and results are in the folders attempt_1, attempt_2, … of the job." : "" }));
    } catch (error) { place.textContent = error.message; }
  }
  function open(name) {
    if (log) log.close();
    log = null; tab = name;
    tabs.replaceChildren(...Object.keys(SHOWN).map((one) => button(one[0].toUpperCase() + one.slice(1), () => { go(new URLSearchParams({ b: batch, j: i, tab: one }), true); open(one); }, { role: "tab", "aria-selected": String(one === tab) })));
    panel.replaceChildren(SHOWN[tab]());
  }
  function head() {
    const facts = [job.attempt > 1 ? `attempt ${job.attempt}` : "", job.iter !== null && job.iter !== undefined ? `${job.iter}${job.total ? ` of ${job.total}` : ""}` : "", job.left ? `${duration(job.left)} left` : "", job.seconds ? duration(job.seconds) : "", job.error || "", job.note || ""].filter(Boolean).join(" · ");
    line.replaceChildren(state(job.status), ` ${facts}`);
    const what = job.status === RUNS ? ["stop", "kill"] : ["completed", "pruned", "failed", "killed", "interrupted", "lost"].includes(job.status) ? ["rerun"] : [];
    if (words !== what.join()) { words = what.join(); orders.replaceChildren(...(readOnly() ? [] : what.map((one) => button(label(one), () => order(one, batch, [job]), { class: one === "kill" ? "danger" : null })))); }
  }
  async function look() {
    if (busy || !shown()) return;
    busy = true;
    try {
      const found = await get(of(batch), { since: version });
      if (closed) return;
      version = found.version;
      found.jobs.forEach(remember);
      const mine = found.jobs.find((one) => one.i === i);
      if (mine) { job = mine; head(); }
    } catch (error) { if (!job) line.textContent = error.message; } finally { busy = false; }
  }
  const timer = setInterval(look, 1000);
  (async () => {
    try { details = await get(`${of(batch)}/jobs/${i}`); } catch (error) { line.textContent = error.message; return; }
    if (closed) return;
    await look();
    title.replaceChildren(sample(details.name), details.name);
    if (!closed) open(tab);
  })();
  return { element: make("div", {}, title, line, orders, tabs, panel), close() { closed = true; clearInterval(timer); if (log) log.close(); }, key: (pressed) => (log ? log.key(pressed) : false) };
}
