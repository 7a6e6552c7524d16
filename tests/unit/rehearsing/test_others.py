"""What others than the node do for a run: silences, calls, and lines for people."""

import pathlib

import pytest

from netsre.app.rehearsing import running
from tests.unit.rehearsing.written import GIVEN, HEAD, HELPS, SERIES, play, seen

BOOK = """
apiVersion: netsre.dev/v1
kind: Runbook
metadata: {name: conntrack-exhaustion}
spec:
  on: [{alert: ConntrackUtilization, transition: firing}]
  lock: 'conntrack/{node}'
  approval: {mode: auto}
  steps:
    - {action: evidence.collect, with: {what: [top-sources]}}
    - action: alertmanager.silence
      with: {matchers: {alertname: CheckoutSlow, node: '${labels.node}'}, ttl: 30m}
    - action: http.call
      with:
        url: https://tools.example/drains
        headers: {Authorization: 'Bearer ${secret.tools}'}
        body: {node: '${labels.node}'}
        look: {url: https://tools.example/drains/mine}
        undo: {url: https://tools.example/drains/mine, method: DELETE}
    - {action: notify, with: {text: 'full on {node}', values: {source: '${evidence.top_source}'}}}
    - {action: datapath.block_source, with: {source: '${evidence.top_source}', ttl: 10m}}
    - {action: conntrack.flush, with: {source: '${evidence.top_source}'}}
  verify: {slo: conntrack-headroom, window: 15s, samples: 3}
"""
SILENCE = "{kind: silence, alertname: CheckoutSlow, node: node-1, ttl: 30m}"
CALL = "{kind: http_call, method: POST, url: https://tools.example/drains}"


def _given(alertmanager: str = "ok", http: str = "ok") -> str:
    others = f"{{alertmanager: {alertmanager}, http: {{'https://tools.example': {http}}}}}"
    return HEAD + GIVEN + f"    others: {others}\n"


def test_all_of_it_is_seen(tmp_path: pathlib.Path) -> None:
    """Among the effects, in force as long as it lasts, and the line that people are told."""
    expect = f"""
  expect:
    - at: 5m
      runs: [{{state: succeeded}}]
      effects: [{SILENCE}, {CALL}, block, flush]
      inForce: [silence, http_call, block]
      evidence: [top-sources, top_source]
      told: ['full on node-1 (source: 10.0.0.9)']
    - {{at: 31m, inForce: [http_call]}}
"""
    played = play(tmp_path, _given() + HELPS + expect, [BOOK])

    assert played.passed, (played.differences, played.story)


def test_all_of_it_is_taken_back(tmp_path: pathlib.Path) -> None:
    """Where it does not help, in the opposite order."""
    expect = f"""
  expect:
    - runs: [{{state: undone, reason: verify_failed}}]
      undone: [block, {CALL}, {SILENCE}]
      inForce: []
"""
    played = play(tmp_path, _given() + expect, [BOOK])

    assert played.passed, (played.differences, played.story)


@pytest.mark.parametrize(
    ("alertmanager", "http", "effects", "state"),
    [
        ("lost", "ok", f"{SILENCE}, {CALL}, block, flush", "{state: succeeded}"),
        ("ok", "lost", f"{SILENCE}, {CALL}, block, flush", "{state: succeeded}"),
        ("rejected", "ok", f"{CALL}, block, flush", "{state: succeeded}"),
        ("unreachable", "ok", f"{CALL}, block, flush", "{state: succeeded}"),
        ("ok", "rejected", SILENCE, "{state: undone, reason: peer_refused}"),
        ("ok", "unreachable", SILENCE, "{state: undone, reason: unreachable}"),
    ],
)
def test_each_word(alertmanager: str, http: str, effects: str, state: str, tmp_path: pathlib.Path) -> None:
    """A run goes on without a silence, and not without a call; what is lost was done, and only once."""
    expect = f"  expect: [{{effects: [{effects}], runs: [{state}]}}]\n"
    played = play(tmp_path, _given(alertmanager, http) + HELPS + expect, [BOOK])

    assert played.passed, (played.differences, played.story)


def test_others_answer_otherwise_later(tmp_path: pathlib.Path) -> None:
    """A server that goes away before a call is taken back is asked until it is there again."""
    rest = f"""
  events:
    - {{after: apply 2, others: {{http: {{'https://tools.example': lost}}}}}}
    - {{before: undo 2, others: {{http: {{'https://tools.example/drains/mine': lost}}}}}}
  expect: [{{runs: [{{state: undone}}], undone: [block, {CALL}, silence], inForce: []}}]
"""
    played = play(tmp_path, _given() + rest, [BOOK])

    assert played.passed, (played.differences, played.story)


def test_a_death_at_any_point_does_nothing_twice(tmp_path: pathlib.Path) -> None:
    """Silences and calls are found again."""
    expect = "  expect: [{runs: [{state: undone, reason: verify_failed}], inForce: []}]\n"
    file, book = tmp_path / "written.yaml", tmp_path / "book.yaml"
    file.write_text(_given() + expect, encoding="utf-8")
    book.write_text(BOOK, encoding="utf-8")
    (played,) = running.play(running.prepare([file], [book], ()), jobs=1, crashes=True)

    assert played.passed, (played.differences, played.story)
    assert played.deaths == len(played.points) > 30


def test_what_the_world_says_follows_from_them(tmp_path: pathlib.Path) -> None:
    """A drained node has room; and what differs is said in the words of the scenario."""
    rest = f"""
  while:
    - effects: [{CALL}]
      series:
        {SERIES}: 0.02
  expect: [{{runs: [{{state: succeeded}}], effects: [{{kind: http_call, method: PUT}}], told: []}}]
"""
    played = play(tmp_path, _given() + rest, [BOOK])

    assert set(seen(played)) == {"effects", "told"}
    assert (
        'http_call method=POST url=https://tools.example/drains body={"node":"node-1"}'
        in (seen(played)["effects"])
    )


def test_nobody_is_there_who_is_not_given(tmp_path: pathlib.Path) -> None:
    """No Alertmanager, and no address that may be called: the plan is refused."""
    expect = "  expect: [{runs: [{state: refused, reason: not_allowed}], effects: []}]\n"
    played = play(tmp_path, HEAD + GIVEN + HELPS + expect, [BOOK])

    assert played.passed, (played.differences, played.story)
