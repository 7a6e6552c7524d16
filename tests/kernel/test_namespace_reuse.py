"""A namespace that gets the number of one that has just gone: the kernel gives it to the next."""

import contextlib
import functools
import socket
from collections.abc import Iterator
from typing import Final

import pytest

from tests.kernel import attempts
from tests.kernel.agent_process import Running, running
from tests.kernel.attempts import COUNT, Place
from tests.machine import wait_until

pytestmark = pytest.mark.requires("nft", "ip", "netns")

_TRIES: Final = 30
_ANSWERED: Final = {("delivered", "none"): COUNT}
_REFUSED: Final = {("failed", "refused"): COUNT}


@pytest.fixture(scope="module")
def agent() -> Iterator[Running]:
    """Run an agent."""
    with running() as one:
        yield one


@contextlib.contextmanager
def one_after_the_other(agent: Running) -> Iterator[tuple[Place, Place]]:
    """Make a namespace, have its connections counted, end it, and make one that gets its number.

    Again until it does: the number comes back a while after the end, and somebody else may be given it.
    """
    for _ in range(_TRIES):
        with attempts.place() as former:
            former.run(functools.partial(attempts.accepted, socket.AF_INET))
            assert wait_until(lambda: agent.outcomes(former.name) == _ANSWERED)
        for _ in range(_TRIES):
            with attempts.place() as place:
                if place.inode == former.inode:
                    yield former, place
                    return
    pytest.fail("no number came back")


@pytest.mark.parametrize("round_number", range(3))
def test_connections_are_counted_under_the_name_of_their_own_namespace(
    agent: Running, round_number: int
) -> None:
    """Also when the one before had the number a moment ago, and its connections were counted by it."""
    del round_number  # In one round the agent may happen to look just in time.
    with one_after_the_other(agent) as (former, place):
        place.run(functools.partial(attempts.failing, socket.AF_INET, attempts.REFUSED_PORT))
        assert wait_until(lambda: agent.outcomes(place.name) == _REFUSED)
        assert agent.outcomes(former.name) == _ANSWERED
