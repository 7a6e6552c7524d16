"""A namespace that gets the number of one that has just gone: the kernel gives it to the next.

Beside these tests others make namespaces, and theirs may have had the number as well, for less time than lies
between two looks of the agent. What they did is counted under the new name then, as docs/probes.md says. So
these tests connect to an address of their own, which has a name, and read what was counted of that alone.
"""

import contextlib
import functools
import socket
from collections.abc import Iterator
from typing import Final

import pytest

from netsre import conventions as c
from netsre.adapters.namespaces.inventory import Namespace
from netsre.app.sensors.places import Places
from tests.kernel import attempts
from tests.kernel.agent_process import Running, running
from tests.kernel.attempts import COUNT, Place
from tests.machine import wait_until

pytestmark = pytest.mark.requires("nft", "ip", "netns")

_TRIES: Final = 30
_ADDRESS: Final = "127.177.23.1"
_RULES: Final = f"""
apiVersion: netsre.dev/v1
kind: Workloads
metadata: {{name: test}}
spec: {{workloads: [{{name: ours, cidrs: [{_ADDRESS}/32]}}]}}
"""
_ANSWERED: Final = {("delivered", "none"): COUNT}
_REFUSED: Final = {("failed", "refused"): COUNT}


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Run an agent that knows the address of these tests by name."""
    path = tmp_path_factory.mktemp("reuse") / "site.yaml"
    path.write_text(_RULES, encoding="ascii")
    with running("--workloads", str(path)) as one:
        yield one


def outcomes(agent: Running, place: Place) -> dict[tuple[str, str], int]:
    """Return counts by (outcome, reason) of what a namespace did at the address of these tests."""
    found = {}
    for (name, pairs), value in agent.samples().items():
        labels = dict(pairs)
        if name == c.FLOWS and (labels["src"], labels["dst"]) == (place.name, "ours"):
            found[labels["outcome"], labels["reason"]] = int(value)
    return found


@contextlib.contextmanager
def one_after_the_other(agent: Running) -> Iterator[tuple[Place, Place]]:
    """Make a namespace, have its connections counted, end it, and make one that gets its number.

    Again until it does: the number comes back a while after the end, and somebody else may be given it.
    """
    for _ in range(_TRIES):
        with attempts.place() as former:
            former.run(functools.partial(attempts.accepted, socket.AF_INET, address=_ADDRESS))
            assert wait_until(lambda: outcomes(agent, former) == _ANSWERED)
        for _ in range(_TRIES):
            with attempts.place() as place:
                if place.inode == former.inode:
                    yield former, place
                    return
    pytest.fail("no number came back")


def test_a_new_name_stays_while_nobody_can_list_the_namespaces() -> None:
    """What a look said before must not come back in its place."""
    with attempts.place() as place:
        said = {place.inode: Namespace(place.inode, "former", None, None)}
        places = Places(look=lambda: said)
        for now in (0.0, 1.0, 10.0):
            places.refresh(now)

        assert places.names.namespaces[place.inode] == place.name


@pytest.mark.parametrize("round_number", range(3))
def test_connections_are_counted_under_the_name_of_their_own_namespace(
    agent: Running, round_number: int
) -> None:
    """Also when the one before had the number a moment ago, and its connections were counted by it."""
    del round_number  # In one round the agent may happen to look just in time.
    with one_after_the_other(agent) as (former, place):
        refused = functools.partial(attempts.failing, socket.AF_INET, attempts.REFUSED_PORT, address=_ADDRESS)
        place.run(refused)
        assert wait_until(lambda: outcomes(agent, place) == _REFUSED)
        assert outcomes(agent, former) == _ANSWERED
