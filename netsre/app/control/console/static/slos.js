// Service levels: one card per SLO and group, worst first.

import { createChart, updateChart } from "./chart.js";
import { byId, el, part, reconcile, setAttribute, setBadge, setHidden, setLabels, setText, svg } from "./dom.js";
import * as format from "./format.js";

const STATES = {
  page: { rank: 0, sign: "▲", word: "BURNING page" },
  ticket: { rank: 1, sign: "◆", word: "BURNING ticket" },
  spent: { rank: 2, sign: "■", word: "BUDGET SPENT" },
  nodata: { rank: 3, sign: "○", word: "NO DATA" },
  ok: { rank: 4, sign: "✓", word: "OK" },
};

/** Burn rates by window, shortest first. */
function windows(slo) {
  return Object.entries(slo.burn ?? {})
    .map(([name, rate]) => ({ name, rate: format.number(rate), length: format.seconds(name) ?? Infinity }))
    .sort((a, b) => a.length - b.length);
}

/** The state of an SLO: what fires, else what is known. Blind in its shortest window means NO DATA. */
export function stateOf(slo) {
  if (slo.firing?.includes("page")) return "page";
  if (slo.firing?.length) return "ticket";
  const budget = format.number(slo.budget_remaining);
  if (budget !== null && budget <= 0) return "spent";
  const shortest = windows(slo)[0];
  const blind = shortest !== undefined && shortest.rate === null;
  return format.number(slo.sli) === null || blind ? "nodata" : "ok";
}

function reasonFor(slo, ...fields) {
  const found = fields.map((field) => slo.reasons?.[field]).find(Boolean);
  return format.reason(found);
}

/** Show every SLO; `current` is false when the numbers are too old to call anything OK. Returns counts by state. */
export function showSlos(all, now, current) {
  const slos = all.filter((slo) => !waits(slo));
  showWaiting(all.filter(waits));
  const rows = slos.map((slo) => ({ slo, state: stateOf(slo), key: keyOf(slo) }));
  rows.sort((a, b) => STATES[a.state].rank - STATES[b.state].rank || byBudget(a.slo, b.slo) || order(a.key, b.key));
  const { shown, folded } = fold(rows);
  const show = (node, row) => update(node, row, now, current);
  reconcile(byId("slos-list"), shown, (row) => row.key, create, show);
  reconcile(byId("slos-more-list"), folded, (row) => row.key, create, show);
  setHidden(byId("slos-more"), folded.length === 0);
  setText(byId("slos-more-title"), moreText(folded, current));
  setHidden(byId("slos-empty"), rows.length > 0);
  setText(byId("slos-empty"), "No service levels are measured yet. They appear with the first reading of a source.");
  const counts = Object.fromEntries(Object.keys(STATES).map((state) => [state, 0]));
  for (const row of rows) counts[row.state] += 1;
  const found = Object.entries(counts).filter(([, amount]) => amount);
  const words = found.map(([state, amount]) => `${amount} ${STATES[state].word}`).join(", ");
  setText(byId("slos-count"), words && !current ? `at the last evaluation: ${words}` : words);
  return counts;
}

/** Whether a service level is about a part of netsre that no node has. */
const waits = (slo) => slo.reasons?.sli === "needs_datapath";

function showWaiting(slos) {
  const names = slos.map((slo) => slo.name).join(", ");
  setHidden(byId("slos-waiting"), slos.length === 0);
  setText(byId("slos-waiting"), `Waiting for a policy datapath or a flow log, which no node has: ${names}.`);
}

/**
 * A service level with many groups shows its worst, and every one that is not OK; the rest is one click away.
 * Expects the worst first.
 */
function fold(rows) {
  const known = new Set();
  const shown = [];
  const folded = [];
  for (const row of rows) {
    (row.state === "ok" && known.has(row.slo.name) ? folded : shown).push(row);
    known.add(row.slo.name);
  }
  return { shown, folded };
}

function moreText(folded, current) {
  const groups = new Map();
  for (const { slo } of folded) groups.set(slo.name, (groups.get(slo.name) ?? 0) + 1);
  const list = [...groups].map(([name, amount]) => `${amount} more of ${name}`).join(", ");
  return `${list}: ${current ? "all OK" : "all were OK"}`;
}

const order = (a, b) => (a < b ? -1 : Number(a > b));
const keyOf = (slo) => JSON.stringify([slo.name, Object.entries(slo.group ?? {}).sort()]);
const byBudget = (a, b) => (format.number(a.budget_remaining) ?? 2) - (format.number(b.budget_remaining) ?? 2);

