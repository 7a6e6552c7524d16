"""Looking into a network namespace never makes one."""

import contextlib
import os
import pathlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from netsre import conventions
from netsre.adapters import cgroups, exposition, namespaces, processes
from netsre.adapters.bpf import holders
from netsre.adapters.namespaces import inventory
from netsre.adapters.namespaces.entering import NamespaceGone
from netsre.datapath.growth import Growth
from netsre.datapath.mounts import first_of_each
from netsre.metrics.conntrack import Table, put_table
from netsre.metrics.readings import Readings
from tests.kernel import attempts, command_node


def test_a_namespace_that_went_away_is_an_error_and_stays_away() -> None:
    """Between seeing a name and entering it, its owner may remove it: it must not come back through us."""
    path = pathlib.Path("/run/netns/netsre-test-4194305-1-gone")
    gone = inventory.Namespace(inode=1, name=path.name, pid=None, path=path)

    with pytest.raises(FileNotFoundError):
        inventory.statistics_text(gone)
    assert not path.exists()


def test_a_refusal_about_a_process_that_has_ended_meanwhile_is_news() -> None:
    """The kernel may refuse what it should call gone; of a process that is still there it is a refusal."""
    with subprocess.Popen(["sleep", "60"]) as process:
        seen = inventory.Namespace(namespaces.own_identity()[1], "net", process.pid, None)

        def refused() -> None:
            raise PermissionError(13, "Permission denied")

        def ended() -> None:
            process.kill()
            process.wait()
            refused()

        with pytest.raises(PermissionError):
            inventory.inside(seen, refused)
        with pytest.raises(NamespaceGone):
            inventory.inside(seen, ended)


@contextlib.contextmanager
def _bound_as(name: bytes) -> Iterator[int]:
    """Make a namespace of any name, and return its inode."""
    subprocess.run([b"ip", b"netns", b"add", name], check=True)
    try:
        yield pathlib.Path("/run/netns", os.fsdecode(name)).stat().st_ino
    finally:
        subprocess.run([b"ip", b"netns", b"del", name], check=True)


@pytest.mark.requires("ip", "netns")
def test_a_namespace_of_any_name_is_read_and_served() -> None:
    """Names are bytes of anybody's choice; they must not take the numbers of all others away."""
    prefix = processes.this_process().name("test", "odd").encode()
    with _bound_as(prefix + b'-\xff "q" \\ \n{}') as odd, _bound_as(prefix + "-ü".encode()) as umlaut:
        found = inventory.namespaces()
        texts = [inventory.statistics_text(found[inode]) for inode in (odd, umlaut)]
        readings = Readings()
        for inode in (odd, umlaut):
            put_table(readings, Table("kernel", found[inode].name, 1, 10, Growth()))
        body, _ = exposition.render(readings, "")

    assert all(text.startswith("entries") for text in texts)
    assert body.decode().count(f"\n{conventions.CONNTRACK_ENTRIES}{{") == 2


@pytest.mark.requires("ip", "netns")
def test_a_name_with_every_kind_of_line_break_hides_no_mount() -> None:
    """The kernel escapes some of them in its list of mounts; the others end no line there."""
    mounts = Path("/proc/self/mounts")

    def seen() -> list[object]:
        # Of BPF file systems other tests have some that come and go.
        return [
            first_of_each(mounts.read_bytes())["proc"],
            home / "bpf" in holders._mounts(),
            cgroups._root(),
        ]

    prefix = processes.this_process().name("test", "lines").encode()
    with command_node.home() as home:
        before = seen()
        with _bound_as(prefix + "-\n-\r-\v-\f-\x1c-\x85-\u2028 bpf".encode()):
            assert seen() == before
    assert before[1]


@pytest.mark.requires("ip", "netns")
@pytest.mark.parametrize("name", [inventory.HOST, conventions.OTHER])
def test_a_name_that_is_ours_is_not_taken_over(name: str) -> None:
    """A namespace called like our own labels would be added to them, or be one series twice."""
    if name in namespaces.names():
        pytest.skip("somebody has a namespace of this name")
    with _bound_as(name.encode()) as inode:
        found = inventory.namespaces()

    assert found[inode].name == f"net:{inode}"
    assert len({namespace.name for namespace in found.values()}) == len(found)


@pytest.mark.requires("ip", "netns")
def test_a_name_that_leads_elsewhere_now_is_news_and_not_a_reading() -> None:
    """Deleted and made again between list and look: the numbers of the new one are not the old one's."""
    with attempts.place() as place:
        seen = inventory.namespaces()[place.inode]
        other = inventory.Namespace(place.inode + 1, seen.name, None, seen.path)
        moved = inventory.Namespace(place.inode, "gone", os.getpid(), None)

        assert inventory.statistics_text(seen).startswith("entries")
        for stale in (other, moved):
            with pytest.raises(NamespaceGone):
                inventory.statistics_text(stale)
