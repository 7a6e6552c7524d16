// Incidents: the open ones and the latest that closed, each a link to its page.

import { byId, el, part, reconcile, setAttribute, setBadge, setHidden, setText } from "./dom.js";
import * as format from "./format.js";

const SHOWN = 10;

/** Show open incidents, then those that closed last. */
export function showIncidents(incidents, now) {
  const open = incidents.filter((incident) => incident.state === "open");
  const shown = [...open, ...incidents.filter((incident) => incident.state !== "open")].slice(0, Math.max(SHOWN, open.length));
  reconcile(byId("incidents-list"), shown, (incident) => incident.id, create, (node, incident) => update(node, incident, now));
  setHidden(byId("incidents-empty"), shown.length > 0);
  setText(byId("incidents-empty"), "No incident. One opens with the first alert of a node, and closes when all of them have ended.");
  setText(byId("incidents-count"), open.length ? `${open.length} open` : "");
}

function create() {
  const named = (tag, name, attributes = {}) => el(tag, { "data-part": name, ...attributes });
  return el(
    "li",
    { class: "card alert" },
    el("div", { class: "alert-head" },
      el("h3", {}, named("span", "badge", { class: "badge" }), " ", named("a", "link")),
      named("p", "when", { class: "since" })),
  );
}

function update(node, incident, now) {
  const open = incident.state === "open";
  const level = incident.severity;
  setAttribute(node, "data-state", open ? level : "resolved");
  setBadge(part(node, "badge"), open ? level : "ok", open ? "▲" : "✓", open ? "OPEN" : "CLOSED");
  setText(part(node, "link"), String(incident.title));
  setAttribute(part(node, "link"), "href", `incidents/${encodeURIComponent(incident.id)}`);
  const alerts = `${incident.alerts} alert${incident.alerts === 1 ? "" : "s"}`;
  const muted = incident.muted ? ", muted" : "";
  setText(part(node, "when"), `${whenText(incident, open, now)}, ${alerts}${muted}`);
}

function whenText(incident, open, now) {
  const since = format.clock(incident.opened_at, now);
  if (open) return `since ${since} (${format.age(incident.opened_at, now)})`;
  const length = (format.instant(incident.closed_at) - format.instant(incident.opened_at)) / 1000;
  return `${since} to ${format.clock(incident.closed_at, now)} (${format.duration(length)})`;
}
