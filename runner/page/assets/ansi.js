// A line of a log -> spans. Colours become classes; every other control is dropped, or shown as a picture.
import { make } from "./dom.js";
const ESCAPE = /\x1b(?:\[([0-9;:]*)([ -/]*[@-~])|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])|\x9b[0-9;]*[@-~]/g;
const WORD = /(?:\b|(?<=[\d[;]m))(?:(?:error|exception)\b(?![\s:=]*[-+]?\d*\.\d)|fatal\b|killed\b|nan\b|traceback \(most recent)/i; // as in logs.py
const NAME = /[A-Z]\w*(?:Error|Exception)\b|\b[A-Z]+_ERROR/;
const CONTROL = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const picture = (sign) => { const code = sign.charCodeAt(0); return code < 32 ? String.fromCharCode(0x2400 + code) : "\ufffd"; };
function changed(style, codes) {
  const list = (codes || "0").split(/[;:]/).map(Number);
  for (let at = 0; at < list.length; at++) {
    const code = list[at];
    if (code === 0) style.clear();
    else if ([1, 2, 3, 4, 7].includes(code)) style.set(`a${code}`, `a${code}`);
    else if (code === 22) { style.delete("a1"); style.delete("a2"); }
    else if ([23, 24, 27].includes(code)) style.delete(`a${code - 20}`);
    else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) style.set("f", `f${code % 10}`);
    else if ((code >= 40 && code <= 47) || (code >= 100 && code <= 107)) style.set("b", `b${code % 10}`);
    else if (code === 39) style.delete("f");
    else if (code === 49) style.delete("b");
    else if (code === 38 || code === 48) at += list[at + 1] === 5 ? 2 : 4;
  }
}
export function line(text) {
  const element = make("div");
  const last = text.replace(/\r+$/, "");
  const seen = last.slice(last.lastIndexOf("\r") + 1); // a bar that was drawn over and over
  const style = new Map();
  let from = 0;
  const put = (piece) => {
    const clean = piece.replace(CONTROL, picture);
    if (clean) element.append(style.size ? make("span", { class: [...style.values()].join(" "), text: clean }) : clean);
  };
  for (const match of seen.matchAll(ESCAPE)) {
    put(seen.slice(from, match.index));
    if (match[2] === "m") changed(style, match[1]);
    from = match.index + match[0].length;
  }
  put(seen.slice(from));
  if (WORD.test(seen) || NAME.test(seen)) element.className = "error";
  return element;
}
