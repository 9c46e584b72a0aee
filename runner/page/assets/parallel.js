// Parallel coordinates: a line for each job through its settings to its result. What is chosen on an axis filters the page.
import { axis, inside, nearest, read, written } from "./axis.js";
import { FAILED } from "./cards.js";
import { button, make, number } from "./dom.js";
const HEIGHT = 260, HEAD = 12, FOOT = 34, EDGE = 58, LEAST = 118, NEAR = 7, BUCKETS = 5, FEW = 12, SPREAD = 16, FONT = "11.5px system-ui, sans-serif";
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const y = (place) => HEAD + (1 - place) * HEIGHT, NONE = HEAD + HEIGHT + 20;
// `changed` is called after the choice has changed; `keep` puts it into the address.
export function parallel(params, keep, changed) {
  const brushes = new Map([...read(params.get("brush"))].map(([id, ends]) => [id, ends.map(Number)]).filter(([, ends]) => ends.length === 2 && ends.every(isFinite)));
  const flags = new Map([...read(params.get("axes"))].map(([id, [words]]) => [id, [words || ""]]));
  let jobs = [], columns = [], axes = [], spread = [], inputs = "", best = "min", near = null, asked = 0;
  const canvas = make("canvas", { "aria-hidden": "true" }), heads = make("div", { class: "heads" }), strips = make("div");
  const plot = make("div", { class: "plot" }, heads, canvas, strips), scroll = make("div", { class: "scroll parallel", role: "group", "aria-label": "Parallel coordinates; the same numbers are in the table Jobs" }, plot);
  const words = make("p", { class: "quiet", role: "status" }), clear = button("Show all jobs", () => { brushes.clear(); commit(); });
  const caption = make("p", { class: "quiet" });
  const element = make("div", {}, caption, scroll, make("div", { class: "bar" }, words, clear));
  const at = (k) => EDGE + k * ((plot.clientWidth - 2 * EDGE) / Math.max(axes.length - 1, 1));
  const picked = (k) => axes.every((one) => !brushes.has(one.id) || inside(one.units[k], brushes.get(one.id)));
  const active = () => axes.some((one) => brushes.has(one.id));
  // --- what is drawn
  function colours() {
    const ends = [css("--worst"), css("--best")].map((hex) => [1, 3, 5].map((from) => parseInt(hex.slice(from, from + 2), 16)));
    return Array.from({ length: BUCKETS }, (_, k) => `rgb(${ends[0].map((from, c) => Math.round(from + ((ends[1][c] - from) * k) / (BUCKETS - 1))).join()})`);
  }
  function bucket(k) {
    const metric = axes[axes.length - 1], place = metric.place(metric.units[k]);
    if (place === null) return -1;
    const good = (best === "max") === metric.flip ? 1 - place : place;
    return Math.min(Math.floor(good * BUCKETS), BUCKETS - 1);
  }
  // Where few values are, lines lie beside each other in the order of their results.
  const points = (k) => axes.map((one, column) => { const place = one.place(one.units[k]); return [at(column), (place === null ? NONE : y(place)) + (one.steps.length <= FEW && column < axes.length - 1 ? spread[k] : 0)]; });
  function line(ctx, k) { points(k).forEach(([px, py], n) => (n ? ctx.lineTo(px, py) : ctx.moveTo(px, py))); }
  function paint() {
    asked = 0;
    const wide = plot.clientWidth, tall = HEAD + HEIGHT + FOOT, scale = devicePixelRatio, ctx = canvas.getContext("2d");
    if (!wide || !axes.length) return;
    canvas.width = wide * scale; canvas.height = tall * scale; canvas.style.width = `${wide}px`; canvas.style.height = `${tall}px`;
    ctx.setTransform(scale, 0, 0, scale, 0, 0);
    ctx.lineJoin = "round"; ctx.font = FONT;
    const shades = colours(), chosen = new Set(), groups = Array.from({ length: BUCKETS + 1 }, () => []);
    jobs.forEach((_, k) => { if (picked(k)) { chosen.add(k); groups[bucket(k) + 1].push(k); } });
    const many = chosen.size > 150;
    const stroke = (list, style, width, alpha, dash) => { ctx.strokeStyle = style; ctx.lineWidth = width; ctx.globalAlpha = alpha; ctx.setLineDash(dash); ctx.beginPath(); for (const k of list) line(ctx, k); ctx.stroke(); };
    stroke(jobs.map((_, k) => k).filter((k) => !chosen.has(k)), css("--line"), 1, 0.7, []);
    const failed = (k) => FAILED.includes(jobs[k].status);
    stroke(groups[0].filter((k) => !failed(k)), css("--quiet"), 1.2, many ? 0.5 : 0.8, [2, 4]);
    stroke(groups[0].filter(failed), css("--bad"), 1.2, many ? 0.5 : 0.8, [5, 4]);
    shades.forEach((shade, k) => stroke(groups[k + 1], shade, many ? 1 : 1.7, many ? 0.55 : 0.9, []));
    if (near !== null) stroke([near], css("--ink"), 2.6, 1, []);
    ctx.globalAlpha = 1; ctx.setLineDash([]);
    axes.forEach((one, column) => {
      const x = at(column), right = column === axes.length - 1 && axes.length > 1;
      ctx.strokeStyle = css("--quiet"); ctx.lineWidth = 1; ctx.beginPath(); ctx.moveTo(x, y(1)); ctx.lineTo(x, y(0)); ctx.stroke();
      ctx.textAlign = right ? "left" : "right"; ctx.textBaseline = "middle";
      const label = (text, py) => { ctx.lineWidth = 4; ctx.strokeStyle = css("--card"); ctx.fillStyle = css("--ink"); const px = x + (right ? 13 : -13), short = text.length > 9 ? `${text.slice(0, 8)}…` : text; ctx.strokeText(short, px, py); ctx.fillText(short, px, py); };
      for (const [place, text] of one.ticks) label(text, y(place));
      if (one.missing) label("none", NONE);
    });
  }
  const later = () => { asked = asked || requestAnimationFrame(paint); };
  // --- the controls
  function say() {
    const parts = axes.filter((one) => brushes.has(one.id)).map((one) => { const [low, high] = brushes.get(one.id); return `${one.name} ${one.text(low)}${one.text(low) === one.text(high) ? "" : ` to ${one.text(high)}`}`; });
    words.textContent = parts.length ? `${jobs.filter((_, k) => picked(k)).length} of ${jobs.length} jobs, also in the table and the curves: ${parts.join("; ")}` : "Drag along an axis, or move its two ends by the arrow keys, to choose jobs.";
    clear.hidden = !parts.length;
  }
  function commit() {
    keep("brush", written(new Map([...brushes].map(([id, ends]) => [id, ends.map((end) => Number(end.toPrecision(9)))]))));
    place(); say(); later();
    const before = scroll.getBoundingClientRect().top;
    changed();
    scrollBy(0, scroll.getBoundingClientRect().top - before); // the table above is shorter or longer now
  }
  function choose(one, low, high) {
    const [first, last] = [one.steps[0], one.steps[one.steps.length - 1]];
    if (low <= first && high >= last) brushes.delete(one.id); else brushes.set(one.id, [low, high]);
  }
  function ends(one) { return brushes.get(one.id) || [one.steps[0], one.steps[one.steps.length - 1]]; }
  function pressed(one, end, event) {
    const steps = one.steps, [low, high] = ends(one).map((value) => nearest(steps, value)), was = end ? high : low, last = steps.length - 1, up = one.flip ? -1 : 1;
    const to = { ArrowUp: was + up, ArrowRight: was + up, ArrowDown: was - up, ArrowLeft: was - up, PageUp: was + 5 * up, PageDown: was - 5 * up, Home: end ? low : 0, End: end ? last : high }[event.key];
    if (event.key === "Escape" && brushes.has(one.id)) brushes.delete(one.id);
    else if (to === undefined) return;
    else if (end) choose(one, steps[low], steps[Math.min(Math.max(to, low), last)]);
    else choose(one, steps[Math.max(Math.min(to, high), 0)], steps[high]);
    event.preventDefault(); event.stopPropagation();
    commit();
  }
  function handle(one, end) { return make("div", { class: "handle", role: "slider", tabindex: "0", "aria-orientation": "vertical", "aria-label": `${one.name}, ${end ? "highest" : "lowest"}`, "aria-valuemin": "0", "aria-valuemax": String(one.steps.length - 1), on: { keydown: (event) => pressed(one, end, event) } }); }
  function drag(one, strip, event) {
    if (event.button) return;
    const where = (moved) => 1 - Math.min(Math.max((moved.clientY - strip.getBoundingClientRect().top) / HEIGHT, 0), 1);
    const [low, high] = ends(one).map((value) => one.place(value)), from = where(event), has = brushes.has(one.id), reach = NEAR / HEIGHT;
    const [foot, head] = [Math.min(low, high), Math.max(low, high)];
    const kind = has && Math.abs(from - foot) < reach ? "foot" : has && Math.abs(from - head) < reach ? "head" : has && from > foot && from < head ? "move" : "new";
    const set = (a, b) => {
      const [lower, upper] = [one.value(a), one.value(b)].sort((p, q) => p - q);
      if (one.numbers) { choose(one, lower, upper); return; }
      const [first, last] = [Math.ceil(lower - 0.25), Math.floor(upper + 0.25)], middle = Math.round((lower + upper) / 2); // words in the brush
      if (first > last) choose(one, middle, middle); else choose(one, first, last);
    };
    const move = (moved) => {
      const now = where(moved), by = now - from;
      if (kind === "foot") set(now, head); else if (kind === "head") set(foot, now); else if (kind === "new") set(from, now);
      else { const kept = Math.min(Math.max(by, -foot), 1 - head); set(foot + kept, head + kept); }
      place(); say(); later();
    };
    const end = (moved) => {
      strip.removeEventListener("pointermove", move); strip.removeEventListener("pointerup", end); strip.removeEventListener("pointercancel", end);
      if (Math.abs(where(moved) - from) * HEIGHT < 3 && kind !== "foot" && kind !== "head") brushes.delete(one.id);
      commit();
    };
    strip.setPointerCapture(event.pointerId);
    strip.addEventListener("pointermove", move); strip.addEventListener("pointerup", end); strip.addEventListener("pointercancel", end);
  }
  function toggle(one, sign) {
    const now = (flags.get(one.id) || [""])[0].replace(/[ln]/g, ""), turned = now.includes("f");
    const log = sign === "l" ? !one.log : one.log, flip = sign === "f" ? !turned : turned;
    flags.set(one.id, [`${one.positive ? (log ? "l" : "n") : ""}${flip ? "f" : ""}`]);
    keep("axes", written(flags)); build();
    const again = heads.children[axes.findIndex((other) => other.id === one.id)];
    [...again.querySelectorAll("button")].find((other) => other.dataset.sign === sign).focus();
  }
  function build() {
    axes = columns.map(([id, name, values]) => axis(id, name, values, (flags.get(id) || [""])[0]));
    const last = axes.length ? axes[axes.length - 1].units : [], order = jobs.map((_, k) => k).sort((a, b) => (last[b] ?? -Infinity) - (last[a] ?? -Infinity));
    spread = [];
    order.forEach((k, rank) => { spread[k] = (rank / Math.max(order.length - 1, 1) - 0.5) * SPREAD; });
    heads.replaceChildren(...axes.map((one) => make("div", { class: "axis" }, make("b", { text: one.name, title: one.name }), make("span", {},
      one.positive ? button("log", () => toggle(one, "l"), { "aria-pressed": String(one.log), "data-sign": "l", "aria-label": `${one.name}: logarithmic` }) : null,
      button("flip", () => toggle(one, "f"), { "aria-pressed": String(one.flip), "data-sign": "f", "aria-label": `${one.name}: upside down` })))));
    strips.replaceChildren(...axes.map((one) => { const strip = make("div", { class: "strip" }, make("div", { class: "brush" }), handle(one, 0), handle(one, 1)); strip.addEventListener("pointerdown", (event) => drag(one, strip, event)); return strip; }));
    place(); say(); later();
  }
  function place() {
    plot.style.minWidth = `${2 * EDGE + LEAST * (axes.length - 1)}px`;
    axes.forEach((one, k) => {
      const strip = strips.children[k], [brush, ...both] = strip.children, [low, high] = ends(one), places = [low, high].map((value) => one.place(value)), half = one.numbers ? 0 : 0.5 / one.steps.length;
      heads.children[k].style.left = `${at(k)}px`; strip.style.left = `${at(k)}px`; strip.style.top = `${heads.offsetHeight + HEAD}px`; strip.style.height = `${HEIGHT}px`;
      const foot = Math.min(...places) - half, head = Math.max(...places) + half;
      brush.hidden = !brushes.has(one.id);
      brush.style.top = `${(1 - head) * HEIGHT - 2}px`; brush.style.height = `${(head - foot) * HEIGHT + 4}px`;
      both.forEach((slider, end) => { slider.style.top = `${(1 - places[end]) * HEIGHT}px`; slider.setAttribute("aria-valuenow", String(nearest(one.steps, end ? high : low))); slider.setAttribute("aria-valuetext", one.text(end ? high : low)); });
    });
  }
  plot.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect(), px = event.clientX - box.left, py = event.clientY - box.top;
    let found = null, least = NEAR;
    if (!event.buttons) for (let k = 0; k < jobs.length; k++) if (picked(k)) {
      const list = points(k), n = list.findIndex(([x]) => x >= px);
      if (n < 1) continue;
      const [[x0, y0], [x1, y1]] = [list[n - 1], list[n]], away = Math.abs(y0 + ((y1 - y0) * (px - x0)) / (x1 - x0) - py);
      if (away < least) { least = away; found = k; }
    }
    if (found === near) return;
    near = found; later();
    if (near === null) say(); else words.textContent = `${jobs[near].name}: ${axes.map((one) => `${one.name} ${one.units[near] === null ? "none" : one.numbers ? number(one.units[near]) : one.text(one.units[near])}`).join(", ")}`;
  });
  plot.addEventListener("pointerleave", () => { if (near !== null) { near = null; say(); later(); } });
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", later);
  const watcher = new ResizeObserver(() => { place(); later(); });
  watcher.observe(plot);
  return {
    element,
    // `columns`: of each axis its name, heading and the value of each job, the metric last; `goal`: min or max.
    update(list, given, goal) {
      jobs = list; columns = given; best = goal;
      element.hidden = columns.length < 2 || list.length < 2;
      caption.textContent = element.hidden ? "" : `Each line is a job; the strongest have the ${goal === "max" ? "highest" : "lowest"} ${columns[columns.length - 1][1]}. Without a value: dashed if it failed, else dotted.`;
      const text = JSON.stringify([columns, list.map((job) => job.i)]);
      if (text === inputs) return;
      inputs = text;
      const controls = () => [...plot.querySelectorAll("button, .handle")], focused = controls().indexOf(document.activeElement), count = controls().length;
      build();
      if (focused >= 0 && controls().length === count) controls()[focused].focus(); // others stand in their places now
    },
    // Whether the job with this number is chosen; null if nothing is.
    chosen() {
      if (!active()) return null;
      const found = new Set(jobs.filter((_, k) => picked(k)).map((job) => job.i));
      return (i) => found.has(i);
    },
    close() { watcher.disconnect(); dark.removeEventListener("change", later); cancelAnimationFrame(asked); },
  };
}
