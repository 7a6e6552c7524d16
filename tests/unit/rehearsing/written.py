"""Scenarios and runbooks that tests write, and play."""

import pathlib
from collections.abc import Iterable

from netsre.app.rehearsing import running
from netsre.app.rehearsing.play import Played

SERIES = 'netsre_conntrack_utilization_ratio{table="kernel",netns="lab"}'
HEAD = """
apiVersion: netsre.dev/v1
kind: Scenario
metadata: {name: written}
spec:
  runbook: conntrack-exhaustion
"""
GIVEN = f"""
  given:
    people: [maria, tom]
    series:
      {SERIES}: 0.92
    facts:
      table: {{entries: 920, limit: 1000, sources: [{{source: 10.0.0.9, entries: 900}}]}}
      route: {{interface: eth0}}
      limit: {{limit: 1000, most: 1000000}}
"""
HELPS = f"""
  while:
    - effects: [block, flush]
      series:
        {SERIES}: 0.02
"""
ASKS = """
apiVersion: netsre.dev/v1
kind: Runbook
metadata: {name: conntrack-exhaustion}
spec:
  on: [{alert: ConntrackUtilization, transition: firing}]
  lock: 'conntrack/{node}'
  approval: {mode: propose, timeout: 10m}
  steps:
    - {action: evidence.collect, with: {what: [top-sources]}}
    - {action: datapath.block_source, with: {source: '${evidence.top_source}', ttl: 10m}}
    - {action: conntrack.flush, with: {source: '${evidence.top_source}'}}
  verify: {slo: conntrack-headroom, window: 15s, samples: 3}
"""


def play(place: pathlib.Path, scenario: str, books: Iterable[str] = ()) -> Played:
    """Write a scenario, and runbooks where the shipped ones are not meant, and play it."""
    file = place / "written.yaml"
    file.write_text(scenario, encoding="utf-8")
    paths = []
    for number, text in enumerate(books):
        paths.append(place / f"book-{number}.yaml")
        paths[-1].write_text(text, encoding="utf-8")
    (played,) = running.play(running.prepare([file], paths, ()))
    return played


def seen(played: Played) -> dict[str, str]:
    """Return what was seen instead of what was expected, by the key of the look."""
    return {found.what: found.seen for found in played.differences}
