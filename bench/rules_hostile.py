"""Histories and runs in which everything goes wrong, by the thousand, against the rules of automation."""

import random
from pathlib import Path
from typing import Final

from bench.lab_process import Broken
from tests.unit.runbook import hostile, hostile_runs

ABOUT: Final = """\
Each round plays 1000 hostile scenarios made by chance. Half of them are histories of alerts, runs, pauses
and kill switches; half are single runs of runbooks made by chance (loops, tries, parameters, proofs by n of
m, what others do), on a node that does not hear, forgets and refuses, with kill switches that people set and
controllers that are killed. It holds when a judge who counts for himself finds no rule of automation
broken."""
HALF: Final = 500


def one_round(_directory: Path, dice: random.Random) -> str:
    """Play a thousand, a round of `make soak`, and return what they were."""
    for _ in range(HALF):
        seed = dice.randrange(2**32)
        for what, broken in (
            ("history", hostile.played(seed).broken),
            ("run", hostile_runs.played(seed).broken),
        ):
            if broken:
                raise Broken(f"{what} of seed {seed}: {broken[0]}")
    return f"{HALF} histories and {HALF} runs"
