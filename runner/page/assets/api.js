import { byId } from "./dom.js";
const HEADERS = { "Content-Type": "application/json", "X-Runner": "1" };
let lastSeen = null, lostAt = null;
export class Refused extends Error {}
export function connected(yes) {
  const place = byId("connection");
  if (yes) { lastSeen = new Date(); lostAt = null; }
  else lostAt = lostAt || new Date();
  document.body.classList.toggle("stale", !yes);
  place.classList.toggle("lost", !yes);
  place.textContent = yes ? "" : `no connection since ${lostAt.toLocaleTimeString()}${lastSeen ? `, last seen ${lastSeen.toLocaleTimeString()}` : ""}`;
}
async function answered(path, options) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", signal: AbortSignal.timeout(20000), ...options });
  } catch (error) { connected(false); throw error; }
  if (response.status === 401) { connected(false); byId("connection").textContent = "the page was started again: open the address that it printed"; throw new Refused("no session"); }
  connected(true);
  const body = await response.json();
  if (!response.ok) throw new Refused(body.error || `status ${response.status}`);
  return body;
}
export const get = (path, query = {}) => {
  const words = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== ""));
  return answered(`/api/v1${path}${words.size ? `?${words}` : ""}`, {});
};
export const post = (path, body) => answered(`/api/v1${path}`, { method: "POST", headers: HEADERS, body: JSON.stringify(body) });
export async function login(token) {
  const response = await fetch("/login", { method: "POST", headers: HEADERS, body: JSON.stringify({ token }), credentials: "same-origin" });
  return response.ok;
}
export const of = (batch) => `/batches/${encodeURIComponent(batch)}`;
