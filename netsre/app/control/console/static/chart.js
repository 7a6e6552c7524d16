// The last 60 minutes of one SLO: grey is all events, orange is bad events, an empty column is no data.

import { reconcile, setAttribute, setText, svg } from "./dom.js";
import { clock, count, percent } from "./format.js";

const MINUTES = 60;
const STEP = 5;
const BAR = 4;
const HEIGHT = 44;
const MINUTE_MS = 60000;

/** Make an empty chart of fixed size, so that data arriving never moves the page. */
export function createChart() {
  const box = `0 0 ${MINUTES * STEP} ${HEIGHT}`;
  return svg(
    "svg",
    { viewBox: box, class: "chart", role: "img", preserveAspectRatio: "none" },
    svg("title"),
    svg("line", { class: "axis", x1: 0, x2: MINUTES * STEP, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5 }),
    svg("g"),
  );
}

/** Draw `recent` ([minute, bad, total] each) up to `now`; returns the sentence below the chart. */
export function updateChart(chart, recent, now) {
  const columns = place(recent, now);
  const top = Math.max(1, ...columns.map((column) => column.total));
  reconcile(
    chart.querySelector("g"),
    columns,
    (column) => String(column.at),
    () => svg("g", {}, svg("rect", { width: BAR }), svg("rect", { width: BAR })),
    (node, column) => drawColumn(node, column, top),
  );
  const text = sentence(columns, now);
  setText(chart.querySelector("title"), `Events of the last 60 minutes: ${text}`);
  return text;
}

function place(recent, now) {
  const last = Math.floor(now / MINUTE_MS) * MINUTE_MS;
  const first = last - (MINUTES - 1) * MINUTE_MS;
  const columns = [];
  for (const [minute, bad, total] of recent ?? []) {
    const at = Date.parse(minute);
    if (at < first || at > last) continue;
    columns.push({ at, bad: Number(bad), total: Number(total), x: ((at - first) / MINUTE_MS) * STEP });
  }
  return columns;
}

function drawColumn(node, column, top) {
  const [all, bad] = node.children;
  bar(all, "bar-all", column.x, column.total, top);
  bar(bad, "bar-bad", column.x, column.bad, top);
}

function bar(rect, kind, x, value, top) {
  // One bad event among thousands must still be seen: anything above zero gets at least 3 units.
  const height = value > 0 ? Math.max(kind === "bar-bad" ? 3 : 1, (value / top) * (HEIGHT - 2)) : 0;
  setAttribute(rect, "class", kind);
  setAttribute(rect, "x", String(x));
  setAttribute(rect, "y", (HEIGHT - 1 - height).toFixed(1));
  setAttribute(rect, "height", height.toFixed(1));
}

function sentence(columns, now) {
  if (!columns.length) return "no events in 60 min";
  const bad = columns.reduce((sum, column) => sum + column.bad, 0);
  const total = columns.reduce((sum, column) => sum + column.total, 0);
  const text = `60 min: ${count(bad)} bad of ${count(total)}`;
  if (!bad) return text;
  const share = (column) => (column.total ? column.bad / column.total : 0);
  const worst = columns.reduce((a, b) => (share(b) > share(a) ? b : a));
  const at = clock(new Date(worst.at).toISOString(), now).slice(0, -3);
  return `${text}; worst minute ${percent(share(worst), 1)} at ${at}`;
}
