"""Requests that Slack never sent, by the ten thousand, to a controller that waits for a click."""

import random
import tempfile
from pathlib import Path
from typing import Final

from bench.lab_process import Broken
from tests import slack_server
from tests.unit.app.slack_desk import station
from tests.unit.app.test_slack_hostile import attack, record

ABOUT: Final = """\
Each round sends different requests to the route of Slack's clicks: changed, cut, late, signed with another
secret, or signed and no click. It holds when each is answered with 400 or 401, and the run, its journal and
the audit are as before."""
ROUND: Final = 10_000


def one_round(directory: Path, dice: random.Random) -> str:
    """Send ten thousand, a round of `make soak`, and return what they were."""
    with slack_server.slack() as slack, tempfile.TemporaryDirectory(dir=directory) as own:
        at = station(Path(own), slack)
        before = record(at)
        try:
            attack(at, dice, ROUND)
        except AssertionError as error:
            raise Broken(f"a request was not refused: {error}") from error
        if record(at) != before:
            raise Broken("requests that were refused left a trace")
    return f"{ROUND} different requests"
