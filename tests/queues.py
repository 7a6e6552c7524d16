"""How the workers of a run share its tests: in queues, each of which one worker takes from end to end.

Tests that can change the host, or see it changed, are one queue and run one after the other: they raise the
limit of its connection tables, sweep up what others have left, and count what happens anywhere on it. Those
of probes that look at namespaces of their own alone are another one beside it, with all that is attached at
the root of cgroups, and those of the policy datapath a third. Every other module is a queue of its own.
"""

from typing import Final

import pytest
from xdist.scheduler import LoadScopeScheduling

HOST: Final = "host"
HOST_NEEDS: Final = frozenset({"bpf", "netns"})
"""What a test needs that can change the host; its id must begin with one of these."""
_HOST_TESTS: Final = (
    "tests/kernel/",
    "tests/system/test_gameday.py",
    "tests/system/test_gates.py::test_a_namespace_that_a_test_leaves_behind_fails_the_run",
    "tests/system/test_lab_faults.py",
    "tests/system/test_up.py",
    "tests/system/test_up_alertmanager.py",
)
OWN: Final = "own namespaces"
_OWN_TESTS: Final = (
    "tests/kernel/test_balance",
    "tests/kernel/test_budget.py",
    "tests/kernel/test_flow_drops.py",
    "tests/kernel/test_flow_log.py",
    "tests/kernel/test_flows.py",
    "tests/kernel/test_ingress.py",
    "tests/kernel/test_loader.py",
    "tests/kernel/test_prefilter",
    "tests/kernel/test_service",
    "tests/kernel/test_tcp.py",
    "tests/kernel/udp/",
)
POLICIES: Final = "policies"
_POLICY_TESTS: Final = ("tests/kernel/test_policy_",)
LONG: Final = (HOST, OWN, POLICIES)
"""Queues that more than one module is in, the longest first."""
_SLOW_TESTS: Final = (
    "tests/system/",
    "tests/unit/app/test_crash_harness.py",
    "tests/unit/rehearsing/test_killed_anywhere.py",
)
"""What is not to begin last: the other workers would have nothing to do meanwhile."""


def queue_of(test: str) -> str:
    """Return the queue of a test, by its id."""
    if test.startswith(_OWN_TESTS):
        return OWN
    if test.startswith(_POLICY_TESTS):
        return POLICIES
    return HOST if test.startswith(_HOST_TESTS) else test.partition("::")[0]


def turn_of(test: str) -> int:
    """Return when a test's queue begins: first the longest, which decides how long a run takes."""
    if (queue := queue_of(test)) in LONG:
        return LONG.index(queue)
    return len(LONG) if test.startswith(_SLOW_TESTS) else len(LONG) + 1


class Scheduler(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out queues in the order in which their first tests were collected."""

    def __init__(self, config: pytest.Config, log: object) -> None:
        """Begin without workers."""
        super().__init__(config, log)
        # By its number of tests a queue would be handed out, which says little about how long it takes.
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return queue_of(nodeid)
