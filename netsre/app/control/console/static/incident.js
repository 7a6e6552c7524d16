// Keep the page of an open incident up to date: it is made by the server, and read again as a whole. What the
// reader opened stays open, nobody's selection is lost, and a controller that is away leaves the last page.

const seconds = Number(document.body.dataset.refresh);
const KEY = `open ${location.pathname}`;
const details = [...document.querySelectorAll("details[id]")];

const kept = new Set(JSON.parse(sessionStorage.getItem(KEY) ?? "[]"));
for (const node of details) node.open = kept.has(node.id);

/** Show that the controller does not answer, or no longer. */
function tell(away) {
  document.getElementById("away").hidden = !away;
}

async function refresh() {
  const busy = document.hidden || !getSelection().isCollapsed;
  if (!busy) {
    try {
      const answer = await fetch(location.href, { method: "HEAD", cache: "no-store" });
      tell(!answer.ok);
      if (answer.ok) {
        sessionStorage.setItem(KEY, JSON.stringify(details.filter((node) => node.open).map((node) => node.id)));
        location.reload();
        return;
      }
    } catch {
      tell(true);
    }
  }
  setTimeout(refresh, seconds * 1000);
}

if (seconds) setTimeout(refresh, seconds * 1000);
