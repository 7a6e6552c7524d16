"""Looking into a network namespace never makes one."""

import pathlib

import pytest

from netsre.adapters import netns


def test_a_namespace_that_went_away_is_an_error_and_stays_away() -> None:
    """Between seeing a name and entering it, its owner may remove it: it must not come back through us."""
    path = pathlib.Path("/run/netns/netsre-test-4194305-1-gone")
    gone = netns.Namespace(inode=1, name=path.name, pid=None, path=path)

    with pytest.raises(FileNotFoundError):
        netns.statistics_text(gone)
    assert not path.exists()
