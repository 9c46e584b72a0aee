import { look } from "./dom.js";
const DASHES = [[], [8, 4], [2, 3]], LEFT = 64, RIGHT = 26, TOP = 8, FONT = "12px system-ui, sans-serif";
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const width = (place) => Math.max(Math.floor(place.clientWidth) - 18, 240);
// The columns of pixels that the curves have: the server keeps the lowest and the highest value of each.
export const columns = (place) => Math.round((width(place) - LEFT - RIGHT) * devicePixelRatio);
// Pieces of one curve -> positions and values, with a gap (null) between two pieces where something was not finite.
function joined(pieces, gaps) {
  const xs = [], ys = [];
  for (const [px, py] of pieces) {
    if (gaps && xs.length && px.length && px[0] > xs[xs.length - 1]) { xs.push((xs[xs.length - 1] + px[0]) / 2); ys.push(null); }
    for (let at = 0; at < px.length; at++) if (!xs.length || px[at] > xs[xs.length - 1]) { xs.push(px[at]); ys.push(py[at]); }
  }
  return [xs, ys];
}
const lone = (u, at) => {
  const ys = u.data[at], found = [];
  const beside = (from, by) => { for (let k = from + by; k >= 0 && k < ys.length; k += by) if (ys[k] !== undefined) return ys[k]; return null; };
  for (let k = 0; k < ys.length; k++) if (typeof ys[k] === "number" && beside(k, -1) === null && beside(k, 1) === null) found.push(k);
  return found;
};
function marks(curves) {
  return (u) => {
    const { ctx, bbox } = u;
    for (const curve of curves) {
      ctx.fillStyle = css(`--c${look(curve.name).colour}`);
      for (const [place] of curve.nonfinite.marks) {
        const x = u.valToPos(place, "x", true);
        if (x < bbox.left || x > bbox.left + bbox.width) continue;
        const foot = bbox.top + bbox.height, size = 5 * devicePixelRatio;
        ctx.beginPath(); ctx.moveTo(x - size, foot); ctx.lineTo(x + size, foot); ctx.lineTo(x, foot - size * 1.7); ctx.fill();
      }
    }
  };
}
// Behind the curves: between the lowest and the highest, and between the quarters, of all jobs; the middle as a line.
function fanned(fan) {
  return (u) => {
    const { ctx, bbox } = u, at = (x, y) => [u.valToPos(x, "x", true), u.valToPos(y, "y", true)];
    const line = (places) => places.forEach(([x, y], k) => (k ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
    ctx.save();
    ctx.beginPath(); ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height); ctx.clip();
    for (const [low, high, alpha] of [[0, 4, 0.13], [1, 3, 0.2]]) {
      ctx.globalAlpha = alpha; ctx.fillStyle = css("--quiet");
      ctx.beginPath(); line([...fan.x.map((x, k) => at(x, fan.parts[k][high])), ...fan.x.map((x, k) => at(x, fan.parts[k][low])).reverse()]); ctx.fill();
    }
    ctx.globalAlpha = 0.8; ctx.strokeStyle = css("--quiet"); ctx.lineWidth = devicePixelRatio;
    ctx.beginPath(); line(fan.x.map((x, k) => at(x, fan.parts[k][2]))); ctx.stroke();
    ctx.restore();
  };
}
function data(curves, options) {
  const tables = [], series = [{}];
  const add = (curve, pieces, more, gaps) => {
    const table = joined(pieces, gaps), { colour, dash } = look(curve.name);
    if (!table[0].length) return;
    tables.push(options.scale === "log" ? [table[0], table[1].map((v) => (v === null || v > 0 ? v : null))] : table);
    series.push({ label: curve.name, stroke: css(`--c${colour}`), width: 2, dash: DASHES[dash], points: { size: 5, filter: lone }, ...more });
  };
  for (const curve of curves) {
    for (const piece of curve.replaced) add(curve, [piece], { alpha: 0.45, dash: [3, 4], width: 1 }, false);
    add(curve, curve.kept, curve.smooth.length ? { alpha: 0.25, width: 1 } : {}, curve.nonfinite.count > 0);
    if (curve.smooth.length) add(curve, curve.smooth, {}, true);
  }
  if (options.fan && options.fan.x.length) for (const part of [0, 4]) {
    tables.push([options.fan.x, options.fan.parts.map((values) => values[part])]);
    series.push({ label: "all jobs", width: 0, points: { show: false } });
  }
  return { series, table: tables.length ? uPlot.join(tables) : null };
}
const moves = (kind) => kind === "mousemove" || kind === "mouseleave"; // what charts with one cursor tell each other
// Times of the day, the first one of a day with its date.
function clock(u, splits, axis, space, step) {
  let before = "";
  return splits.map((at) => {
    const when = new Date(at * 1000), date = when.toLocaleDateString([], { day: "numeric", month: "short" }), first = date !== before;
    before = date;
    if (step >= 86400) return date;
    const time = when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...(step < 60 ? { second: "2-digit" } : {}) });
    return first ? `${time}\n${date}` : time;
  });
}
export function draw(place, curves, options, zoomed, moved) {
  const made = data(curves, options);
  place.replaceChildren();
  if (!made.table) { place.textContent = options.x === "step" ? "Nothing was measured yet." : "Nothing with a time was measured: the rows need `time`."; return null; }
  const axis = { stroke: css("--quiet"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line") }, font: FONT };
  const distr = { log: 3, symlog: 4 }[options.scale] || 1, range = options.range && options.range[1] > options.range[0] ? { range: options.range } : {};
  const chart = new uPlot({
    width: width(place), height: options.height || 320, series: made.series, legend: { show: false }, padding: [TOP, RIGHT, 0, 0],
    scales: { x: { time: Boolean(options.time), ...range }, y: { distr, ...(distr === 4 ? { asinh: 1e-3 } : {}) } },
    axes: [{ ...axis, size: 34, label: options.x, labelSize: 18, labelFont: FONT, ...(options.time ? { values: clock } : {}) }, { ...axis, size: LEFT }],
    cursor: { drag: { x: true, y: false, setScale: false }, points: { show: false }, ...(options.sync ? { sync: { key: options.sync, scales: ["x", null], filters: { pub: moves, sub: moves } } } : {}) },
    hooks: {
      drawClear: options.fan && options.fan.x.length ? [fanned(options.fan)] : [], draw: [marks(curves)],
      setSelect: [(u) => { if (u.select.width > 4) zoomed([u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")]); }],
      setCursor: moved ? [(u) => moved(u.cursor.left < 0 ? null : u.posToVal(u.cursor.left, "x"))] : [],
    },
  }, made.table, place);
  place.chart = chart; // for tests and for those who look with the tools of the browser
  return chart;
}
// The value of a curve at a position: that of the last point up to there.
export function valueAt(curve, x) {
  let found = null;
  for (const [xs, ys] of curve.kept) {
    if (!xs.length || xs[0] > x) break;
    let low = 0, high = xs.length - 1;
    while (low < high) { const middle = (low + high + 1) >> 1; if (xs[middle] <= x) low = middle; else high = middle - 1; }
    found = ys[low];
  }
  return found;
}
