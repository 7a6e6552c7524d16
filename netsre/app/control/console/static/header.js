// The head of the page: who answers, how fresh its numbers are, and one headline.

import { firingText } from "./alerts.js";
import { byId, el, reconcile, setAttribute, setHidden, setText } from "./dom.js";
import * as format from "./format.js";

// A tick or two may be late on a busy node; three missed ones are not a hiccup.
const MISSED_TICKS = 3;
const LEAST_STALE_SECONDS = 20;

/** Show node, version, sources, age of the numbers, who is told and whether automation may act. */
export function showStatus(status, now) {
  setText(byId("node"), status.node ?? "");
  setText(byId("version"), `version ${status.version}, up ${format.duration((now - (format.instant(status.started_at) ?? now)) / 1000)}, evaluates every ${status.interval_seconds} s`);
  const took = format.number(status.tick_seconds);
  const cost = took === null ? "" : `, took ${took < 0.001 ? "<1" : Math.round(took * 1000)} ms`;
  const at = status.last_tick_at;
  setText(byId("evaluated"), at ? `${format.clock(at, now)} (${format.age(at, now)}${cost})` : "never");
  const sources = (status.sources ?? []).map((source) => ({ ...source, last: "read", at: source.last_at }));
  showPlaces(byId("sources"), [...sources, ...pastOf(status)], now);
  const peers = (status.alertmanagers ?? []).map((peer) => ({
    name: peer.peer, up: peer.up ?? true, reason: peer.reason, last: "told", at: peer.last_accepted_at,
  }));
  showPlaces(byId("alertmanagers"), peers, now);
  showPlaces(byId("slack"), slackOf(status), now);
  const stopped = status.kill_switch?.state === "on";
  setAttribute(byId("automation"), "data-up", String(!stopped));
  const paused = status.pauses ?? [];
  setText(byId("automation"), stopped ? "■ STOPPED" : paused.length ? `❚❚ ${paused.join("; ")}` : "✓ may act");
  showOutbox(status.outbox ?? {});
}

/** Show places outside, each {name, up, reason, last, at}. */
function showPlaces(list, places, now) {
  reconcile(
    list,
    places.length ? places : [{ name: "", up: true }],
    (place) => place.name,
    () => el("li"),
    (node, place) => {
      setAttribute(node, "data-up", String(Boolean(place.up)));
      setText(node, placeText(place, now));
    },
  );
}

/** The past of new service levels as one more place, while it is read. */
function pastOf({ past }) {
  if (!past) return [];
  const levels = past.slos === 1 ? "1 service level" : `${past.slos} service levels`;
  return [{ name: `past of ${levels}: ${Math.floor(past.progress * 100)} % read,`, up: true, reading: true }];
}

/** Slack as a place; none where no incident is told there. */
function slackOf({ slack }) {
  if (!slack) return [];
  const deaf = isDeaf(slack);
  const notes = [slack.waiting ? messages(slack.waiting, "wait") : "", deaf ? "buttons are not heard" : ""];
  const note = notes.filter(Boolean).join(", ");
  return [{
    name: `channel ${slack.channel}`, up: !slack.problem && !deaf, reason: slack.problem || note,
    note, last: "told", at: slack.last_success_at,
  }];
}

/** Slack can be told, but what people click there comes over a socket that is not connected. */
const isDeaf = (slack) => slack.hears === false;

function messages(count, verb) {
  return count === 1 ? `1 message ${verb}s` : `${count} messages ${verb}`;
}

function placeText(place, now) {
  if (!place.name) return "none configured";
  if (place.reading) return `… ${place.name} not in the numbers yet`;
  const last = place.at ? `, last ${place.last} ${format.age(place.at, now)}` : `, never ${place.last}`;
  if (place.up) return place.note ? `… ${place.name} up, ${place.note}${last}` : `✓ ${place.name} up`;
  return `▲ ${place.name} DOWN: ${place.reason || "no reason given"}${last}`;
}

function showOutbox(outbox) {
  const waiting = Object.entries(outbox).filter(([, amount]) => Number(amount) > 0);
  setText(byId("outbox"), waiting.length ? waiting.map(([name, amount]) => `${amount} ${name}`).join(", ") : "none");
}

/** Every reason not to trust what is shown, as {word, text}; empty when all is well. */
export function troubles(answer, lastGood) {
  const { data, failures, now } = answer;
  if (!Object.keys(data).length) return [unreachable(failures, lastGood, now)];
  const found = failures.map(([name, why]) => ({
    word: "API PARTLY DOWN", text: `/api/v1/${name} failed (${why}): that part of the page is old.`,
  }));
  const status = data.status;
  if (!status) return found;
  if (status.role === "standby") {
    const leader = status.leader ? `${status.leader} leads, and its page has the numbers` : "nobody leads yet";
    return [{ word: "STANDS BY", text: `This controller stands by: ${leader}.` }, ...found];
  }
  const stale = staleText(status, now);
  if (stale) found.unshift({ word: "STALE", text: stale });
  if (status.problem) found.push({ word: "EVALUATION FAILS", text: `Evaluation fails: ${status.problem}` });
  for (const source of status.sources ?? []) {
    if (source.up) continue;
    const why = source.reason || "no reason given";
    found.push({ word: "SOURCE DOWN", text: `Source ${source.name} is down: ${why}. Its service levels stand still.` });
  }
  return found;
}

