// Numbers and times as people read them. Nothing here rounds a broken promise up to a kept one.

export const NONE = "–";

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

/** Accept a JSON number or an exact decimal in a string; anything else is null. */
export function number(value) {
  if (value === null || value === undefined || value === "") return null;
  const parsed = Number(value);
  return isNumber(parsed) ? parsed : null;
}

/** Cut, never round: 0.99996 is "99.99", not "100.00". */
function cut(value, digits) {
  const [whole, fraction = ""] = value.toFixed(9).split(".");
  return digits ? `${whole}.${fraction.slice(0, digits)}` : whole;
}

/** A share as a percentage with fixed digits. */
export function percent(share, digits = 3) {
  return isNumber(share) ? `${cut(share * 100, digits)} %` : NONE;
}

/** The objective as it was written: 0.999 is "99.9 %". */
export function objective(share) {
  return isNumber(share) ? `${Number((share * 100).toFixed(9))} %` : NONE;
}

/** A burn rate: how many times faster than the budget allows. */
export function burn(rate) {
  if (!isNumber(rate)) return NONE;
  if (rate === 0) return "0×";
  if (rate < 0.01) return "<0.01×";
  if (rate < 10) return `${rate.toFixed(2)}×`;
  return rate < 100 ? `${rate.toFixed(1)}×` : `${Math.round(rate)}×`;
}

const COUNT = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export function count(value) {
  return isNumber(value) ? COUNT.format(value) : NONE;
}

const UNITS = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]];

/** A length of time in its two largest units: `2d 3h`, `4m 10s`, `12s`. */
export function duration(seconds) {
  if (!isNumber(seconds)) return NONE;
  let rest = Math.max(0, Math.round(seconds));
  if (rest === 0) return "0s";
  const first = UNITS.findIndex(([, size]) => rest >= size);
  const shown = [];
  for (const [unit, size] of UNITS.slice(first, first + 2)) {
    const amount = Math.floor(rest / size);
    rest -= amount * size;
    if (amount) shown.push(`${amount}${unit}`);
  }
  return shown.join(" ");
}

/** Seconds of a written length such as `5m`, `1h30m` or `30d`; null when it is none. */
export function seconds(text) {
  const parts = String(text ?? "").match(/\d+(ms|d|h|m|s)/g);
  if (!parts || parts.join("") !== text) return null;
  const size = { ms: 0.001, ...Object.fromEntries(UNITS) };
  return parts.reduce((sum, item) => sum + parseInt(item, 10) * size[item.replace(/\d+/, "")], 0);
}

/** Milliseconds of an RFC 3339 time; null when it is none. */
export function instant(text) {
  const at = Date.parse(text ?? "");
  return Number.isNaN(at) ? null : at;
}

/** `02:14:07`, with the date in front when it is another day. */
export function clock(text, now) {
  const at = instant(text);
  if (at === null) return NONE;
  const written = new Date(at).toISOString();
  const today = new Date(now).toISOString().slice(0, 10) === written.slice(0, 10);
  return today ? written.slice(11, 19) : `${written.slice(0, 10)} ${written.slice(11, 19)}`;
}

export function age(text, now) {
  const at = instant(text);
  return at === null ? NONE : `${duration((now - at) / 1000)} ago`;
}

const REASONS = {
  no_traffic: "no traffic in this window",
  no_history: "no history yet",
  no_budget: "no events, so no budget yet",
  source_down: "the source does not answer",
  needs_datapath: "no node has the part of netsre that this is about",
  needs_prometheus: "only a Prometheus can answer this, and none is set",
};

/** A reason of the API in words; an unknown one as it is. */
export function reason(code) {
  return code ? (REASONS[code] ?? String(code).replaceAll("_", " ")) : "no reason given";
}
