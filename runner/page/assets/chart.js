import { look } from "./dom.js";
const DASHES = [[], [8, 4], [2, 3]];
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
// Pieces of one curve -> positions and values, with a gap (null) between two pieces where something was not finite.
function joined(pieces, gaps) {
  const xs = [], ys = [];
  for (const [px, py] of pieces) {
    if (gaps && xs.length && px.length && px[0] > xs[xs.length - 1]) { xs.push((xs[xs.length - 1] + px[0]) / 2); ys.push(null); }
    for (let at = 0; at < px.length; at++) if (!xs.length || px[at] > xs[xs.length - 1]) { xs.push(px[at]); ys.push(py[at]); }
  }
  return [xs, ys];
}
const lone = (u, at, show) => {
  if (show) return null;
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
export function draw(place, curves, options, zoomed) {
  const tables = [], series = [{}];
  for (const curve of curves) {
    const { colour, dash } = look(curve.name), stroke = css(`--c${colour}`);
    const add = (pieces, more, gaps) => { const table = joined(pieces, gaps); if (table[0].length) { tables.push(table); series.push({ label: curve.name, stroke, width: 2, dash: DASHES[dash], points: { size: 5, filter: lone }, ...more }); } };
    for (const piece of curve.replaced) add([piece], { alpha: 0.45, dash: [3, 4], width: 1 }, false);
    add(curve.kept, curve.smooth.length ? { alpha: 0.25, width: 1 } : {}, curve.nonfinite.count > 0);
    if (curve.smooth.length) add(curve.smooth, {}, true);
  }
  place.replaceChildren();
  if (!tables.length) { place.textContent = options.x === "step" ? "Nothing was measured yet." : "Nothing with a time was measured: the rows need `time`."; return null; }
  const data = uPlot.join(options.log ? tables.map(([x, y]) => [x, y.map((v) => (v === null || v > 0 ? v : null))]) : tables);
  const axis = { stroke: css("--quiet"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line") }, font: "12px system-ui, sans-serif" };
  return new uPlot({
    width: Math.max(place.clientWidth - 18, 240), height: options.height || 320, series, legend: { show: false },
    scales: { x: { time: Boolean(options.time), ...(options.window ? { range: options.window } : {}) }, y: { distr: options.log ? 3 : 1 } },
    axes: [{ ...axis, size: 34, label: options.x, labelSize: 18, labelFont: "12px system-ui, sans-serif" }, { ...axis, size: 64 }],
    cursor: { drag: { x: true, y: false, setScale: false } },
    hooks: { draw: [marks(curves)], setSelect: [(u) => { if (u.select.width > 4) zoomed([u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")]); }] },
  }, data, place);
}
