"""Requests that nobody should send and files that nobody should write, by the ten thousand."""

import random
import tempfile
from pathlib import Path
from typing import Final

from bench.lab_process import Broken
from tests.unit.app.malformed import Front, attack, scribble

ABOUT: Final = """\
Each round sends 5000 different malformed requests to a controller in which a run waits for people: to the
webhook, and to the routes of approvals, runs, events, pauses and deploys. Then it has 5000 changed files of
every kind read. It holds when each request is answered with 4xx and one line, alerts, runs, journals, events,
the audit and the node are as before, and each file is read, or refused with one line for each finding."""
HALF: Final = 5_000


def one_round(directory: Path, dice: random.Random) -> str:
    """Send and write so many, a round of `make soak`, and return what they were."""
    with tempfile.TemporaryDirectory(dir=directory) as own:
        front = Front(Path(own) / "data")
        before = front.record()
        try:
            attack(front, dice, HALF)
            for _ in range(HALF):
                scribble(dice, Path(own))
            same = front.record() == before
        except Exception as error:
            raise Broken(f"an input was not refused: {type(error).__name__}: {error}") from error
        finally:
            front.close()
    if not same:
        raise Broken("requests that were refused left a trace")
    return f"{HALF} requests and {HALF} files"
