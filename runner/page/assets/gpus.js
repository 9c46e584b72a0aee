// A strip with the GPUs of the machine, if it has any.
import { get } from "./api.js";
import { make } from "./dom.js";
const EVERY = 1000, GIB = 2 ** 30;
export function gpuStrip(batch) {
  const place = make("section", { "aria-label": "GPUs" });
  let closed = false, busy = false, none = false, timer = 0;
  const holder = (one) => (one.batch === batch ? one.job : `${one.batch || "another batch"}${one.user ? ` of ${one.user}` : ""}`);
  const strange = (one) => `not ours: pid ${one.pid}, user ${one.user ?? "?"}${one.memory ? `, ${(one.memory / GIB).toFixed(1)} GiB` : ""}`;
  const who = (gpu) => [...gpu.held_by.map(holder), ...gpu.processes.filter((one) => !gpu.held_by.length || !one.own).map(strange)];
  const bar = (text, words, value, max) => make("div", { class: "gauge" }, make("span", { text }), make("meter", { min: 0, max, value, "aria-label": text }), make("span", { class: "num", text: words }));
  function card(gpu) {
    const holders = who(gpu), facts = [gpu.power_mw ? `${Math.round(gpu.power_mw / 1000)} W` : "", gpu.temperature ? `${gpu.temperature} °C` : ""].filter(Boolean).join(" · ");
    return make("article", { class: "card gpu" }, make("h3", {}, `GPU ${gpu.label} `, make("span", { class: "quiet", text: gpu.name })),
      gpu.error ? make("p", { class: "error", text: gpu.error }) : [gpu.utilization === undefined ? null : bar("Busy", `${gpu.utilization} %`, gpu.utilization, 100), bar("Memory", `${(gpu.memory_used / GIB).toFixed(1)} of ${(gpu.memory_total / GIB).toFixed(1)} GiB`, gpu.memory_used, gpu.memory_total)],
      facts ? make("p", { text: facts }) : null, (holders.length || gpu.error ? holders : ["free"]).map((text) => make("p", { class: "quiet", text })));
  }
  async function look() {
    if (busy || none || document.visibilityState === "hidden") return;
    busy = true;
    try {
      const found = await get("/gpus");
      none = !found.gpus.length;
      if (!closed && !none && timer) place.replaceChildren(make("h2", { text: "GPUs of this machine" }), make("div", { class: "cards" }, found.gpus.map(card)));
    } catch { /* api.js has said it */ } finally { busy = false; }
  }
  function start(active) {
    if (active && !timer) { timer = setInterval(look, EVERY); look(); }
    if (!active && timer) { clearInterval(timer); timer = 0; place.replaceChildren(); } // what was seen last is not so any more
  }
  return { element: place, start, close() { closed = true; clearInterval(timer); } };
}
