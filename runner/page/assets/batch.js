import { get, of, shown } from "./api.js";
import { button, duration, make, number, remember, sample, state } from "./dom.js";
import { draw } from "./chart.js";
import { label, order } from "./orders.js";
const TICK = 1000, SLOW = 5000, CURVES = 4000, CHOSEN = 10;
const AXES = { step: "step", work: "working hours", wall: "wall clock" };
export function batchView(name, params, go, readOnly) {
  const jobs = new Map();
  let about = {}, settings = [], version = 0, closed = false, chart = null, plotted = null, sort = { by: "i", down: false }, window_ = null, dirty = true, busy = false, row = -1;
  let chosen = params.get("pick") ? new Set(params.get("pick").split(",").map(Number)) : null;
  const title = make("h1", { text: name }), words = make("p", { class: "sentence" }), orders = make("div", { class: "bar" });
  const failures = make("section", { "aria-label": "Failures" }), running = make("section", { "aria-label": "Running jobs" });
  const key = make("select", { "aria-label": "Metric", on: { change: () => keep("key", key.value) } });
  const log = make("input", { type: "checkbox", checked: params.get("log") === "1", on: { change: () => keep("log", log.checked ? "1" : "") } });
  const smooth = make("input", { type: "range", min: "0", step: "0.01", max: "0.99", value: params.get("smooth") || "0", on: { change: () => keep("smooth", smooth.value === "0" ? "" : smooth.value) } });
  const axis = make("select", { "aria-label": "Axis", on: { change: () => { window_ = null; keep("x", axis.value === "step" ? "" : axis.value); } } }, Object.entries(AXES).map(([value, text]) => make("option", { value, text })));
  axis.value = AXES[params.get("x")] ? params.get("x") : "step";
  const back = button("Whole range", () => { window_ = null; dirty = true; curves(); });
  const place = make("div", { class: "chart", role: "img", "aria-label": "Curves; the numbers are in the table Values below" }), legend = make("ul", { class: "legend" });
  const values = make("details", {}, make("summary", { text: "Values" })), filter = make("input", { type: "search", placeholder: "Filter jobs (/)", id: "search", "aria-label": "Filter jobs", value: params.get("filter") || "", on: { input: () => table(), change: () => keep("filter", filter.value) } });
  const head = make("thead"), body = make("tbody");
  back.hidden = true;
  function keep(name_, value) { if (value) params.set(name_, value); else params.delete(name_); dirty = true; go(params, true); curves(); }
  const all = () => [...jobs.values()];
  function picked() {
    if (chosen) return all().filter((job) => chosen.has(job.i));
    const live = all().filter((job) => job.status !== "pending");
    return [...live.filter((job) => job.status === "running"), ...live.filter((job) => job.status !== "running")].slice(0, CHOSEN);
  }
  const link = (job, tab) => make("a", { href: `#b=${encodeURIComponent(name)}&j=${job.i}${tab ? `&tab=${tab}` : ""}`, text: job.name });
  function doing(job, what) { return readOnly() ? null : button(label(what), () => order(what, name, job ? [job] : []), { class: what === "kill" ? "danger" : null }); }
  function header() {
    words.replaceChildren(state(about.state), ` ${about.sentence}`);
    const active = about.runner || about.state === "running without a runner";
    orders.replaceChildren(...(active && !readOnly() ? [doing(null, "stop"), doing(null, "drain"), doing(null, "kill")] : []));
  }
  function failed(job) {
    const cause = job.cause ? `${job.cause_sure ? "" : "perhaps "}${job.cause}` : job.status;
    return make("article", { class: "card failed" }, make("h3", {}, sample(job.name), link(job, "log")), make("p", {}, state(job.status), ` ${cause}${job.error ? `: ${job.error}` : ""}`),
      job.advice ? make("p", { text: job.advice }) : null, job.last_lines && job.last_lines.length ? make("details", {}, make("summary", { text: "Last lines" }), make("pre", { text: job.last_lines.join("\n") })) : null,
      make("div", { class: "bar" }, doing(job, "rerun")));
  }
  function runs(job) {
    const part = job.iter !== null && job.total ? Math.min(job.iter / job.total, 1) : null;
    const facts = [job.iter !== null && job.iter !== undefined ? `${job.iter}${job.total ? ` of ${job.total}` : ""}` : job.phase || "starting", job.speed ? `${number(job.speed)} it/s` : "", job.left ? `${duration(job.left)} left` : "", job.loss !== null && job.loss !== undefined ? `loss ${number(job.loss)}` : "", job.gpus.length ? `GPU ${job.gpus.join(",")}` : ""];
    return make("article", { class: "card" }, make("h3", {}, sample(job.name), link(job, "log")), make("progress", part === null ? { "aria-label": `Progress of ${job.name}` } : { value: part, max: 1, "aria-label": `Progress of ${job.name}` }), make("p", { text: facts.filter(Boolean).join(" · ") }),
      make("div", { class: "bar" }, doing(job, "stop"), doing(job, "kill")));
  }
  function group(section, heading, list, card) {
    const open = new Set([...section.querySelectorAll("details[open]")].map((one) => one.closest("article").querySelector("a").href));
    section.replaceChildren(...(list.length ? [make("h2", { text: `${heading} (${list.length})` }), make("div", { class: "cards" }, list.slice(0, 60).map(card))] : []));
    for (const one of section.querySelectorAll("details")) if (open.has(one.closest("article").querySelector("a").href)) one.open = true;
  }
  const metric = () => (about.best ? about.best.metric : null);
  function columns() {
    const wanted = metric();
    return [["Job", "name", (job) => job.name], ["Status", "status", (job) => job.status], ...(wanted ? [[wanted, "metric", (job) => job.metrics[wanted] ?? null]] : []), ["Time", "seconds", (job) => job.seconds],
      ...settings.map((column, at) => [column.name, `s${at}`, (job) => { const cell = column.cells[job.i]; return cell !== "" && isFinite(cell) ? Number(cell) : cell; }])];
  }
  function table() {
    const cols = columns(), by = cols.find((col) => col[1] === sort.by), wanted = filter.value.toLowerCase();
    const list = all().filter((job) => !wanted || `${job.name} ${job.status} ${job.cause || ""} ${settings.map((s) => `${s.name}=${s.cells[job.i]}`).join(" ")}`.toLowerCase().includes(wanted));
    const value = by ? by[2] : (job) => job.i;
    list.sort((a, b) => { const x = value(a), y = value(b); if (x === y) return a.i - b.i; if (x === null || x === undefined) return 1; if (y === null || y === undefined) return -1; return (x < y ? -1 : 1) * (sort.down ? -1 : 1); });
    head.replaceChildren(make("tr", {}, make("th", { scope: "col" }, "Draw"), cols.map(([text, id]) => make("th", { scope: "col", "aria-sort": sort.by === id ? (sort.down ? "descending" : "ascending") : null }, button(text + (sort.by === id ? (sort.down ? " ↓" : " ↑") : ""), () => { sort = { by: id, down: sort.by === id && !sort.down }; table(); })))));
    const drawn = new Set(picked().map((job) => job.i));
    body.replaceChildren(...list.slice(0, 1000).map((job, at) => make("tr", { "data-i": job.i, class: at === row ? "current" : null }, make("td", {}, make("input", { type: "checkbox", checked: drawn.has(job.i), "aria-label": `Draw ${job.name}`, on: { change: (event) => pick(job.i, event.target.checked) } })),
      cols.map(([, id, of_]) => { const value_ = of_(job); return id === "name" ? make("td", {}, sample(job.name), link(job)) : id === "status" ? make("td", {}, state(job.status), job.attempt > 1 ? ` (attempt ${job.attempt})` : "", job.note ? make("div", { class: "quiet", text: job.note }) : null) : make("td", { class: typeof value_ === "number" ? "num" : null, text: id === "seconds" ? duration(value_) : number(value_) }); }))));
  }
  function pick(i, yes) { chosen = new Set(picked().map((job) => job.i)); if (yes) chosen.add(i); else chosen.delete(i); params.set("pick", [...chosen].join(",")); go(params, true); dirty = true; curves(); }
  async function curves() {
    const list = picked();
    if (!list.length) { place.textContent = all().length ? "No job has started, or none is ticked in the table." : ""; return; }
    if (busy) return;
    busy = true; dirty = false;
    try {
      const found = await get(`${of(name)}/curves`, { jobs: list.map((job) => job.i).join(","), key: params.get("key"), x: axis.value, px: Math.min(place.clientWidth || 600, 1200), smooth: params.get("smooth"), from: window_ && window_[0], to: window_ && window_[1] });
      if (closed) return;
      const text = JSON.stringify(found);
      const now = text + log.checked + axis.value;
      if (plotted === now) return;
      plotted = now;
      if (found.keys.length) key.replaceChildren(...found.keys.map((text_) => make("option", { text: text_, value: text_ }))); if (found.keys.length) key.value = found.key;
      if (chart) chart.destroy();
      chart = draw(place, found.series, { log: log.checked, x: AXES[axis.value], time: axis.value === "wall", window: window_ }, (range) => { window_ = range; dirty = true; curves(); });
      back.hidden = !window_;
      const lost = (curve) => (curve.nonfinite.count ? `, ${curve.nonfinite.count} not finite, first at ${axis.value === "wall" ? new Date(curve.nonfinite.first * 1000).toLocaleString() : number(curve.nonfinite.first)}${axis.value === "work" ? " h" : ""}` : "");
      const below = (curve) => (log.checked && curve.min <= 0 ? ", values of 0 or less cannot be shown on a log scale" : "");
      legend.replaceChildren(...found.series.map((curve) => make("li", {}, sample(curve.name), `${curve.name}: ${number(curve.last)}${lost(curve)}${below(curve)}${curve.replaced.length ? ", dashed: measured again after a resume" : ""}`)));
      values.replaceChildren(make("summary", { text: "Values" }), make("div", { class: "scroll" }, make("table", {}, make("thead", {}, make("tr", {}, ["Job", "Last", "Lowest", "Highest", "Not finite"].map((h) => make("th", { text: h, scope: "col" })))), make("tbody", {}, found.series.map((curve) => make("tr", {}, make("td", { text: curve.name }), [curve.last, curve.min, curve.max, curve.nonfinite.count].map((v) => make("td", { class: "num", text: number(v) }))))))));
    } finally { busy = false; if (dirty && !closed) setTimeout(curves, 0); }
  }
  let lastLook = 0, lastCurves = 0, looking = false;
  async function look_() {
    const live = about.state === "running" || about.state === "running without a runner";
    if (looking || !shown() || (version && performance.now() - lastLook < (live ? TICK : SLOW) - 100)) return;
    looking = true; lastLook = performance.now();
    try {
      const found = await get(of(name), { since: version });
      if (closed) return;
      if (found.settings) { settings = found.settings; jobs.clear(); }
      for (const job of found.jobs) { remember(job); jobs.set(job.i, job); }
      const first = !version; version = found.version;
      if (found.sentence !== undefined) about = found;
      if (found.jobs.length || found.sentence !== undefined) {
        header();
        group(failures, "Failures", all().filter((job) => ["failed", "killed", "lost", "unreadable"].includes(job.status)), failed);
        group(running, "Running", all().filter((job) => job.status === "running"), runs);
        table();
      }
      if (first || (found.jobs.length && performance.now() - lastCurves > CURVES)) { lastCurves = performance.now(); await curves(); }
    } catch (error) { if (!version) words.textContent = error.message; } finally { looking = false; }
  }
  const timer = setInterval(look_, 250);
  look_();
  const dark = matchMedia("(prefers-color-scheme: dark)"), redraw = () => { plotted = null; curves(); };
  let wide = 0;
  const watcher = new ResizeObserver(() => { if (Math.abs(place.clientWidth - wide) > 1) { wide = place.clientWidth; requestAnimationFrame(() => { if (!closed && version) redraw(); }); } });
  dark.addEventListener("change", redraw); watcher.observe(place);
  const element = make("div", {}, title, words, orders, failures, running, make("h2", { text: "Curves" }),
    make("div", { class: "bar" }, make("label", {}, "Metric", key), make("label", {}, "Over", axis), make("label", {}, log, "Log scale"), make("label", {}, "Smoothing", smooth), back), place, legend, values,
    make("h2", { text: "Jobs" }), make("div", { class: "bar" }, filter), make("div", { class: "scroll" }, make("table", {}, head, body)));
  return {
    element, name, job: (i) => jobs.get(i), version: () => version, look: look_, doing,
    close() { closed = true; clearInterval(timer); dark.removeEventListener("change", redraw); watcher.disconnect(); if (chart) chart.destroy(); },
    key(pressed) {
      const rows = [...body.children], move = (by) => { row = Math.max(0, Math.min(rows.length - 1, row + by)); rows.forEach((one, at) => one.classList.toggle("current", at === row)); if (rows[row]) { rows[row].querySelector("a").focus(); rows[row].scrollIntoView({ block: "nearest" }); } };
      const act = { j: () => move(1), k: () => move(-1), "/": () => filter.focus(), x: () => { if (rows[row]) rows[row].querySelector("input").click(); }, ".": () => { const first = orders.querySelector("button"); if (first) first.focus(); } }[pressed];
      if (act) act();
      return Boolean(act);
    },
  };
}