/** What keeps people or automation from acting, as {word, text}: the numbers are right all the same. */
export function warnings(status, now) {
  const found = Object.entries(status.problems ?? {}).map(([duty, problem]) => ({
    word: `${duty.toUpperCase()} FAILS`, text: `${duty} fails: ${problem}`,
  }));
  for (const { name, up, reason } of status.sources ?? []) {
    if (up && reason) found.push({ word: "PARTLY UNKNOWN", text: `Source ${name} is read, but not all of it counts: ${reason}.` });
  }
  for (const peer of status.alertmanagers ?? []) {
    if (peer.up !== false) continue;
    const why = peer.reason || "no reason given";
    found.push({ word: "ALERTMANAGER DOWN", text: `Alertmanager ${peer.peer} is down: ${why}. It tells nobody what fires.` });
  }
  found.push(...slackWarnings(status));
  const { state, reason, by, at, problem } = status.kill_switch ?? {};
  if (state !== "on") return found;
  const who = by ? ` by ${by}` : "";
  const since = at ? ` since ${format.clock(at, now)}` : "";
  const why = problem || reason;
  return [...found, { word: "AUTOMATION STOPPED", text: `Automation is stopped${who}${since}${why ? ` (${why})` : ""}: no runbook acts until netsre kill-switch off.` }];
}

function slackWarnings({ slack }) {
  if (!slack) return [];
  if (slack.problem) {
    const waits = slack.waiting ? ` ${messages(slack.waiting, "wait")}.` : "";
    return [{ word: "SLACK DOWN", text: `Slack is not told of incidents: ${slack.problem}.${waits}` }];
  }
  if (!isDeaf(slack)) return [];
  return [{ word: "SLACK DEAF", text: "Slack's buttons are not heard: its socket is not connected. Decide by netsre runbook approve, deny, cancel." }];
}

function unreachable(failures, lastGood, now) {
  const since = lastGood && format.clock(new Date(lastGood).toISOString(), now);
  const shown = lastGood ? `Everything below is from ${since}, ${format.duration((now - lastGood) / 1000)} ago.` : "Nothing was read yet.";
  const advice = "Look at the controller's log, or at the terminal that runs netsre.";
  return { word: "API UNREACHABLE", text: `API UNREACHABLE (${failures[0][1]}). ${shown} ${advice}` };
}

function staleText(status, now) {
  const limit = Math.max(LEAST_STALE_SECONDS, MISSED_TICKS * (Number(status.interval_seconds) || 0));
  const started = format.instant(status.started_at) ?? now;
  const last = format.instant(status.last_tick_at);
  const silent = (now - (last ?? started)) / 1000;
  if (silent <= limit) return "";
  if (last === null) return `No evaluation since the start ${format.duration(silent)} ago.`;
  return `STALE: the last evaluation was ${format.duration(silent)} ago (expected every ${status.interval_seconds} s).`;
}

export function showBanner(found, warned) {
  const banner = byId("banner");
  const shown = [...found, ...warned];
  setHidden(banner, shown.length === 0);
  const places = shown.map(({ text }, place) => ({ text, place: String(place) }));
  reconcile(banner, places, (item) => item.place, () => el("p"), (node, item) => setText(node, item.text));
  document.body.classList.toggle("untrusted", found.length > 0);
}

/** The headline: the worst thing that is true. */
export function showVerdict(answer, firing, counts, found, warned) {
  const [state, text] = verdict(answer, firing ?? [], counts, [...found, ...warned]);
  setAttribute(byId("verdict"), "data-state", state);
  setText(byId("verdict"), text);
  document.title = `${text} · netsre ${answer.data.status?.node ?? ""}`.trim();
}

function verdict(answer, firing, counts, found) {
  if (!Object.keys(answer.data).length) return ["page", `▲ ${found[0].word}`];
  const pages = firing.some((alert) => alert.labels?.severity === "page");
  if (firing.length) return [pages ? "page" : "ticket", `${pages ? "▲" : "◆"} ${firingText(firing)}`];
  if (found.length) return ["page", `▲ ${found[0].word}`];
  if (!counts) return ["wait", "… waiting for service levels"];
  if (counts.page || counts.ticket) return ["ticket", `◆ ${counts.page + counts.ticket} burning`];
  if (counts.spent) return ["ticket", `■ ${counts.spent} without budget`];
  const known = counts.ok + counts.nodata;
  if (!known) return ["nodata", "○ nothing measured yet"];
  if (!counts.ok) return ["nodata", "○ NO DATA"];
  return ["ok", counts.nodata ? `✓ ${counts.ok} OK, ${counts.nodata} without data` : `✓ all ${counts.ok} OK`];
}
