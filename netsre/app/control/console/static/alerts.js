// Alerts: what fires, pages first; what was resolved, folded away.

import { byId, el, part, reconcile, setAttribute, setBadge, setHidden, setLabels, setText } from "./dom.js";
import * as format from "./format.js";

// What a condition alert says where an SLO has its budget.
const NO_BUDGET = "not a budget";
const FIXED = new Set(["alertname", "severity", "slo"]);
const SIGNS = { page: "▲", ticket: "◆" };
const RESOLVED_SHOWN = 50;

const severity = (alert) => alert.labels?.severity ?? "unknown";
const rank = (alert) => ({ page: 0, ticket: 1 })[severity(alert)] ?? 2;
const newest = (field) => (a, b) => (format.instant(b[field]) ?? 0) - (format.instant(a[field]) ?? 0);

/** Show every alert; `current` is false when silence means nothing. Returns those that fire. */
export function showAlerts(alerts, now, current) {
  const firing = alerts.filter((alert) => alert.state === "firing");
  const resolved = alerts.filter((alert) => alert.state !== "firing");
  firing.sort((a, b) => rank(a) - rank(b) || newest("fired_at")(a, b));
  resolved.sort(newest("resolved_at"));
  const draw = (list, items) =>
    reconcile(byId(list), items, keyOf, create, (node, alert) => update(node, alert, now));
  draw("alerts-list", firing);
  draw("resolved-list", resolved.slice(0, RESOLVED_SHOWN));
  setHidden(byId("alerts-empty"), firing.length > 0);
  setText(byId("alerts-empty"), current ? "✓ No alert fires." : "○ No alert fired when this was last evaluated.");
  setHidden(byId("resolved"), resolved.length === 0);
  const shown = Math.min(resolved.length, RESOLVED_SHOWN);
  setText(byId("resolved-title"), `Resolved (${shown === resolved.length ? shown : `${shown} of ${resolved.length}`})`);
  setText(byId("alerts-count"), firing.length ? `${firing.length} firing` : "");
  return firing;
}

// One fingerprint can fire, resolve and fire again; each life is a card of its own.
const keyOf = (alert) => `${alert.fingerprint} ${alert.fired_at}`;

/** What an alert is called: its alertname, and the SLO where there is one. */
export function nameOf(alert) {
  return [alert.labels?.alertname ?? "(no alertname)", alert.labels?.slo].filter(Boolean).join(" ");
}

/** One line about what fires, for the headline and for screen readers. */
export function firingText(firing) {
  const counts = new Map();
  for (const alert of firing) counts.set(severity(alert), (counts.get(severity(alert)) ?? 0) + 1);
  const words = [...counts].map(([name, amount]) => `${amount} ${name}${amount > 1 ? "s" : ""}`);
  return `${words.join(" and ")} firing`;
}

function create() {
  const named = (tag, name, attributes = {}) => el(tag, { "data-part": name, ...attributes });
  return el(
    "li",
    { class: "card alert" },
    el("div", { class: "alert-head" },
      el("h3", {}, named("span", "badge", { class: "badge" }), " ", named("span", "name")),
      named("p", "since", { class: "since" })),
    named("p", "summary", { class: "summary" }),
    named("p", "detail", { class: "quiet" }),
    named("ul", "labels", { class: "labels plain" }),
    named("p", "links", { class: "links" }),
  );
}

function update(node, alert, now) {
  const firing = alert.state === "firing";
  const notes = alert.annotations ?? {};
  const level = severity(alert);
  setAttribute(node, "data-state", firing ? level : "resolved");
  setBadge(part(node, "badge"), firing ? level : "resolved", firing ? (SIGNS[level] ?? "●") : "✓",
    firing ? `FIRING ${level}` : `RESOLVED ${level}`);
  setText(part(node, "name"), nameOf(alert));
  setText(part(node, "since"), sinceText(alert, firing, now));
  setText(part(node, "summary"), notes.summary ?? "");
  setText(part(node, "detail"), detailText(notes));
  const labels = Object.entries(alert.labels ?? {}).filter(([name]) => !FIXED.has(name));
  setLabels(part(node, "labels"), labels);
  updateLinks(part(node, "links"), notes);
}

function sinceText(alert, firing, now) {
  const since = `since ${format.clock(alert.fired_at, now)}`;
  if (firing) return `${since} (${format.age(alert.fired_at, now)})`;
  const length = (format.instant(alert.resolved_at) - format.instant(alert.fired_at)) / 1000;
  return `${format.clock(alert.fired_at, now)} to ${format.clock(alert.resolved_at, now)} (${format.duration(length)})`;
}

function detailText(notes) {
  const parts = [];
  const told = (note) => note && note !== NO_BUDGET;
  if (told(notes.budget_remaining)) parts.push(`Budget left: ${notes.budget_remaining}.`);
  if (told(notes.time_to_exhaustion)) parts.push(`Time to exhaustion: ${notes.time_to_exhaustion}.`);
  if (notes.description && notes.description !== notes.summary) parts.push(notes.description);
  return parts.join(" ");
}

function updateLinks(node, notes) {
  const links = [["Runbook", notes.runbook_url], ["Dashboard", notes.dashboard_url]];
  reconcile(
    node,
    links.filter(([, target]) => isWebAddress(target)),
    ([title]) => title,
    ([title]) => el("a", { rel: "noreferrer" }, title),
    (anchor, [, target]) => setAttribute(anchor, "href", target),
  );
}

/** Only http and https: an annotation must not be able to run a script. */
function isWebAddress(target) {
  if (!target) return false;
  try {
    return ["http:", "https:"].includes(new URL(target, document.baseURI).protocol);
  } catch {
    return false;
  }
}
