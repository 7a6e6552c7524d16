"""The table of `netsre slo status`, read at 80 columns."""

import pytest

from netsre.app.levels import read_levels
from netsre.cli import slo_status

_DOCUMENT = {
    "slos": [
        {
            "name": "conntrack-headroom",
            "group": {"netns": "netsre-lab-10916-hcwz-srv", "node": "worker-17.example.internal"},
            "objective": 0.999,
            "sli": 0.96773,
            "budget_remaining": -31.264,
            "burn": {"5m": 32.26, "30m": 32.26},
            "firing": ["page", "ticket"],
            "total": 100,
        }
    ]
}


def test_a_long_group_folds_and_no_column_is_cut(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every title and value is whole, the state above all, and no line is longer than the terminal."""
    monkeypatch.setenv("COLUMNS", "80")
    slo_status._print(read_levels(_DOCUMENT))
    printed = capsys.readouterr().out

    assert max(len(line) for line in printed.splitlines()) <= 80
    for whole in ("objective", "measured", "budget left", "96.773 %", "-3126.4 %", "5m 32.26", "BURNS"):
        assert whole in printed
    assert "page, ticket" in printed


def test_a_group_is_no_markup_and_no_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names of namespaces come from outside; a terminal shows them, and does nothing they say."""
    monkeypatch.setenv("COLUMNS", "200")
    level = {**_DOCUMENT["slos"][0], "group": {"netns": "[/b]\x1b]0;x\x07\x9b31m"}}

    slo_status._print(read_levels({"slos": [level]}))

    assert r"[/b]\x1b]0;x\x07\x9b31m" in capsys.readouterr().out
