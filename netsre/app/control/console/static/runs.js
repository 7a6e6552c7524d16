// Runbook runs: newest first, each with its journal and the evidence that it collected.

import { byId, el, part, reconcile, setAttribute, setBadge, setHidden, setText } from "./dom.js";
import * as format from "./format.js";

const SHOWN = 50;
const SIGNS = {
  succeeded: ["ok", "✓"],
  failed: ["page", "▲"],
  refused: ["ticket", "◆"],
  undone: ["ticket", "◆"],
  expired: ["page", "▲"],
  needs_human: ["page", "▲"],
};
const UNDER_WAY = ["wait", "…"];

/** Show the newest runs. */
export function showRuns(runs, now) {
  const sorted = [...runs].sort((a, b) => (format.instant(b.started_at) ?? 0) - (format.instant(a.started_at) ?? 0));
  const shown = sorted.slice(0, SHOWN);
  reconcile(byId("runs-list"), shown, (run) => String(run.id), create, (node, run) => update(node, run, now));
  setHidden(byId("runs-empty"), shown.length > 0);
  setText(byId("runs-empty"), "No runbook has run. A run starts when an alert fires or ends that a runbook lists under its “on”.");
  setText(byId("runs-count"), runs.length > SHOWN ? `newest ${SHOWN} of ${runs.length}` : "");
}

function create() {
  const named = (tag, name, attributes = {}) => el(tag, { "data-part": name, ...attributes });
  return el(
    "li",
    { class: "card run" },
    el("details", {},
      el("summary", {},
        named("span", "badge", { class: "badge" }), " ", named("strong", "runbook"), " ",
        named("span", "target"), " ", named("span", "when", { class: "quiet" })),
      named("p", "alert", { class: "quiet" }),
      named("ol", "journal", { class: "plain journal" }),
      named("p", "blank", { class: "quiet" })),
  );
}

function update(node, run, now) {
  const word = run.result || run.state || "unknown";
  const [state, sign] = SIGNS[word] ?? UNDER_WAY;
  setAttribute(node, "data-anchor", `runbook-${run.runbook}`);
  setBadge(part(node, "badge"), state, sign, word.toUpperCase());
  setText(part(node, "runbook"), String(run.runbook));
  const why = run.reason ? `: ${run.reason}` : "";
  setText(part(node, "target"), (run.target ? `on ${plain(run.target)}` : "") + why);
  setText(part(node, "when"), whenText(run, now));
  setText(part(node, "alert"), `Run ${run.id}, state ${run.state}, for alert ${plain(run.alert)}${waitingText(run, now)}`);
  const journal = run.journal ?? [];
  setText(part(node, "blank"), journal.length ? "" : "The journal is empty.");
  reconcile(part(node, "journal"), journal, (entry) => String(entry.seq), createEntry,
    (item, entry) => updateEntry(item, entry, now));
}

function waitingText(run, now) {
  if (run.state !== "awaiting_approval" || !run.approval) return "";
  const { by, quorum, veto, until, words } = run.approval;
  const whose = by.length ? plain(by.join(" or ")) : "anybody who is known";
  const end = format.clock(until, now);
  if (veto) return `. It acts by itself at ${end} unless somebody denies it`;
  return `. It has ${words.length} of ${quorum} approvals of ${whose}, and waits until ${end}`;
}

function whenText(run, now) {
  const start = `started ${format.clock(run.started_at, now)}`;
  if (!run.ended_at) return `${start} (${format.age(run.started_at, now)})`;
  return `${start}, took ${format.duration((format.instant(run.ended_at) - format.instant(run.started_at)) / 1000)}`;
}

function createEntry() {
  const named = (tag, name, attributes = {}) => el(tag, { "data-part": name, ...attributes });
  return el(
    "li",
    {},
    el("p", {}, named("time", "at"), " ", named("strong", "kind"), " ", named("span", "what")),
    el("details", { "data-part": "evidence" }, named("summary", "title"), named("pre", "data", { tabindex: "0" })),
  );
}

function updateEntry(node, entry, now) {
  setText(part(node, "at"), format.clock(entry.at, now));
  setText(part(node, "kind"), String(entry.kind));
  const where = entry.step === null || entry.step === undefined || entry.step === "" ? "" : `step ${entry.step} `;
  setText(part(node, "what"), where + (entry.action ?? ""));
  const data = entry.data;
  const empty = data === null || data === undefined || data === "" || Object.keys(Object(data)).length === 0;
  const bare = typeof data === "string" || typeof data === "number";
  setHidden(part(node, "evidence"), empty && !bare);
  if (empty && !bare) return;
  const text = typeof data === "string" ? data : JSON.stringify(data, null, 2);
  setText(part(node, "title"), titleOf(data));
  setText(part(node, "data"), text);
}

/** What is inside, before it is opened: the names of the fields. */
function titleOf(data) {
  const names = typeof data === "object" && !Array.isArray(data) ? Object.keys(data) : [];
  return names.length ? `data: ${names.slice(0, 6).join(", ")}${names.length > 6 ? ", …" : ""}` : "data";
}

function plain(value) {
  return typeof value === "object" && value !== null ? JSON.stringify(value) : String(value);
}
