// A strip with the GPUs of the machine, if it has any.
import { get } from "./api.js";
import { make } from "./dom.js";
const EVERY = 2000, GIB = 2 ** 30;
export function gpuStrip(batch) {
  const place = make("section", { "aria-label": "GPUs" });
  let closed = false, busy = false, none = false;
  const who = (gpu) => [...gpu.held_by.map((one) => (one.batch === batch ? one.job : `${one.batch || "another batch"}${one.user ? ` of ${one.user}` : ""}`)),
    ...(gpu.held_by.length ? [] : gpu.processes.map((one) => `not ours: pid ${one.pid}, user ${one.user ?? "?"}`))].join(", ");
  const card = (gpu) => make("article", { class: "card gpu" }, make("h3", { text: `GPU ${gpu.label} ` }, make("span", { class: "quiet", text: gpu.name })),
    gpu.error ? make("p", { text: gpu.error }) : make("p", { text: [gpu.utilization === undefined ? "" : `${gpu.utilization} % busy`, `${(gpu.memory_used / GIB).toFixed(1)} of ${(gpu.memory_total / GIB).toFixed(1)} GiB`, gpu.power_mw ? `${Math.round(gpu.power_mw / 1000)} W` : "", gpu.temperature ? `${gpu.temperature} °C` : ""].filter(Boolean).join(" · ") }),
    gpu.error ? null : make("meter", { min: 0, max: gpu.memory_total, value: gpu.memory_used, "aria-label": `Memory of GPU ${gpu.label}` }), make("p", { class: "quiet", text: who(gpu) || "free" }));
  async function look() {
    if (busy || none || document.visibilityState === "hidden") return;
    busy = true;
    try {
      const found = await get("/gpus");
      none = !found.gpus.length;
      if (!closed && !none) place.replaceChildren(make("h2", { text: "GPUs of this machine" }), make("div", { class: "cards" }, found.gpus.map(card)));
    } catch { /* api.js has said it */ } finally { busy = false; }
  }
  return { element: place, look, start(active) { if (active && !this.timer) { look(); this.timer = setInterval(look, EVERY); } if (!active && this.timer) { clearInterval(this.timer); this.timer = 0; } }, timer: 0, close() { closed = true; clearInterval(this.timer); } };
}
