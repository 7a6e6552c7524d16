"""Scenarios play what would happen: the shipped ones pass, and what differs is told."""

import pathlib
from collections import Counter
from dataclasses import replace

import pytest

from netsre.app import resources, runbooks
from netsre.app.rehearsing import running
from netsre.app.rehearsing.node import VirtualNode
from netsre.model.effects import Standing
from tests.unit.rehearsing.written import ASKS, GIVEN, HEAD, HELPS, SERIES, play, seen

READY = running.prepare((), (), ())


def test_the_shipped_scenarios_pass() -> None:
    """Every runbook that ships does in each of them what its scenario says."""
    failed = {one.name: one.differences for one in running.play(READY, jobs=1) if not one.passed}

    assert not failed


def test_a_death_at_any_point_changes_nothing_in_the_end() -> None:
    """Each effect once, the same end, in every scenario of the runbook that does most."""
    acting = [
        one for one in READY.scenarios if one.name in ("conntrack-limit-helps", "conntrack-does-not-help")
    ]
    played = list(running.play(replace(READY, scenarios=tuple(acting)), jobs=1, crashes=True))

    assert [one.differences for one in played] == [(), ()]
    assert all(one.deaths == len(one.points) > 20 for one in played)


def test_an_effect_that_is_applied_twice_is_found(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that repeated what it does not know the end of would not pass."""
    monkeypatch.setattr(VirtualNode, "look", lambda _node, _key, _effect: Standing.ABSENT)
    rest = "  events: [{after: apply 1, kill: controller}]\n  expect: [{runs: [{state: succeeded}]}]\n"
    played = play(tmp_path, HEAD + GIVEN + HELPS + rest)

    assert [found.seen.partition(",")[0] for found in played.differences] == ["block was applied twice"]


def test_every_shipped_runbook_has_scenarios() -> None:
    """At least three, each of them about something else."""
    counts = Counter(scenario.runbook for scenario in READY.scenarios)

    assert {name for name, count in counts.items() if count >= 3} == {
        book.name for book in runbooks.read((resources.directory("runbooks"),))
    }


def test_a_scenario_is_the_same_each_time_and_in_every_process() -> None:
    """Nothing of one is left for the next, whatever was played before it."""
    alone, together = list(running.play(READY, jobs=1)), list(running.play(READY, jobs=2))

    assert [(one.name, one.story) for one in together] == [(one.name, one.story) for one in alone]


def test_a_difference_names_its_place_and_both_sides(tmp_path: pathlib.Path) -> None:
    """The first look that shows one, with all that it shows."""
    expect = """
  expect:
    - {at: 0s, runs: [{state: executing}]}
    - {at: 20s, effects: [block], samples: [fail], inForce: [block]}
    - {calls: [never_reached]}
"""
    played = play(tmp_path, HEAD + GIVEN + HELPS + expect)

    assert seen(played) == {
        "effects": "block netns=lab interface=eth0 source=10.0.0.9 ttl=10m, flush netns=lab source=10.0.0.9",
        "samples": "pass",
    }
    (line,) = {found.origin.line for found in played.differences}
    assert (tmp_path / "written.yaml").read_text().splitlines()[line - 1].startswith("    - {at: 20s")
    assert played.differences[0].expected == "block"


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("approve", "{state: succeeded, reason: verified}"),
        ("deny", "{state: refused, reason: denied}"),
        ("cancel", "{state: refused, reason: cancelled}"),
    ],
)
def test_people_decide(word: str, expected: str, tmp_path: pathlib.Path) -> None:
    """By whose word a run goes on, or ends."""
    rest = f"""
  events:
    - {{at: 40s, {word}: maria, answer: recorded}}
    - {{at: 41s, {word}: tom, answer: already_decided}}
  expect:
    - {{at: 20s, runs: [{{state: awaiting_approval}}], effects: [], calls: [approval]}}
    - {{runs: [{expected}]}}
"""
    # Whoever cancels what ended says so to nobody.
    rest = rest.replace("already_decided", "run_over") if word == "cancel" else rest
    played = play(tmp_path, HEAD + GIVEN + HELPS + rest, [ASKS])

    assert played.passed, (played.differences, played.story)


def test_nobody_answers(tmp_path: pathlib.Path) -> None:
    """A question ends, and nothing was done."""
    rest = """
  expect:
    - {at: 9m50s, runs: [{state: awaiting_approval}]}
    - {runs: [{state: expired, reason: approval_expired}], effects: [], calls: [approval, approval_expired]}
"""
    assert play(tmp_path, HEAD + GIVEN + rest, [ASKS]).passed


def test_silence_is_a_yes_to_a_veto(tmp_path: pathlib.Path) -> None:
    """When the controller was there all the time; and who starts again asks anew."""
    veto = ASKS.replace("mode: propose, timeout: 10m", "veto: 2m")
    quiet = "  expect: [{at: 2m10s, effects: [block, flush]}, {runs: [{state: succeeded}]}]\n"
    killed = """
  events: [{at: 1m, kill: controller}]
  expect: [{at: 2m30s, effects: []}, {runs: [{state: succeeded}], effects: [block, flush]}]
"""
    for rest in (quiet, killed):
        played = play(tmp_path, HEAD + GIVEN + HELPS + rest, [veto])
        assert played.passed, (played.differences, played.story)


def test_who_starts_a_run_does_not_approve_it(tmp_path: pathlib.Path) -> None:
    """Runs by hand go the same way."""
    rest = """
  events:
    - {at: 20s, deny: tom}
    - {at: 20m, start: maria, answer: accepted}
    - {at: 20m10s, approve: maria, answer: self_approval}
    - {at: 20m20s, approve: tom, answer: recorded}
  expect:
    - runs: [{state: refused, reason: denied}, {state: succeeded, reason: verified}]
"""
    played = play(tmp_path, HEAD + GIVEN + HELPS + rest, [ASKS])

    assert played.passed, (played.differences, played.story)


def test_an_answer_that_is_another_is_a_difference(tmp_path: pathlib.Path) -> None:
    """What a person hears is expected like everything else."""
    rest = "  events: [{at: 20s, approve: maria, answer: not_an_approver}]\n  expect: [{calls: [approval]}]\n"
    played = play(tmp_path, HEAD + GIVEN + HELPS + rest, [ASKS])

    (found,) = played.differences
    assert "maria says approve is answered recorded, not not_an_approver" in found.seen


def test_what_is_paused_is_refused(tmp_path: pathlib.Path) -> None:
    """A person keeps a runbook from acting, and lets it again."""
    rest = f"""
  events:
    - {{at: 0s, pause: maria}}
    - at: 1m
      series:
        {SERIES}: 0.1
    - {{at: 2m, resume: maria}}
    - at: 3m
      series:
        {SERIES}: 0.95
  expect:
    - {{at: 30s, runs: [{{state: refused, reason: paused}}]}}
    - {{runs: [{{state: refused, reason: paused}}, {{state: succeeded}}]}}
"""
    played = play(tmp_path, HEAD + GIVEN + HELPS + rest)

    assert played.passed, (played.differences, played.story)


def test_an_unreadable_kill_switch_is_on(tmp_path: pathlib.Path) -> None:
    """Also between two changes; a later scenario has a good one again."""
    rest = """
  events: [{before: apply 2, killSwitch: unreadable}]
  expect: [{runs: [{state: succeeded}]}]
"""
    # What was begun is done; the next change, and the way back, would not be.
    assert play(tmp_path, HEAD + GIVEN + HELPS + rest).passed
    between = rest.replace("before: apply 2", "after: outcome 1").replace(
        "state: succeeded", "state: needs_human, reason: kill_switch_unreadable"
    )
    assert play(tmp_path, HEAD + GIVEN + HELPS + between).passed


def test_a_point_that_never_comes_is_a_difference(tmp_path: pathlib.Path) -> None:
    """A crash that does not happen proves nothing."""
    rest = "  events: [{before: apply 7, kill: controller}]\n  expect: [{runs: [{state: succeeded}]}]\n"

    assert seen(play(tmp_path, HEAD + GIVEN + HELPS + rest)) == {"event": "the run never came there"}


def test_what_is_asked_for_and_not_given_is_a_difference(tmp_path: pathlib.Path) -> None:
    """A scenario without a fact proves nothing about a node that has it."""
    given = GIVEN.replace("      route: {interface: eth0}\n", "")
    played = play(tmp_path, HEAD + given + "  expect: [{effects: []}]\n")

    assert seen(played) == {"": "facts: route is asked for, and not given"}


def test_effects_end_by_themselves(tmp_path: pathlib.Path) -> None:
    """In virtual time, at their own time, with all that they did to the world."""
    rest = f"""
  events:
    - at: 30m
      series:
        {SERIES}: 0.1
  expect:
    - {{at: 9m50s, inForce: [block]}}
    - {{at: 10m5s, inForce: []}}
    - {{runs: [{{state: succeeded}}, {{state: refused, reason: cooldown}}]}}
"""
    played = play(tmp_path, HEAD + GIVEN + HELPS + rest)

    assert played.passed, (played.differences, played.story)
    assert "block ends by itself" in {told.text for told in played.story}


def test_a_field_that_somebody_else_changed_is_refused(tmp_path: pathlib.Path) -> None:
    """As the agent does: what a plan was made for must still be so."""
    rest = f"""
  while:
    - effects: [block, flush]
      series:
        {SERIES}: 0.9
  events: [{{before: apply 3, facts: {{limit: {{limit: 3000}}}}}}]
  expect: [{{runs: [{{state: undone, reason: changed_meanwhile}}], effects: [block, flush], undone: [block]}}]
"""
    played = play(tmp_path, HEAD + GIVEN + rest)

    assert played.passed, (played.differences, played.story)


def test_a_word_of_the_node_is_that_of_the_run(tmp_path: pathlib.Path) -> None:
    """A node that has no such thing says so."""
    given = GIVEN.replace("route: {interface: eth0}", "route: no_route")
    played = play(tmp_path, HEAD + given + "  expect: [{runs: [{state: refused, reason: no_route}]}]\n")

    assert played.passed, (played.differences, played.story)


def test_an_alert_that_holds_before_it_fires_is_waited_for(tmp_path: pathlib.Path) -> None:
    """And where none fires, the play ends all the same."""
    head = HEAD.replace("conntrack-exhaustion", "service-without-backend")
    given = """
  given:
    series:
      netsre_balance_backends{service="shop",state="serving"}: VALUE
"""
    fires = given.replace("VALUE", "0") + "  expect: [{runs: [{state: succeeded, reason: steps_done}]}]\n"
    calm = given.replace("VALUE", "2") + "  expect: [{runs: [], calls: []}]\n"

    assert play(tmp_path, head + fires).passed
    assert play(tmp_path, head + calm).passed
