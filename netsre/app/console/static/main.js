// Read the API every few seconds and show it. The next read starts only after the last one ended.

import { showAlerts } from "./alerts.js";
import { readAll } from "./api.js";
import { byId, setText } from "./dom.js";
import { showBanner, showStatus, showVerdict, troubles } from "./header.js";
import { followAddress, showRuns } from "./runs.js";
import { showSlos } from "./slos.js";

const FASTEST_MS = 2000;
const SLOWEST_MS = 5000;

let lastGood = null;
let firing = null;
let counts = null;
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
  if (data.status) showStatus(data.status, now);
  if (data.alerts) firing = showAlerts(data.alerts.alerts, now);
  if (data.slos) counts = showSlos(data.slos.slos, now);
  if (data.runs) showRuns(data.runs.runs, now);
  const found = troubles(answer, lastGood);
  showBanner(found);
  showVerdict(answer, firing, counts, found);
  announce();
  if (!arrived && data.runs) arrived = followAddress();
}

/** Tell screen readers when what fires has changed, and only then. */
function announce() {
  if (firing === null) return;
  const names = firing.map((alert) => `${alert.labels?.severity ?? ""} ${alert.labels?.alertname ?? ""}`);
  const text = names.length ? `Firing: ${names.join(", ")}` : "No alert fires";
  if (text === announced) return;
  announced = text;
  setText(byId("announce"), text);
}

addEventListener("hashchange", followAddress);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) refresh();
});
refresh();
