import { button, duration, make, number, sample, state } from "./dom.js";
import { label, order } from "./orders.js";
export const FAILED = ["failed", "killed", "lost", "unreadable"];
const MOST = 60, FIRST = 6; // the cards of a section, and those that are shown at once
export const link = (batch, job, tab) => make("a", { href: `#b=${encodeURIComponent(batch)}&j=${job.i}${tab ? `&tab=${tab}` : ""}`, text: job.name });
export const orderButton = (what, batch, job) => button(label(what), () => order(what, batch, job ? [job] : []), { class: what === "kill" ? "danger" : null });
export function failure(batch, job, readOnly) {
  return make("article", { class: "card failed" }, make("h3", {}, sample(job.name), link(batch, job, "log")), make("p", {}, state(job.status), job.title ? make("b", { text: ` ${job.title}` }) : ""),
    job.error ? make("p", { class: "error", text: job.error }) : null,
    job.advice ? make("p", { class: "advice", text: job.advice }) : null,
    job.last_lines && job.last_lines.length ? make("details", {}, make("summary", { text: "Last lines" }), make("pre", { text: job.last_lines.join("\n") })) : null,
    readOnly ? null : make("div", { class: "bar" }, orderButton("rerun", batch, job)));
}
export function running(batch, job, readOnly) {
  const part = job.iter !== null && job.total ? Math.min(job.iter / job.total, 1) : null;
  const has = (value) => value !== null && value !== undefined;
  const facts = [has(job.iter) ? `${job.iter}${job.total ? ` of ${job.total}` : ""}` : job.phase || "starting", job.speed ? `${Number(job.speed.toPrecision(3))} it/s` : "", job.left ? `${duration(job.left)} left` : "", has(job.loss) ? `loss ${number(job.loss)}` : "", job.gpus.length ? `GPU ${job.gpus.join(",")}` : ""];
  const named = { "aria-label": `Progress of ${job.name}` };
  return make("article", { class: "card" }, make("h3", {}, sample(job.name), link(batch, job, "log")), make("progress", part === null ? named : { value: part, max: 1, ...named }),
    make("p", { text: facts.filter(Boolean).join(" · ") }), readOnly ? null : make("div", { class: "bar" }, orderButton("stop", batch, job), orderButton("kill", batch, job)));
}
// A section of cards. A card is made again only if its job has changed, so that an open text and the focus stay.
export function group(section, heading, list, card) {
  const known = new Map([...section.querySelectorAll("article")].map((one) => [one.dataset.job, one]));
  if (!list.length) { section.replaceChildren(); return; }
  const cards = list.slice(0, MOST).map((job) => {
    const text = JSON.stringify(job), old = known.get(String(job.i));
    if (old && old.dataset.text === text) return old;
    const made = card(job);
    made.dataset.job = job.i; made.dataset.text = text;
    if (old && old.querySelector("details[open]")) made.querySelector("details").open = true;
    if (old && old.contains(document.activeElement)) made.dataset.at = [...old.querySelectorAll("a, button, summary")].indexOf(document.activeElement);
    return made;
  });
  const rest = cards.slice(FIRST), open = section.querySelector(".more[open]") !== null;
  section.replaceChildren(make("h2", { text: `${heading} (${list.length})` }), make("div", { class: "cards" }, cards.slice(0, FIRST)),
    rest.length ? make("details", { class: "more", open }, make("summary", { text: `${rest.length} more` }), make("div", { class: "cards" }, rest)) : "", list.length > MOST ? make("p", { class: "quiet", text: `and ${list.length - MOST} more, in the table below` }) : "");
  for (const made of cards) if (made.dataset.at) { const focused = made.querySelectorAll("a, button, summary")[Number(made.dataset.at)]; delete made.dataset.at; if (focused) focused.focus(); }
}
