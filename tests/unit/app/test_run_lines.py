"""The lines of a run, as a terminal shows them."""

from netsre.app import run_lines

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
