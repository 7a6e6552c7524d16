// The JSON API. Each part fails alone: a broken list of runs must not hide a firing page.

const TIMEOUT_MS = 4000;
const PARTS = ["status", "slos", "alerts", "incidents", "runs"];

/**
 * Read every part. Returns {data, failures, now}: data by part (absent when it failed), failures as
 * [part, reason], and the server's time in ms, so that a wrong clock on this machine fakes no staleness.
 */
export async function readAll() {
  const answers = await Promise.all(PARTS.map(read));
  const data = {};
  const failures = [];
  let now = null;
  for (const answer of answers) {
    if (answer.date) now = Math.max(now ?? 0, answer.date);
    if (answer.body) data[answer.name] = answer.body;
    else failures.push([answer.name, answer.reason]);
  }
  return { data, failures, now: now ?? Date.now() };
}

async function read(name) {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), TIMEOUT_MS);
  try {
    const response = await fetch(`api/v1/${name}`, { signal: stop.signal, cache: "no-store" });
    const date = Date.parse(response.headers.get("date") ?? "") || null;
    if (!response.ok) return { name, date, reason: `HTTP ${response.status}` };
    return { name, date, body: await response.json() };
  } catch (error) {
    const slow = error.name === "AbortError";
    return { name, reason: slow ? `no answer in ${TIMEOUT_MS / 1000} s` : "unreachable" };
  } finally {
    clearTimeout(timer);
  }
}
