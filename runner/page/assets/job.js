import { get, of } from "./api.js";
import { orderButton } from "./cards.js";
import { duration, make, number, sample, state } from "./dom.js";
import { logView } from "./log.js";
import { follow } from "./state.js";
const RUNS = "running", AGAIN = ["completed", "pruned", "failed", "killed", "interrupted", "lost"];
const NAMES = { log: "Log", config: "Config", results: "Results", resources: "Resources", files: "Files", attempts: "Attempts" };
const quiet = (text) => make("p", { class: "quiet", text });
const cells = (list) => make("tr", {}, list.map((cell) => make("td", cell instanceof Node ? {} : { text: cell }, cell instanceof Node ? cell : null)));
const grid = (heads, list) => make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": heads.join(", ") }, make("table", {}, make("thead", {}, make("tr", {}, heads.map((text) => make("th", { text, scope: "col" })))), make("tbody", {}, list.map(cells))));
const size = (bytes) => (bytes < 1e4 ? `${bytes} B` : bytes < 1e6 ? `${(bytes / 1e3).toFixed(0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);
const fileAddress = (path, name) => `/api/v1${path}/files/${name.split("/").map(encodeURIComponent).join("/")}`;

function config(details) {
  const changed = Object.entries(details.changes);
  return make("div", {}, make("h2", { text: "Changed by overrides" }),
    changed.length ? grid(["Setting", "In the config", "Used"], changed.map(([name, [old, now]]) => [name, old, now])) : quiet("Nothing: the config is used as it is."),
    make("h2", { text: "All settings" }), grid(["Setting", "Value"], Object.entries(details.config)));
}
async function attempts(path) {
  const found = (await get(`${path}/attempts`)).attempts;
  if (!found.length) return quiet("No earlier attempts.");
  return make("div", {}, grid(["Earlier attempt", "Status", "Started", "Ran for", "Error"], found.map((one) => [one.attempt, one.status, one.started_at ? new Date(one.started_at).toLocaleString() : "", duration(one.seconds), one.error])),
    quiet("Their logs and results are in the folders attempt_1, attempt_2, … of the job."));
}
async function files(path, details) {
  const found = (await get(`${path}/files`)).files, place = make("div");
  const link = (file) => make("a", { href: fileAddress(path, file.name), target: "_blank", rel: "noopener noreferrer", text: file.name });
  const pictures = found.filter((file) => file.picture).slice(0, 60);
  place.append(make("dl", {}, make("dt", { class: "quiet", text: "Folder" }), make("dd", { text: details.folder }), make("dt", { class: "quiet", text: "Command" }), make("dd", { text: details.command.join(" ") })));
  if (pictures.length) place.append(make("h2", { text: "Pictures" }), make("div", { class: "pictures" }, pictures.map((file) => make("figure", {}, make("img", { src: fileAddress(path, file.name), alt: file.name, loading: "lazy" }), make("figcaption", {}, link(file))))));
  place.append(make("h2", { text: "Files" }), grid(["Name", "Size", "Changed"], found.map((file) => [link(file), size(file.size), new Date(file.time * 1000).toLocaleString()])));
  return place;
}

export function jobView(batch, i, params, go) {
  const path = `${of(batch)}/jobs/${i}`;
  let closed = false, job = null, part = null, details = null, words = "", tab = NAMES[params.get("tab")] ? params.get("tab") : "log", opened = 0;
  const title = make("h1", { text: "…" }), line = make("p", { class: "sentence", role: "status" }), orders = make("div", { class: "bar" });
  const tabs = make("div", { class: "tabs", role: "tablist" }), panel = make("div", { role: "tabpanel", id: "panel" });
  const keep = (key, value) => { if (value === "") params.delete(key); else params.set(key, value); go(params, true); };
  const results = () => (job && Object.keys(job.metrics).length ? grid(["Metric", "Last value"], Object.entries(job.metrics).map(([name, value]) => [name, number(value)])) : quiet("No result yet."));
  async function content(name) {
    const view = { log: () => logView(batch, i, params, keep), resources: async () => (await import("./resources.js")).resourcesView(batch, i, path, () => Boolean(job && job.status === RUNS)) }[name];
    if (view) return view();
    return { config: () => config(details), results, files: () => files(path, details), attempts: () => attempts(path) }[name]();
  }
  async function open(name) {
    if (part) part.close();
    part = null; tab = name;
    const turn = ++opened;
    tabs.replaceChildren(...Object.entries(NAMES).map(([one, text]) => make("button", { type: "button", text, role: "tab", "aria-controls": "panel", "aria-selected": String(one === tab), on: { click: () => { params.delete("line"); keep("tab", one === "log" ? "" : one); open(one); tabs.querySelector("[aria-selected=true]").focus(); } } })));
    let made;
    try { made = await content(name); } catch (error) { made = quiet(error.message); }
    if (turn !== opened || closed) { if (made.close) made.close(); return; }
    if (made.element) part = made;
    panel.replaceChildren(made.element || made);
  }
  function head() {
    const has = (value) => value !== null && value !== undefined;
    const facts = [job.attempt > 1 ? `attempt ${job.attempt}` : "", has(job.iter) ? `${job.iter}${job.total ? ` of ${job.total}` : ""}` : "", job.left ? `${duration(job.left)} left` : "", job.seconds ? duration(job.seconds) : "", job.error || "", job.note || ""].filter(Boolean).join(" · ");
    line.replaceChildren(state(job.status), ` ${facts}`);
    const what = known.about().read_only ? [] : job.status === RUNS ? ["stop", "kill"] : AGAIN.includes(job.status) ? ["rerun"] : [];
    if (words !== what.join()) { words = what.join(); orders.replaceChildren(...what.map((one) => orderButton(one, batch, job))); }
    document.title = `${job.status} ${job.name} – Overnight`;
  }
  const known = follow(batch, ({ error }) => {
    if (closed) return;
    if (error) { line.textContent = error; return; }
    const now = known.jobs.get(i);
    if (!now) { line.textContent = "There is no such job."; return; }
    job = now; head();
  });
  (async () => {
    try { details = await get(path); } catch (error) { line.textContent = error.message; return; }
    if (closed) return;
    title.replaceChildren(sample(details.name), details.name);
    open(tab);
  })();
  tabs.addEventListener("keydown", (event) => {
    const all = [...tabs.children], at = all.indexOf(document.activeElement), step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step && at >= 0) { all[(at + step + all.length) % all.length].focus(); event.preventDefault(); }
  });
  return {
    element: make("div", {}, title, line, orders, tabs, panel), close() { closed = true; known.close(); if (part) part.close(); },
    key(pressed) { if (pressed === ".") { const one = orders.querySelector("button"); if (one) one.focus(); return true; } return part && part.key ? part.key(pressed) : false; },
  };
}