function create() {
  const named = (tag, name, attributes = {}) => el(tag, { "data-part": name, ...attributes });
  const fact = (title, name) => el("div", {}, el("dt", {}, title), named("dd", name));
  const bar = svg(
    "svg",
    { class: "budget-bar", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "budget-back", width: 100, height: 8 }),
    svg("rect", { class: "budget-fill", "data-part": "fill", height: 8 }),
  );
  const chart = createChart();
  chart.setAttribute("data-part", "chart");
  return el(
    "li",
    { class: "card slo" },
    el("div", { class: "slo-name" },
      el("h3", {}, named("span", "badge", { class: "badge" }), " ", named("span", "name")),
      named("ul", "group", { class: "labels plain" }),
      named("p", "why", { class: "why" }),
      named("p", "description", { class: "quiet description" })),
    el("dl", { class: "slo-facts" }, fact("SLI", "sli"), fact("Objective", "objective"), fact("Measured", "coverage")),
    el("div", { class: "slo-budget" },
      el("p", { class: "small-title" }, "Error budget left"), named("p", "budget", { class: "big" }), bar,
      named("p", "lasts", { class: "quiet" })),
    el("div", { class: "slo-burn" },
      el("p", { class: "small-title" }, "Burn rate by window"), named("dl", "burn", { class: "burn" })),
    el("div", { class: "slo-chart" },
      el("p", { class: "small-title" }, "Bad / all events"), chart, named("p", "recent", { class: "quiet" })),
  );
}

function update(node, { slo, state }, now, current) {
  setAttribute(node, "data-state", state);
  setAttribute(node, "data-anchor", slo.name);
  const { sign, word } = STATES[state];
  // Yesterday's OK is not an OK; yesterday's fire still is the best that is known.
  const doubtful = !current && state === "ok";
  setBadge(part(node, "badge"), doubtful ? "nodata" : state, doubtful ? STATES.nodata.sign : sign, current ? word : `WAS ${word}`);
  setText(part(node, "name"), slo.name);
  setLabels(part(node, "group"), Object.entries(slo.group ?? {}));
  setText(part(node, "why"), state === "nodata" ? blindness(slo) : "");
  setText(part(node, "description"), slo.description ?? "");
  updateFacts(node, slo);
  updateBudget(node, slo);
  updateBurn(part(node, "burn"), slo);
  setText(part(node, "recent"), updateChart(part(node, "chart"), slo.recent, now));
}

function blindness(slo) {
  const shortest = windows(slo)[0]?.name;
  const why = reasonFor(slo, "sli", `burn.${shortest}`, shortest, "burn", "budget_remaining");
  return format.number(slo.sli) === null ? why : `nothing measured in the last ${shortest}: ${why}`;
}

function updateFacts(node, slo) {
  const sli = format.number(slo.sli);
  setText(part(node, "sli"), format.percent(sli, 3));
  setAttribute(part(node, "sli"), "title", sli === null ? reasonFor(slo, "sli") : eventsText(slo));
  setText(part(node, "objective"), `${format.objective(format.number(slo.objective))} / ${slo.window}`);
  setText(part(node, "coverage"), coverageText(slo));
  setAttribute(part(node, "coverage"), "title", "Minutes with a reading over all minutes of the window");
}

function coverageText(slo) {
  const share = format.number(slo.coverage);
  const length = format.seconds(slo.window);
  if (share === null) return format.NONE;
  return length === null ? format.percent(share, 1) : `${format.duration(share * length)} of ${slo.window}`;
}

function eventsText(slo) {
  return `${format.count(format.number(slo.bad))} bad of ${format.count(format.number(slo.total))} events`;
}

function updateBudget(node, slo) {
  const left = format.number(slo.budget_remaining);
  setText(part(node, "budget"), format.percent(left, 1));
  const width = left === null ? 0 : Math.min(100, Math.max(0, left * 100));
  setAttribute(part(node, "fill"), "width", width.toFixed(1));
  setText(part(node, "lasts"), left === null ? reasonFor(slo, "budget_remaining") : lastsText(slo, left));
}

/** What a burn rate means: how long the rest of the budget lasts at it. */
function lastsText(slo, left) {
  if (left <= 0) return "spent: every further bad event breaks the promise";
  const length = format.seconds(slo.window);
  const known = windows(slo).filter((item) => item.rate !== null);
  const hour = known.find((item) => item.name === "1h") ?? known[0];
  if (!hour || length === null) return "";
  if (hour.rate <= 1) return `at the ${hour.name} rate it outlives the window`;
  return `at the ${hour.name} rate it lasts ${format.duration((left * length) / hour.rate)}`;
}

function updateBurn(list, slo) {
  reconcile(
    list,
    windows(slo),
    (item) => item.name,
    () => el("div", {}, el("dt"), el("dd")),
    (node, item) => {
      const [name, rate] = node.children;
      setText(name, item.name);
      setText(rate, format.burn(item.rate));
      setAttribute(node, "data-over", String(item.rate !== null && item.rate > 1));
      setAttribute(node, "title", burnTitle(slo, item));
    },
  );
}

function burnTitle(slo, { name, rate }) {
  if (rate === null) return `${name}: ${reasonFor(slo, `burn.${name}`, name, "burn")}`;
  const length = format.seconds(slo.window);
  if (rate <= 0 || length === null) return `${name}: no errors`;
  return `${name}: at this rate a whole budget of ${slo.window} is gone in ${format.duration(length / rate)}`;
}
