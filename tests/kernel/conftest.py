"""What tests of a probe share: a namespace of their own, and the probe."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from netsre.adapters.bpf.policy import Template, open_policy
from netsre.adapters.bpf.prefilter import open_prefilter
from netsre.adapters.bpf.session import Session, open_session
from netsre.app.resources import directory
from netsre.datapath.probes import FLOWS, Probe
from tests.kernel import attempts
from tests.kernel.attempts import Place
from tests.kernel.limits import SHIPPED, Limit


@pytest.fixture
def place() -> Iterator[Place]:
    """Make a namespace of this test's own: its inode tells what happens in it from all else."""
    with attempts.place() as made:
        yield made


@pytest.fixture
def attached() -> Probe:
    """Name the probe that each test gets; a module that is about another one says so."""
    return FLOWS


@pytest.fixture
def limit() -> Limit:
    """Say how long an attempt may wait; who would only wait for what comes then asks for less."""
    return SHIPPED


@pytest.fixture
def session(place: Place, attached: Probe, limit: Limit, tmp_path: Path) -> Iterator[Session]:
    """Attach the probe, and detach it afterwards.

    Not before the namespace is there: its number may have been that of another one until then.
    """
    del place
    opened = open_session(limit.programs(tmp_path), probe=attached)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def policy_template() -> Template:
    """Compile the programs of the policy datapath once; every test loads instances of its own."""
    return open_policy(directory("bpf"))


@pytest.fixture(scope="session")
def prefilter_instructions() -> bytes:
    """Compile the prefilter once; every test loads instances of its own."""
    return open_prefilter(directory("bpf"))
