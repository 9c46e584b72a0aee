// Elements are made here and nowhere else; text reaches the page as text only.
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    else if (name === "text") element.textContent = value;
    else if (["value", "checked", "disabled", "max", "min", "open"].includes(name)) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat()) if (child !== null && child !== undefined && child !== false) element.append(child);
  return element;
}
export function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}
export const byId = (id) => document.getElementById(id);
export function button(text, handler, attributes = {}) { return make("button", { type: "button", text, on: { click: handler }, ...attributes }); }
let hide = 0;
export function notice(text) {
  byId("notice").textContent = text;
  clearTimeout(hide);
  hide = setTimeout(() => { byId("notice").textContent = ""; }, 8000);
}
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !isFinite(seconds)) return "";
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${String(s % 60).padStart(2, "0")} s`;
  return `${Math.floor(s / 3600)} h ${String(Math.floor(s / 60) % 60).padStart(2, "0")} min`;
}
export function number(value) {
  if (typeof value !== "number") return value === null || value === undefined ? "" : String(value);
  return Number.isInteger(value) && Math.abs(value) < 1e9 ? String(value) : String(Number(value.toPrecision(5)));
}
const SIGNS = { completed: ["✓", "good"], done: ["✓", "good"], pruned: ["–", "good"], running: ["▶", "live"], failed: ["✗", "bad"], killed: ["✗", "bad"], lost: ["✗", "bad"], dead: ["✗", "bad"], unreadable: ["✗", "bad"], interrupted: ["◌", "warn"], stopped: ["◌", "warn"], ended: ["◌", "warn"], "running without a runner": ["▶", "warn"] };
export function state(word) { const [sign, kind] = SIGNS[word] || ["·", "quiet"]; return make("span", { class: `state ${kind}`, text: `${sign} ${word}` }); }
// The same job has the same colour and dash everywhere, also on another machine: the server chooses them by its name.
const looks = new Map();
export function remember(job) { looks.set(job.name, job.look); }
export function look(name) { const found = looks.get(name) || 0; return { colour: found % 8, dash: Math.floor(found / 8) }; }
export function sample(name) { const { colour, dash } = look(name); return make("span", { class: `dot k${colour} d${dash}`, "aria-hidden": "true" }); }
// The title and the picture of the tab say how a batch is.
export function badge(name, jobs) {
  const count = (...words) => jobs.filter((job) => words.includes(job.status)).length;
  const bad = count("failed", "killed", "lost", "unreadable"), live = count("running"), done = count("completed");
  document.title = `${bad ? `✗${bad} ` : ""}${live ? `▶${live} ` : ""}${done}/${jobs.length} ${name} – Overnight`;
  document.querySelector("link[rel=icon]").href = `/assets/icon${bad ? "-bad" : live ? "-live" : ""}.svg`;
}
