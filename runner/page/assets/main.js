import { login } from "./api.js";
import { batchView } from "./batch.js";
import { firstPage } from "./batches.js";
import { button, byId, make } from "./dom.js";
import { jobView } from "./job.js";
import { ask } from "./orders.js";
let view = null;
const KEYS = [["/", "search or filter"], ["j k", "next and previous row"], ["Enter", "open"], ["Esc", "back"], ["n N", "next and previous hit in the log"], ["e E", "next and previous error in the log"], ["f", "follow the log"], ["x", "draw the job of the row, or not"], ["↑ ↓", "move the end of an axis in the comparison"], [".", "the stop buttons"], ["?", "this list"]];
function go(params, quietly) { const hash = `#${params}`; if (quietly) history.replaceState(null, "", hash); else location.hash = hash; }
function route() {
  const params = new URLSearchParams(location.hash.slice(1)), batch = params.get("b"), job = params.get("j");
  if (view) view.close();
  const link = (text, hash) => make("a", { href: hash, text });
  const crumbs = [];
  if (batch && job !== null) crumbs.push("/ ", link(batch, `#b=${encodeURIComponent(batch)}`)); else if (batch) crumbs.push(`/ ${batch}`);
  byId("crumbs").replaceChildren(...crumbs);
  document.title = batch ? `${batch} – Overnight` : "Overnight";
  view = !batch ? firstPage() : job !== null ? jobView(batch, Number(job), params, go) : batchView(batch, params, go);
  byId("main").replaceChildren(view.element);
  scrollTo(0, 0);
}
function help() { ask("Keys", (done) => [make("dl", {}, KEYS.flatMap(([key, text]) => [make("dt", {}, make("kbd", { text: key })), make("dd", { text })])), make("div", { class: "bar" }, button("Close", () => done(null)))]); }
function back() {
  const params = new URLSearchParams(location.hash.slice(1));
  if (params.has("b")) go(params.has("j") ? new URLSearchParams({ b: params.get("b") }) : new URLSearchParams());
}
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("dialog").open) return;
  const typing = event.target.matches("input[type=search], select, textarea");
  if (event.key === "Escape") { if (typing) { event.target.blur(); event.preventDefault(); } else back(); return; } // a search stays
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
