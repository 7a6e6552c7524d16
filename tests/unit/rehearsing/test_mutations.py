"""A runbook that was broken is found by the scenarios that ship with it."""

import pathlib
from typing import Final

import pytest

from netsre.app import resources
from netsre.app.rehearsing import running
from netsre.cli import main
from netsre.errors import SpecErrors

BOOK: Final = resources.directory("runbooks") / "conntrack-exhaustion.yaml"
SCENARIOS: Final = running.shipped() / "conntrack-exhaustion.yaml"
TOP: Final = "{source: '${evidence.top_source}'"

MUTATIONS: Final = {
    "another source is blocked": (f"block_source, with: {TOP}", "block_source, with: {source: 10.0.1.1"),
    "another source is freed": (f"flush, with: {TOP}", "flush, with: {source: 10.0.1.1"),
    "a block lasts too long": ("ttl: 10m", "ttl: 1h"),
    "nothing is freed": ("    - {action: conntrack.flush,", "    # - {action: conntrack.flush,"),
    "the limit is raised in any case": ("if: 'still(alert)', ", ""),
    "the limit is raised too far": ("limit: x2", "limit: x4"),
    "a higher limit stays too long": ("ttl: 1h", "ttl: 2h"),
    "effects stay although they did not help": ("onFailure: undo", "onFailure: stop"),
    "one good sample is enough": ("samples: 3", "samples: 1"),
    "another level is verified": ("slo: conntrack-headroom", "slo: flow-success"),
    "it comes again too soon": ("cooldown: 15m", "cooldown: 1m"),
    "nobody sees what it saw": ("what: [conntrack, top-sources]", "what: [top-sources]"),
    "people are asked first": ("mode: auto", "mode: propose"),
    "it is for other alerts": ('"page"', '"ticket"'),
    "it begins too late": ("transition: firing", "transition: resolved"),
}
"""What is written instead of what, by what is wrong then."""


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_broken_runbook_is_found(mutation: str, tmp_path: pathlib.Path) -> None:
    """By a scenario that ends otherwise, or before: it is no runbook any more."""
    old, new = MUTATIONS[mutation]
    text = BOOK.read_text(encoding="utf-8")
    assert old in text
    broken = tmp_path / BOOK.name
    broken.write_text(text.replace(old, new, 1), encoding="utf-8")

    try:
        played = list(running.play(running.prepare([SCENARIOS], [broken], ())))
    except SpecErrors:
        return
    assert not all(one.passed for one in played)


def test_a_runbook_without_a_proof_is_none(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No scenario is played by it."""
    text = BOOK.read_text(encoding="utf-8")
    broken = tmp_path / BOOK.name
    broken.write_text("".join(line for line in text.splitlines(True) if "verify:" not in line))

    assert main.run(["runbook", "test", str(SCENARIOS), "--runbooks", str(broken)]) == 2
    assert "RUN012" in capsys.readouterr().err
