// The state of one batch in this tab: what the server sent last, kept up to date by the stream of events.
import { get, of } from "./api.js";
import { remember } from "./dom.js";
import { listen } from "./stream.js";
export function follow(name, changed) {
  const jobs = new Map();
  let version = 0, about = {}, settings = [], closed = false, busy = false, again = false;
  function take(found) {
    if (found.settings) { settings = found.settings; jobs.clear(); }
    for (const job of found.jobs) { remember(job); jobs.set(job.i, job); }
    const first = !version;
    version = found.version;
    if (found.sentence !== undefined) about = found;
    if (first || found.jobs.length || found.sentence !== undefined) changed({ first, jobs: found.jobs });
  }
  async function look() {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const found = await get(of(name), { since: version });
      if (!closed) take(found);
    } catch (error) { if (!version && !closed) changed({ error: error.message }); } finally { busy = false; if (again && !closed) { again = false; look(); } }
  }
  const stop = listen(`batch:${name}`, (kind, data) => {
    if (kind === "event" && version && !data.error && data.since <= version) { if (data.version > version) take(data); }
    else look();
  });
  look();
  return { jobs, all: () => [...jobs.values()], about: () => about, settings: () => settings, close() { closed = true; stop(); } };
}
