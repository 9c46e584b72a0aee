import { get, login, shown } from "./api.js";
import { button, byId, duration, make, number, state } from "./dom.js";
import { batchView } from "./batch.js";
import { jobView } from "./job.js";
import { ask } from "./orders.js";
let view = null, readOnly = false;
const KEYS = [["/", "search or filter"], ["j k", "next and previous row"], ["Enter", "open"], ["Esc", "back"], ["n N", "next and previous hit in the log"], ["e E", "next and previous error in the log"], ["f", "follow the log"], ["x", "draw the job of the row, or not"], [".", "the stop buttons"], ["?", "this list"]];
function go(params, quietly) { const hash = `#${params}`; if (quietly) history.replaceState(null, "", hash); else location.hash = hash; }
function firstPage() {
  let closed = false, busy = false, before = "";
  const base = make("p", { class: "quiet" }), body = make("tbody"), none = make("p", { class: "quiet" });
  const table = make("div", { class: "scroll" }, make("table", {}, make("thead", {}, make("tr", {}, ["Batch", "State", "Jobs", "Best", "Ran for", "Started", "Labels"].map((text) => make("th", { text, scope: "col" })))), body));
  async function look() {
    if (busy || !shown()) return;
    busy = true;
    try {
      const found = await get("/batches");
      if (closed) return;
      readOnly = found.read_only;
      base.textContent = found.base + (readOnly ? " (read only)" : "");
      const text = JSON.stringify(found.batches);
      if (text === before) return;
      before = text;
      none.textContent = found.batches.length ? "" : "There is no batch yet.";
      table.hidden = !found.batches.length;
      body.replaceChildren(...found.batches.map((batch) => make("tr", {}, make("td", {}, make("a", { href: `#b=${encodeURIComponent(batch.name)}`, text: batch.name })), make("td", {}, state(batch.state)), make("td", { class: "wrap", text: batch.error || batch.counts }), make("td", { text: batch.best ? `${batch.best.metric} ${number(batch.best.value)} (${batch.best.job})` : "" }), make("td", { class: "num", text: duration(batch.seconds) }), make("td", { text: batch.created_at ? new Date(batch.created_at).toLocaleString() : "" }), make("td", { class: "wrap", text: [batch.tags.length ? `[${batch.tags.join(", ")}]` : "", batch.note || ""].join(" ").trim() }))));
    } catch (error) { if (!before) none.textContent = error.message; } finally { busy = false; }
  }
  const timer = setInterval(look, 2000);
  look();
  let row = -1;
  return { element: make("div", {}, make("h1", { text: "Batches" }), base, none, table), close() { closed = true; clearInterval(timer); }, key(pressed) { const links = body.querySelectorAll("a"); if (pressed !== "j" && pressed !== "k") return false; row = Math.max(0, Math.min(links.length - 1, row + (pressed === "j" ? 1 : -1))); if (links[row]) links[row].focus(); return true; } };
}
async function route() {
  const params = new URLSearchParams(location.hash.slice(1)), batch = params.get("b"), job = params.get("j");
  if (view) view.close();
  const link = (text, hash) => make("a", { href: hash, text });
  const crumbs = [];
  if (batch && job !== null) crumbs.push("/ ", link(batch, `#b=${encodeURIComponent(batch)}`)); else if (batch) crumbs.push(`/ ${batch}`);
  byId("crumbs").replaceChildren(...crumbs);
  document.title = batch ? `${batch} – Overnight` : "Overnight";
  if (batch) { try { readOnly = (await get("/batches")).read_only; } catch { /* the view says what is wrong */ } }
  view = !batch ? firstPage() : job !== null ? jobView(batch, Number(job), params.get("tab") || "log", go, () => readOnly) : batchView(batch, params, go, () => readOnly);
  byId("main").replaceChildren(view.element);
  scrollTo(0, 0);
}
function help() { ask("Keys", (done) => [make("dl", {}, KEYS.flatMap(([key, text]) => [make("dt", {}, make("kbd", { text: key })), make("dd", { text })])), make("div", { class: "bar" }, button("Close", () => done(null)))]); }
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("dialog").open) return;
  const typing = event.target.matches("input[type=search], select, textarea");
  if (event.key === "Escape") { if (typing) event.target.blur(); else if (location.hash.length > 1) { const params = new URLSearchParams(location.hash.slice(1)); go(params.has("j") ? new URLSearchParams({ b: params.get("b") }) : new URLSearchParams()); } return; }
  if (typing) return;
  if (event.key === "?") { help(); event.preventDefault(); return; }
  if (view && view.key(event.key)) event.preventDefault();
});
byId("help").addEventListener("click", help);
byId("skip").addEventListener("click", (event) => { event.preventDefault(); byId("main").focus(); });
addEventListener("hashchange", route);
const given = new URLSearchParams(location.hash.slice(1)).get("t");
if (given) { const known = await login(given); history.replaceState(null, "", "/"); if (!known) byId("connection").textContent = "the token is not that of this page: open the address that it printed"; }
route();
