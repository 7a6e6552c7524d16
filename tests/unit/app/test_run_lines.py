"""The lines of a run, as a terminal shows them."""

import pytest

from netsre.app import run_lines
from netsre.app.control.incidents import steps
from netsre.model import effects
from netsre.model.effects import Effect, Resize, Stagger, Timeout

HOSTILE = "\x1b]0;title\x07\x9b31m\u202egnp\r\nforged"


def test_nothing_in_a_run_commands_a_terminal_or_begins_a_line() -> None:
    """Its target is made of the labels of an alert, which come from outside."""
    entry = {
        "at": "2026-01-02T03:04:05Z", "kind": "outcome", "step": 0, "action": "evidence.collect",
        "data": {"ok": False, "reason": "refused", "error": HOSTILE},
    }  # fmt: skip
    run = {
        "id": "abc", "runbook": "a", "state": "failed", "reason": "refused", "target": f"conntrack/{HOSTILE}",
        "started_at": "2026-01-02T03:04:05Z", "journal": [entry],
    }  # fmt: skip

    lines = run_lines.read_runs({"runs": [run]})

    assert all(line.isprintable() for line in lines)
    assert r"\x1b]0;title\x07\x9b31m\u202egnp\r\nforged" in " ".join(lines)


@pytest.mark.parametrize(
    ("effect", "exact", "said"),
    [
        (
            Timeout("lab", "syn_sent", 120, 20, 600_000),
            "timeout netns=lab state=syn_sent before=120 after=20 ttl=10m",
            "end entries in state syn_sent in lab after 20 s instead of 120 s for 10m",
        ),
        (
            Resize(65_536, 131_072, 600_000),
            "resize before=65536 after=131072 ttl=10m",
            "have room for 131072 connections in the policy datapath instead of 65536 for 10m",
        ),
        (
            Stagger(10_000, 600_000),
            "stagger every=10s ttl=10m",
            "put at most one change of followed policies into force every 10s for 10m",
        ),
    ],
)
def test_a_plan_has_what_is_changed_and_what_it_was(effect: Effect, exact: str, said: str) -> None:
    """In the plan by its names, in an incident in words."""
    assert run_lines.effect_text(effects.write(effect)) == exact
    assert steps.words(effect) == said


def line_of(data: object) -> str:
    """Return the lines of a run with one outcome, as one text."""
    entry = {
        "at": "2026-01-02T03:04:05Z", "kind": "outcome", "step": 0, "action": "a.b", "data": data,
    }  # fmt: skip
    run = {
        "id": "abc", "runbook": "a", "state": "succeeded", "reason": "steps_done", "target": "a/b",
        "started_at": "2026-01-02T03:04:05Z", "journal": [entry],
    }  # fmt: skip
    return " ".join(" ".join(run_lines.read_runs({"runs": [run]})).split())


def test_the_history_shows_what_was_seen() -> None:
    """Pages of runbooks send people there for it: who, and the last words of the verifier."""
    refused = {"owner": "cilium-agent", "reason": "EACCES", "log": "R1 invalid mem access"}

    said = line_of({"ok": True, "evidence": {"loads": {"refused": [refused]}}})

    assert "cilium-agent" in said
    assert "R1 invalid mem access" in said


def test_the_history_shows_the_end_of_an_effect_as_a_time() -> None:
    """Nobody reads milliseconds since 1970 at night."""
    said = line_of({"ok": True, "result": {"standing": "applied", "until": 1_795_838_258_266}})

    assert "1795838258266" not in said
