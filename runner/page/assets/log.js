import { get, of } from "./api.js";
import { button, make, notice } from "./dom.js";
import { line } from "./ansi.js";
import { listen } from "./stream.js";
const bytes = (count) => (count < 1e5 ? `${(count / 1e3).toFixed(1)} kB` : `${(count / 1e6).toFixed(1)} MB`);
const MOST = 5000, CHUNK = 65536, SMALL = 2400; // SMALL: two of them have fewer lines than MOST
const LOGS = ["combined.log", "stdout.log", "stderr.log"];
export function logView(batch, job, params, keep) {
  const path = (name) => `${of(batch)}/jobs/${job}/log/${name}`;
  let name = LOGS.includes(params.get("log")) ? params.get("log") : LOGS[0], from = 0, to = 0, size = 0, follow = !params.get("line"), closed = false, hit = null, torn = "", busy = false, wide = true, turn = 0, stop = () => {};
  const box = make("div", { class: "log", tabindex: "0", role: "log", "aria-live": "off", "aria-label": "Log" });
  const where = make("span", { class: "quiet" });
  const search = make("input", { type: "search", placeholder: "Search the log (/)", "aria-label": "Search the log", id: "search" });
  const regular = make("input", { type: "checkbox" });
  const follows = button("Follow", () => setFollow(!follow), { "aria-pressed": String(follow), title: "f" });
  const chooser = make("select", { "aria-label": "Which log" }, LOGS.map((text) => make("option", { text, value: text })));
  chooser.value = name;
  const encoder = new TextEncoder();
  function setFollow(yes) { follow = yes; follows.setAttribute("aria-pressed", String(yes)); if (yes) { keep("line", ""); restart(); } }
  function put(text, at, before) {
    let offset = at;
    const made = [];
    for (const one of text.split("\n")) { const element = line(one); element.dataset.at = offset; offset += encoder.encode(one).length + 1; made.push(element); }
    if (text.endsWith("\n")) made.pop();
    if (before) box.prepend(...made); else box.append(...made);
    while (box.childElementCount > MOST) {
      if (before) { to = Number(box.lastChild.dataset.at); wide = false; torn = ""; box.lastChild.remove(); }
      else { box.firstChild.remove(); from = Number(box.firstChild.dataset.at); }
    }
  }
  function say() { where.textContent = !size ? "empty" : from || to < size ? `${bytes(from)} to ${bytes(to)} of ${bytes(size)}` : bytes(size); }
  const bottom = () => { if (follow) box.scrollTop = box.scrollHeight; };
  async function restart() {
    const mine = ++turn, part = await get(path(name), { size: CHUNK });
    if (closed || mine !== turn) return; // another part was asked for meanwhile
    show(part);
  }
  function show(part) { box.replaceChildren(); torn = ""; from = to = part.from; append(part); bottom(); say(); }
  function append(part) {
    const begins = torn && box.lastChild ? Number(box.lastChild.dataset.at) : to;
    if (torn && box.lastChild) box.lastChild.remove();
    const text = torn + part.text;
    to = part.to; size = part.size; wide = to >= size;
    torn = text.endsWith("\n") ? "" : text.slice(text.lastIndexOf("\n") + 1);
    put(text, begins, false);
  }
  // What the stream of events brings is added if it follows on what is shown; else what is missing is asked for.
  function grown(kind, data) {
    if (closed || !wide) { if (data && data.size) { size = data.size; say(); } return; }
    if (kind === "event" && data.error) { notice(data.error); return; }
    if (kind === "event" && data.skipped && follow) { show(data); notice(`${bytes(data.skipped)} skipped: the log grows faster than it can be shown`); return; }
    if (kind === "event" && data.reset) { if (follow) show(data); return; }
    if (kind === "event" && data.from === to) { append(data); bottom(); say(); return; }
    if (kind === "event" && data.to <= to) return;
    more().catch(() => {});
  }
  async function more() {
    if (busy) return;
    busy = true;
    try {
      const part = await get(path(name), { from: to, size: CHUNK });
      if (closed) return;
      if (part.size < to || (part.size - to > 4 * CHUNK && follow)) { await restart(); return; }
      size = part.size;
      if (part.text && part.from === to) { append(part); bottom(); }
      say();
    } finally { busy = false; }
  }
  function watch() { stop(); stop = listen(`log:${batch}:${job}:${name}`, grown); }
  async function later() {
    if (busy || to >= size) return;
    busy = true;
    try { const part = await get(path(name), { from: to, size: CHUNK / 4 }); if (!closed && part.text) append(part); say(); } finally { busy = false; }
  }
  async function earlier(many = CHUNK / 4) {
    if (!from) return;
    const begin = Math.max(0, from - many), height = box.scrollHeight;
    const part = await get(path(name), { from: begin, size: from - begin });
    const cut = begin ? part.text.indexOf("\n") + 1 : 0;
    const at = begin + encoder.encode(part.text.slice(0, cut)).length;
    from = at; put(part.text.slice(cut), at, true);
    box.scrollTop += box.scrollHeight - height; say();
  }
  async function jump(lineAt) {
    const mine = ++turn;
    if (follow) { follow = false; follows.setAttribute("aria-pressed", "false"); }
    let element = [...box.children].find((one) => Number(one.dataset.at) === lineAt);
    if (!element) {
      const part = await get(path(name), { from: lineAt, size: SMALL });
      if (closed || mine !== turn) return;
      box.replaceChildren(); torn = ""; from = to = lineAt;
      append(part);
      element = box.firstChild;
      await earlier(SMALL);
    }
    for (const old of box.querySelectorAll(".hit")) old.classList.remove("hit");
    if (element) { element.classList.add("hit"); element.scrollIntoView({ block: "center" }); }
    keep("line", String(lineAt));
    say();
  }
  async function find(word, back) {
    let at = hit === null ? (back ? size : 0) : back ? (word ? hit.at : hit.line) : hit.after;
    try {
      for (;;) {
        const found = await get(`${path(name)}/search`, { q: word, at, back: back ? 1 : 0, re: word && regular.checked ? 1 : 0 });
        if (found.at !== null) { hit = found; await jump(found.line); return; }
        if (found.next === null) { notice(`${word ? `“${word}”` : "An error line"}: no further hit ${back ? "above" : "below"}`); return; }
        at = found.next;
      }
    } catch (error) { notice(error.message); }
  }
  search.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); if (!event.shiftKey && search.dataset.done !== search.value) hit = null; search.dataset.done = search.value; find(search.value, event.shiftKey); } });
  chooser.addEventListener("change", () => { name = chooser.value; hit = null; box.replaceChildren(); torn = ""; from = to = 0; keep("line", ""); keep("log", name === LOGS[0] ? "" : name); watch(); restart().catch((error) => { box.textContent = error.message; }); });
  box.addEventListener("scroll", () => { if (follow && box.scrollHeight - box.scrollTop - box.clientHeight > 60) { follow = false; follows.setAttribute("aria-pressed", "false"); } if (box.scrollHeight - box.scrollTop - box.clientHeight < 60 && !wide) later(); });
  const element = make("div", {},
    make("div", { class: "bar" }, chooser, search, make("label", { title: "A regular expression" }, regular, ".*"), button("Next", () => find(search.value, false), { title: "n" }), button("Previous", () => find(search.value, true), { title: "N" }),
      button("Next error", () => find("", false), { title: "e" }), button("Previous error", () => find("", true), { title: "E" }), follows, button("Earlier", () => earlier()), where), box);
  (params.get("line") ? jump(Number(params.get("line")) || 0) : restart()).catch((error) => { box.textContent = error.message; });
  watch();
  return {
    element, close() { closed = true; stop(); },
    key(key) {
      const act = { n: () => find(search.value, false), N: () => find(search.value, true), e: () => find("", false), E: () => find("", true), f: () => setFollow(!follow), "/": () => search.focus() }[key];
      if (act) act();
      return Boolean(act);
    },
  };
}
