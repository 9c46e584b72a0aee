import { get, of, post } from "./api.js";
import { button, byId, make, notice } from "./dom.js";
const WORDS = {
  stop: ["Stop and save", "asks the job to save and leave; it is killed if it does not within its grace time. It can be resumed.", false],
  kill: ["Stop now", "kills the job and every process below it at once. What it has not saved is lost.", true],
  drain: ["Drain", "lets running jobs finish and starts no other.", false],
  rerun: ["Run again", "runs the job again as a new attempt, in the background. Earlier attempts are kept.", false],
};
export const label = (what) => WORDS[what][0];
export function ask(title, content) {
  const dialog = byId("dialog");
  return new Promise((answer) => {
    const done = (value) => { dialog.close(); answer(value); };
    dialog.replaceChildren(make("h2", { id: "dialog-title", text: title }), ...content(done));
    dialog.oncancel = () => answer(null);
    dialog.showModal();
  });
}
export async function order(what, batch, jobs) {
  const [title, meaning, dangerous] = WORDS[what];
  const names = jobs.map((job) => job.name);
  const whom = names.length ? names.slice(0, 5).join(", ") + (names.length > 5 ? ` and ${names.length - 5} more` : "") : `the whole batch ${batch}`;
  const yes = await ask(`${title}: ${whom}`, (done) => [
    make("p", { text: `This ${meaning}` }), make("p", { class: "quiet", text: "It is noted in master_log.txt." }),
    make("div", { class: "bar" }, button(title, () => done(true), { class: dangerous ? "danger" : null, id: "confirm" }), button("Cancel", () => done(false), { autofocus: dangerous })),
  ]);
  if (!yes) return;
  const { order: number } = await post(`${of(batch)}/orders`, { what, jobs: jobs.map((job) => job.i), key: crypto.randomUUID() });
  notice(`${title}: ${whom} …`);
  const timer = setInterval(async () => {
    const found = await get(`/orders/${number}`);
    if (found.ended) { clearInterval(timer); notice(found.lines.slice(0, 6).join("\n") || `${title}: done`); }
  }, 500);
}
