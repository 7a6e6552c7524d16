"""Run pytest, and run again, each alone, the few tests that failed beside others.

Tests of a live kernel and of real servers share a machine here: one of them may fail for what another did to
it, or because nobody gave it a processor. Whether that is so, a second run shows in which nothing else runs.
The run passes if all of them pass then, and says which they were: each is a defect of the test, or of what it
tests, and to be mended. A test that fails again fails the run, and so does anything that a second try says
nothing about: more failures than a few, a test of `tests/unit`, which depends on nothing outside of it, an
error while tests are collected, a worker that died, network namespaces that were left behind, a run that was
cut short.

    python -m tools.run_tests [OPTIONS OF PYTEST]
"""

import subprocess
import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

MOST: Final = 8
"""Of more failures than this the cause is none that another test has."""
DETERMINISTIC: Final = "tests/unit/"
"""Where a test fails for what it says, whatever runs beside it."""
PHASES: Final = frozenset({"setup", "call", "teardown"})


@dataclass
class Record:
    """What failed in a run, as a plugin of pytest; with several workers it is told by their controller."""

    failed: dict[str, str] = field(default_factory=dict)
    """The first line of why, by the id of the test."""
    objections: list[str] = field(default_factory=list)
    """Why no second try would say anything."""
    root: Path = field(default_factory=Path)
    """The directory that ids are relative to."""
    seed: int | None = None
    """What the run drew its random numbers from."""

    def pytest_configure(self, config: pytest.Config) -> None:
        """Remember what a second try is to have in common with the run."""
        self.root = config.rootpath

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a failure, in whatever phase; a worker that died tells of none."""
        if report.failed:
            self.failed.setdefault(report.nodeid, _reason(report))
            if report.when not in PHASES:
                self.objections.append(f"a worker died in {report.nodeid}")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note that some tests are not known."""
        if report.failed:
            self.objections.append(f"{report.nodeid} was not collected")

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Note, after all others, that the run was cut short or that something was left behind."""
        yield
        self.seed = getattr(session.config.option, "randomly_seed", None)
        self.objections += [str(why) for why in (session.shouldfail, session.shouldstop) if why]


def _reason(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(report.longrepr if crash is None else crash.message)
    return next((line for line in text.splitlines() if line.strip()), "no reason was given")


def objection(code: int, record: Record) -> str:
    """Return why a run that ended with `code` is judged as it is; empty where a second try is worth it."""
    if code != pytest.ExitCode.TESTS_FAILED:
        return f"pytest ended with {code}"
    if record.objections:
        return record.objections[0]
    if not record.failed:
        return "no test failed"
    if len(record.failed) > MOST:
        return f"{len(record.failed)} tests failed, which is more than {MOST}"
    steady = [test for test in record.failed if test.startswith(DETERMINISTIC)]
    return f"{steady[0]} depends on nothing that runs beside it" if steady else ""


def passes_alone(test: str, record: Record) -> bool:
    """Run one test in a process of its own, with the random numbers that it had."""
    seed = () if record.seed is None else (f"--randomly-seed={record.seed}",)
    command = [sys.executable, "-m", "pytest", "-n", "0", *seed, test]
    return subprocess.run(command, cwd=record.root, check=False).returncode == pytest.ExitCode.OK


def main(options: Sequence[str]) -> int:
    """Run the tests and return the exit code of it all."""
    record = Record()
    code = int(pytest.main(list(options), plugins=[record]))
    if code == pytest.ExitCode.OK:
        return code
    if why := objection(code, record):
        _say(f"no second try: {why}")
        return code
    # In the order of their names: what they leave to each other must not depend on how they failed.
    passed = {}
    for number, test in enumerate(sorted(record.failed), start=1):
        _say(f"\n=== again, alone, {number} of {len(record.failed)}: {test}")
        passed[test] = passes_alone(test, record)
    again = [test for test, well in passed.items() if not well]
    lucky = [test for test, well in passed.items() if well]
    _tell("failed again when run alone", again, record)
    _tell("passed only when run again alone", lucky, record)
    return code if again else int(pytest.ExitCode.OK)


def _tell(what: str, tests: Sequence[str], record: Record) -> None:
    if not tests:
        return
    _say(f"\n{'=' * 100}\n{what}: {len(tests)}")
    for test in tests:
        _say(f"  {test}\n      at first: {record.failed[test]}")
    _say("=" * 100)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
