// The first page: all batches.
import { get } from "./api.js";
import { duration, make, number, state } from "./dom.js";
import { listen } from "./stream.js";
const HEADS = ["Batch", "State", "Jobs", "Best", "Ran for", "Started", "Labels"];
const row = (batch) => make("tr", {}, make("td", {}, make("a", { href: `#b=${encodeURIComponent(batch.name)}`, text: batch.name })), make("td", {}, state(batch.state)), make("td", { class: "wrap", text: batch.error || batch.counts }),
  make("td", { text: batch.best ? `${batch.best.metric} ${number(batch.best.value)} (${batch.best.job})` : "" }), make("td", { class: "num", text: duration(batch.seconds) }), make("td", { text: batch.created_at ? new Date(batch.created_at).toLocaleString() : "" }),
  make("td", { class: "wrap", text: [batch.tags.length ? `[${batch.tags.join(", ")}]` : "", batch.note || ""].join(" ").trim() }));
export function firstPage() {
  let closed = false, before = "", at = -1;
  const base = make("p", { class: "quiet" }), body = make("tbody"), none = make("p", { class: "quiet" });
  const table = make("div", { class: "scroll" }, make("table", {}, make("thead", {}, make("tr", {}, HEADS.map((text) => make("th", { text, scope: "col" })))), body));
  function show(batches) {
    const text = JSON.stringify(batches);
    if (closed || text === before) return;
    before = text;
    const open = body.contains(document.activeElement) ? document.activeElement.textContent : null;
    none.textContent = batches.length ? "" : "There is no batch yet.";
    table.hidden = !batches.length;
    body.replaceChildren(...batches.map(row));
    if (open) { const again = [...body.querySelectorAll("a")].find((one) => one.textContent === open); if (again) again.focus(); }
  }
  async function look() {
    try {
      const found = await get("/batches");
      base.textContent = found.base + (found.read_only ? " (read only)" : "");
      show(found.batches);
    } catch (error) { if (!before) none.textContent = error.message; }
  }
  const stop = listen("list", (kind, data) => { if (kind === "event" && data.batches) show(data.batches); else look(); });
  look();
  document.title = "Overnight";
  document.querySelector("link[rel=icon]").href = "/assets/icon.svg";
  return {
    element: make("div", {}, make("h1", { text: "Batches" }), base, none, table), close() { closed = true; stop(); },
    key(pressed) {
      if (pressed !== "j" && pressed !== "k") return false;
      const links = body.querySelectorAll("a");
      at = Math.max(0, Math.min(links.length - 1, at + (pressed === "j" ? 1 : -1)));
      if (links[at]) links[at].focus();
      return true;
    },
  };
}
