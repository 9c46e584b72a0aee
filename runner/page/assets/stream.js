// One stream of events for all tabs of this browser: one tab holds it and passes the events on to the others.
import { connected, get } from "./api.js";
const SILENT = 4500, HIDDEN = 60000, AGAIN = 20000, GONE = 150000;
const tab = crypto.randomUUID(), channel = new BroadcastChannel("overnight");
const handlers = new Map(); // topic -> handlers of this tab
const others = new Map(); // tab -> its topics, and when it said so
let leading = false, source = null, sourceTopics = "", last = "", alive = performance.now(), asleep = false, soon = 0;

function give(message) {
  alive = performance.now();
  if (message.kind === "alive") { connected(true); return; }
  if (message.kind === "lost") { connected(false); return; }
  connected(true);
  const list = message.topic ? handlers.get(message.topic) || [] : [...handlers.values()].flat();
  for (const handler of list) handler(message.kind, message.data);
}
function tell(message) { channel.postMessage(message); give(message); }
function want() { channel.postMessage({ kind: "want", tab, topics: topics() }); if (leading) later(); }
const topics = () => (asleep ? [] : [...handlers.keys()]);
function later() { clearTimeout(soon); soon = setTimeout(open, 30); }
function open() {
  if (!leading) return;
  const now = performance.now();
  for (const [other, known] of others) if (now - known.at > GONE) others.delete(other);
  const all = [...new Set([...topics(), ...[...others.values()].flatMap((known) => known.topics)])].sort();
  if (source && source.readyState !== EventSource.CLOSED && sourceTopics === all.join("\n")) return;
  if (source) source.close();
  source = null; sourceTopics = all.join("\n");
  if (!all.length) return;
  const query = new URLSearchParams(all.map((topic) => ["topic", topic]));
  if (last) query.set("last", last);
  const opened = source = new EventSource(`/api/v1/events?${query}`);
  opened.onopen = () => tell({ kind: "again" });
  opened.onerror = () => {
    tell({ kind: "lost" });
    if (opened.readyState === EventSource.CLOSED && source === opened) {
      setTimeout(async () => { try { await get("/batches"); } catch { /* api.js has said it */ } if (source === opened) { source = null; open(); } }, 2000);
    }
  };
  const take = (kind, event) => {
    last = event.lastEventId || last;
    if (kind === "ping") tell({ kind: "alive" });
    else if (kind === "resync") tell({ kind: "again" });
    else { const data = JSON.parse(event.data); tell({ kind: "event", topic: data.topic, data }); }
  };
  for (const kind of ["ping", "resync", "list", "batch", "log"]) opened.addEventListener(kind, (event) => take(kind, event));
}
channel.onmessage = ({ data: message }) => {
  if (message.kind === "want") { others.set(message.tab, { topics: message.topics, at: performance.now() }); if (leading) later(); }
  else if (message.kind === "bye") { others.delete(message.tab); if (leading) later(); }
  else if (message.kind === "who") want();
  else give(message);
};
navigator.locks.request("overnight-stream", () => { leading = true; channel.postMessage({ kind: "who" }); later(); return new Promise(() => {}); });
addEventListener("pagehide", () => channel.postMessage({ kind: "bye", tab }));
addEventListener("pageshow", (event) => { if (event.persisted) want(); });
let hidden = 0;
document.addEventListener("visibilitychange", () => {
  clearTimeout(hidden);
  if (document.visibilityState === "hidden") { hidden = setTimeout(() => { asleep = true; want(); }, HIDDEN); return; }
  alive = performance.now();
  if (asleep) { asleep = false; want(); for (const list of handlers.values()) for (const handler of list) handler("again"); }
});
setInterval(() => { if (handlers.size && !asleep && document.visibilityState !== "hidden" && performance.now() - alive > SILENT) connected(false); }, 1000);
setInterval(want, AGAIN);
export function listen(topic, handler) {
  handlers.set(topic, [...(handlers.get(topic) || []), handler]);
  want();
  return () => {
    const left = handlers.get(topic).filter((one) => one !== handler);
    if (left.length) handlers.set(topic, left); else handlers.delete(topic);
    want();
  };
}
