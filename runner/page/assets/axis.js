// One axis of the parallel coordinates: values of jobs <-> places from 0 at its foot to 1 at its head. Pure.
import { number } from "./dom.js";
const MANY = 40, WIDE = 50, TICKS = 7;
const missing = (value) => value === undefined || value === null || value === "" || value === "(not set)";
const numeric = (value) => typeof value === "number" || (String(value).trim() !== "" && isFinite(value));
const byNumber = (a, b) => a - b;
// `flags`: "l" for log, "n" for not, "f" for flipped. An axis of numbers is logarithmic by itself if they are far apart.
export function axis(id, name, values, flags) {
  const there = values.filter((value) => !missing(value)), numbers = there.length > 0 && there.every(numeric);
  const distinct = [...new Set(there.map((value) => (numbers ? Number(value) : String(value))))].sort(numbers ? byNumber : undefined);
  const positive = numbers && distinct[0] > 0, log = positive && (flags.includes("l") || (!flags.includes("n") && distinct[distinct.length - 1] / distinct[0] >= WIDE));
  const flip = flags.includes("f"), scaled = (value) => (log ? Math.log(value) : value);
  const low = numbers ? scaled(distinct[0]) : -0.5, high = numbers ? scaled(distinct[distinct.length - 1]) : distinct.length - 0.5, way = high - low || 1;
  const turned = (place) => (flip ? 1 - place : place);
  const known = new Map(distinct.map((value, at) => [value, at]));
  const unit = (value) => (missing(value) ? null : numbers ? Number(value) : known.get(String(value))); // a number, or the place of a word
  const place = (at) => (at === null || at === undefined ? null : turned(high === low ? 0.5 : (scaled(at) - low) / way));
  const steps = numbers ? (distinct.length <= MANY ? distinct : Array.from({ length: MANY + 1 }, (_, at) => value(at / MANY, true))) : distinct.map((_, at) => at);
  function value(where, straight) { const at = high === low ? low : low + (straight ? where : turned(where)) * way; return log ? Math.exp(at) : at; }
  const text = (at) => (numbers ? number(Number(at.toPrecision(4))) : distinct[Math.min(Math.max(Math.round(at), 0), distinct.length - 1)]);
  const shown = distinct.length <= TICKS ? steps : numbers ? Array.from({ length: 5 }, (_, at) => value(at / 4, true)) : steps.filter((_, at) => at % Math.ceil(steps.length / TICKS) === 0);
  return { id, name, numbers, log, flip, positive, units: values.map(unit), steps, place, value, text, ticks: shown.map((at) => [place(at), text(at)]), missing: there.length < values.length };
}
// A brush: from its lower to its higher end, in numbers or in places of words. One that covers all is none.
export const inside = (at, [low, high]) => at !== null && at >= low - Math.abs(low) * 1e-6 && at <= high + Math.abs(high) * 1e-6;
export const nearest = (steps, at) => steps.reduce((best, one, k) => (Math.abs(one - at) < Math.abs(steps[best] - at) ? k : best), 0);
// `s0:0.1:0.5,metric:1:2` <-> brushes by the names of their axes; `s0:l` <-> flags.
export const read = (text) => new Map((text || "").split(",").filter(Boolean).map((word) => { const [id, ...rest] = word.split(":"); return [id, rest]; }));
export const written = (map) => [...map].map(([id, rest]) => [id, ...rest].join(":")).join(",");
