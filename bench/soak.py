"""`make soak`: netsre in its lab, killed again and again at random moments, in starts and in drills.

After every death: the survivors end or recover by themselves, a sweep leaves nothing, and the database is
whole. The result goes to docs/soak.md with its date; the exit code is 1 when any round failed. Rounds and
seed: `make soak SOAK_ARGS="--starts 200 --drills 84 --seed 7"`. 42 drills are every victim at every stage
once; nothing else may use the connection tables meanwhile. At the end a million hostile packets run through
the policy programs, a hundred thousand requests that Slack never sent go to the route of its clicks, a
hundred thousand malformed requests and files to the other routes and to the readers, and ten thousand
hostile scenarios are played against the rules of automation. Last, the tests of `tests/unit` run with every
case of which a run of the tests tries a part.

Before that, the agent alone runs under full load for ten minutes; its result is a section of
docs/benchmarks.md. By itself: `make soak SOAK_ARGS="--starts 0 --drills 0 --packets 0 --clicks 0 --inputs 0
--scenarios 0 --tests 0"`.
"""

import argparse
import datetime
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench import (
    agent_soak,
    agent_soak_page,
    drill_rounds,
    input_hostile,
    policy_hostile,
    rules_hostile,
    slack_hostile,
    thorough_tests,
)
from bench.lab_process import (
    END_SECONDS,
    START_SECONDS,
    Broken,
    check_database,
    check_nothing_left,
    up,
    wait,
)
from bench.machine import machine
from bench.page import BENCHMARKS, SOAK
from netsre.clock import SystemClock, rfc3339

_VICTIMS: Final = ("up", "agent", "controller")

_ABOUT: Final = """\
Each round starts `netsre up --lab` on the same data directory, kills one process with SIGKILL at a random
moment, and then ends the rest. It holds when killed halves are replaced and ready, every process ends, a
sweep leaves no namespace, and the database and its audit chain are whole."""

Round = Callable[[Path, random.Random], str]
"""One round in a directory of its campaign; returns what was done, raises `Broken`."""


@dataclass(slots=True)
class Campaign:
    """Rounds of one kind and what came of them."""

    title: str
    about: str
    column: str
    one_round: Round
    rounds: int
    held: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def section(self, when: str) -> str:
        """Return the part of the page about it."""
        rows = "\n".join(f"| {what} | {count} |" for what, count in sorted(self.held.items()))
        listed = "\n".join(f"- {failure}" for failure in self.failures) or "None."
        count = sum(self.held.values()) + len(self.failures)
        return f"""{count} rounds on {when}.

{self.about}

| {self.column} | rounds that held |
|---|---|
{rows}

Rounds that did not hold: {listed}
"""


def one_start(directory: Path, dice: random.Random) -> str:
    """Start, kill one part at a random moment, and check everything that must hold; return who was killed."""
    victim, data_dir = dice.choice(_VICTIMS), directory / "data"
    with up(data_dir) as running:
        if dice.random() < 0.7:
            wait("ready after the start", START_SECONDS, running.ready)
        time.sleep(dice.uniform(0.0, 6.0))
        if victim == "up":
            running.process.kill()
        else:
            wait("a child to kill", START_SECONDS, lambda: bool(running.pids_of(victim)))
            os.kill(running.pid_of(victim), signal.SIGKILL)
            wait(f"ready again without its {victim}", START_SECONDS, running.ready)
        ending = "SIGKILL" if victim == "up" else dice.choice(["SIGKILL", "SIGTERM"])
        running.process.send_signal(signal.Signals[ending])
        running.process.wait(timeout=END_SECONDS)
    check_nothing_left(running)
    check_database(data_dir)
    return f"{victim}, then {ending}"


_HEAD: Final = """# Soak

Written by `make soak`. Do not edit. A soak of the agent is in [benchmarks.md](benchmarks.md).
"""


def _campaigns(options: argparse.Namespace) -> list[Campaign]:
    how = "killed, and how the rest ended"
    first = Campaign("Starts and stops", _ABOUT, how, one_start, options.starts)
    how = "killed or stopped, and at which stage: how the drill ended"
    second = Campaign("Drills", drill_rounds.ABOUT, how, drill_rounds.Drills(), options.drills)
    hostile = (
        ("Hostile packets", "answered and counted", policy_hostile, options.packets),
        ("Hostile clicks", "refused", slack_hostile, options.clicks),
        ("Hostile inputs", "refused, or read", input_hostile, options.inputs),
        ("Hostile scenarios", "judged", rules_hostile, options.scenarios),
        ("All cases of the tests", "passed", thorough_tests, options.tests),
    )
    return [
        first,
        second,
        *(Campaign(title, of.ABOUT, column, of.one_round, rounds) for title, column, of, rounds in hostile),
    ]


def main() -> int:
    """Run the rounds, print progress, write the page; return 1 when any round failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--starts", type=int, default=100)
    parser.add_argument("--drills", type=int, default=42)
    parser.add_argument("--packets", type=int, default=10, help="hundreds of thousands")
    parser.add_argument(
        "--clicks", type=int, default=10, help="tens of thousands of requests to Slack's route"
    )
    parser.add_argument("--inputs", type=int, default=10, help="tens of thousands of requests and files")
    parser.add_argument("--scenarios", type=int, default=10, help="thousands of hostile scenarios")
    parser.add_argument("--tests", type=int, default=1, help="runs of tests/unit that leave no case out")
    parser.add_argument("--agent-minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=20261123)
    options = parser.parse_args()
    # A soak that is ended ends its netsre too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    held = not options.agent_minutes or _agent_holds(options.agent_minutes * 60)
    campaigns = _campaigns(options)
    titles = [campaign.title for campaign in campaigns]
    when = f"{rfc3339(SystemClock().now())[:10]}, seed {options.seed}, machine: {machine()}"
    for campaign in campaigns:
        dice = random.Random(options.seed)  # noqa: S311  # repeatable, not secret
        directory = Path(tempfile.mkdtemp(prefix="netsre-soak-"))
        directory.chmod(0o755)
        try:
            for number in range(1, campaign.rounds + 1):
                _play(campaign, directory, dice)
                print(
                    f"{campaign.title} {number}/{campaign.rounds}: {len(campaign.failures)} failed",
                    flush=True,
                )
                SOAK.renew(_HEAD, {campaign.title: campaign.section(when)}, titles)
        finally:
            shutil.rmtree(directory)
        if campaign.rounds:
            print(f"wrote {SOAK.path}")
    return 1 if not held or any(campaign.failures for campaign in campaigns) else 0


def _agent_holds(seconds: float) -> bool:
    """Soak the agent alone, keep what was found, and tell whether all of it was as it must be."""
    found = agent_soak.measure(seconds, lambda what: print(what, flush=True))
    today = datetime.datetime.now(tz=datetime.UTC).date()
    BENCHMARKS.put(agent_soak_page.TITLE, agent_soak_page.section(found, machine(), today))
    print(f"agent: {'held' if found.held else 'did not hold'}; wrote {BENCHMARKS.path}", flush=True)
    return found.held


def _play(campaign: Campaign, directory: Path, dice: random.Random) -> None:
    try:
        campaign.held[campaign.one_round(directory, dice)] += 1
    except (Broken, subprocess.SubprocessError) as error:
        campaign.failures.append(str(error))
        print(error, flush=True)


if __name__ == "__main__":
    sys.exit(main())
