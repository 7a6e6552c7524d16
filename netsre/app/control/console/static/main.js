// Read the API every few seconds and show it. The next read starts only after the last one ended.

import { nameOf, showAlerts } from "./alerts.js";
import { readAll } from "./api.js";
import { byId, setText } from "./dom.js";
import { showBanner, showStatus, showVerdict, troubles, warnings } from "./header.js";
import { showIncidents } from "./incidents.js";
import { showRuns } from "./runs.js";
import { showSlos } from "./slos.js";

const FASTEST_MS = 2000;
const SLOWEST_MS = 5000;

// The last good answer of each part: what failed now is shown as it was, and said to be old.
const known = {};
let lastGood = null;
let announced = null;
let arrived = false;
let timer = 0;
let reading = false;

async function refresh() {
  if (reading) return;
  reading = true;
  clearTimeout(timer);
  let pause = FASTEST_MS;
  try {
    const answer = await readAll();
    show(answer);
    pause = Math.min(SLOWEST_MS, Math.max(FASTEST_MS, (answer.data.status?.interval_seconds ?? 0) * 500));
  } finally {
    reading = false;
    timer = setTimeout(refresh, pause);
  }
}

function show(answer) {
  const { data, now } = answer;
  if (Object.keys(data).length) lastGood = now;
  Object.assign(known, data);
  const found = troubles(answer, lastGood);
  const warned = data.status ? warnings(data.status, now) : [];
  const current = found.length === 0;
  if (known.status) showStatus(known.status, now);
  const firing = known.alerts ? showAlerts(known.alerts.alerts, now, current) : null;
  const counts = known.slos ? showSlos(known.slos.slos, now, current) : null;
  if (known.incidents) showIncidents(known.incidents.incidents, now);
  if (known.runs) showRuns(known.runs.runs, now);
  showBanner(found, warned);
  showVerdict(answer, firing, counts, found, warned);
  announce(firing, [...found, ...warned]);
  if (!arrived && data.slos && data.runs) arrived = followAddress();
}

/** Tell screen readers what fires and what is broken, when that has changed and only then: ages change always. */
function announce(firing, found) {
  const names = (firing ?? []).map((alert) => `${alert.labels?.severity ?? ""} ${nameOf(alert)}`);
  const alarms = firing && !names.length ? "No alert fires" : `Firing: ${names.join(", ")}`;
  const text = [...found.map(({ word }) => word), firing ? alarms : ""].filter(Boolean).join(". ");
  if (text === announced) return;
  announced = text;
  setText(byId("announce"), text);
}

/** Show what the address names: `#<slo>`, as alerts link to, or `#runbook-<name>`, its newest run. */
function followAddress() {
  const name = decodeURIComponent(location.hash.slice(1));
  const found = name && document.querySelector(`[data-anchor="${CSS.escape(name)}"]`);
  if (!found) return !name;
  for (const details of found.querySelectorAll(":scope > details")) details.open = true;
  found.scrollIntoView();
  return true;
}

addEventListener("hashchange", followAddress);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) refresh();
});
refresh();
