"""What every test gets: needs that are named, skips that are counted, and a host left as it was found.

A test says what it needs: `@pytest.mark.requires("root", "nft")`. Where a need is not met the test is skipped
with the reason; with CI=true, where everything must be there, the same test fails instead.

Several workers may share a run; tests/queues.py says what stays together.
"""

import collections
import os
import pathlib
import re
import signal
import time
from collections.abc import Generator
from typing import Final

import hypothesis
import pytest

from tests import machine, needs, queues, thorough

HERE: Final = pathlib.Path(__file__).parent
IN_CI: Final = os.environ.get("CI") == "true"

_IMPLIED_NEEDS: Final[dict[str, tuple[str, ...]]] = {"kernel": ("root", "bpf", "btf", "bcc"), "system": ()}
"""What a marker stands for; a test in `tests/<marker>/` has the marker by living there."""

_NAMESPACES: Final = pathlib.Path("/run/netns")
_OWNED: Final = re.compile(r"netsre-[a-z0-9]+-(?P<pid>\d+)-[0-9a-z]+-")
_BEFORE: Final = pytest.StashKey[set[str]]()
_LEFT: Final = pytest.StashKey[set[str]]()

# A busy machine is no reason to call a property false, and CI must find the same thing twice. What repeats a
# failure is printed, so nothing is kept in the checkout.
hypothesis.settings.register_profile(
    "netsre",
    deadline=None,
    max_examples=thorough.cases(50),
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    derandomize=IN_CI,
    print_blob=True,
    database=None,
)
hypothesis.settings.load_profile("netsre")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run say for how long it waits for others to take their namespaces down."""
    parser.addini("namespaces_within", "seconds at the end of a run", default=str(machine.PATIENCE))


def pytest_configure(config: pytest.Config) -> None:
    """Describe the markers, so that a misspelt one is an error."""
    # A job in the background of a script ignores Ctrl-C, and so would every program that a test starts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "requires(*needs): what the machine must have; see tests/needs.py")
    config.addinivalue_line("markers", "kernel: loads BPF programs; needs root, BPF, BTF and bcc")
    config.addinivalue_line("markers", "system: starts whole processes, servers or a browser")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the directory they live in, refuse needs that nobody can check, and put them in order."""
    for item in items:
        directory = item.path.relative_to(HERE).parts[0] if item.path.is_relative_to(HERE) else ""
        if directory in _IMPLIED_NEEDS:
            item.add_marker(directory)
        needed = _needs_of(item)
        for need in sorted(needed):
            if need not in needs.NEEDS:
                known = ", ".join(needs.NEEDS)
                raise pytest.UsageError(f"{item.nodeid}: unknown need {need!r}; known: {known}")
        if needed & queues.HOST_NEEDS and queues.queue_of(item.nodeid) not in queues.LONG:
            raise pytest.UsageError(f"{item.nodeid}: can change the host; name it in tests/queues.py")
    items.sort(key=lambda item: queues.turn_of(item.nodeid))


def pytest_xdist_auto_num_workers() -> int:
    """Have two workers more than processors: most tests of the kernel and of servers wait."""
    return (os.cpu_count() or 1) + 2


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> queues.Scheduler:
    """Have the workers of a run keep to the queues."""
    return queues.Scheduler(config, log)


def _needs_of(item: pytest.Item) -> set[str]:
    """Return what an item needs: what it names, and what its markers stand for."""
    named = {str(need) for marker in item.iter_markers("requires") for need in marker.args}
    marked = [stands_for for name, stands_for in _IMPLIED_NEEDS.items() if item.get_closest_marker(name)]
    return named.union(*marked)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose needs are not met; in CI such a skip is turned into a failure below."""
    reasons = [reason for need in sorted(_needs_of(item)) if (reason := needs.missing(need)) is not None]
    if reasons:
        pytest.skip("; ".join(reasons))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail, in CI, every test that was skipped for whatever reason: nothing may go unnoticed there."""
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"CI runs every test, and this one was skipped: {_reason_of(report)}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail, in CI, every module that skips itself while it is imported."""
    report = yield
    if IN_CI and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"CI runs every module, and this one was skipped: {_reason_of(report)}"
    return report


def _reason_of(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return the reason of a skip as it was given."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name every reason for a skip with its count, say so when there was none, and name what is left."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = collections.Counter(_reason_of(report) for report in skipped)
    terminalreporter.section("skipped tests")
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"skipped: {count} ({reason})")
    if not reasons:
        terminalreporter.write_line("skipped: none")
    if left := config.stash.get(_LEFT, set()):
        names = ", ".join(sorted(left))
        terminalreporter.write_line(f"tests left network namespaces behind: {names}", red=True)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Look at the host before the first test."""
    session.config.stash[_BEFORE] = _namespaces()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run when a network namespace that a test made is still there at its end.

    A worker's end is not the run's: beside it another may just be taking its own down.
    """
    if hasattr(session.config, "workerinput"):
        return
    patience = float(session.config.getini("namespaces_within"))
    before, deadline = session.config.stash[_BEFORE], time.monotonic() + patience
    while (left := _orphans(_namespaces() - before)) and time.monotonic() < deadline:
        time.sleep(0.1)
    session.config.stash[_LEFT] = left
    if left:
        # The second is for who runs tests again: it is no failure of one of them.
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        session.shouldfail = "tests left network namespaces behind"


def _namespaces() -> set[str]:
    """Return the names of the network namespaces that are netsre's."""
    return {path.name for path in _NAMESPACES.glob("netsre-*")}


def _orphans(names: set[str]) -> set[str]:
    """Return those that no other living process owns; another lab on this machine is not our business."""
    owners = {name: _OWNED.match(name) for name in names}
    return {name for name, owner in owners.items() if not owner or _is_ours_or_dead(int(owner["pid"]))}


def _is_ours_or_dead(pid: int) -> bool:
    """Say whether a process has ended, or descends from this one."""
    while pid not in (0, os.getpid()):
        try:
            status = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        except OSError:
            return True
        # The name of a program may hold spaces and brackets; the parent comes second after the last one.
        pid = int(status.rpartition(")")[2].split()[1])
    return pid == os.getpid()
