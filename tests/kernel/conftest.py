"""What tests of a probe share: a namespace of their own, and the probe."""

from collections.abc import Iterator

import pytest

from netsre.adapters.bpf.session import Session, open_session
from netsre.app.resources import directory
from netsre.datapath.probes import Probe
from tests.kernel import attempts
from tests.kernel.attempts import Place


@pytest.fixture
def place() -> Iterator[Place]:
    """Make a namespace of this test's own: its inode tells what happens in it from all else."""
    with attempts.place() as made:
        yield made


@pytest.fixture
def session(place: Place, attached: Probe) -> Iterator[Session]:
    """Attach the probe that a module asks for (`attached`), and detach it afterwards.

    Not before the namespace is there: its number may have been that of another one until then.
    """
    del place
    opened = open_session(directory("bpf"), probe=attached)
    yield opened
    opened.close()
