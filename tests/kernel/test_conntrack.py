"""The connection table over netlink: counted as the kernel lists it, changed by exactly what was asked."""

import errno
import pathlib
import socket
import struct
import sys
import time
from collections.abc import Iterator

import pytest

from netsre.adapters import conntrack, namespaces
from netsre.adapters.conntrack import Count, entries, limits, netlink, table
from netsre.errors import EnvironmentUnfit
from netsre.model.effects import SourceCount
from tests.kernel import tracked_link
from tests.kernel.tracked_link import CLIENTS, Link

pytestmark = [pytest.mark.requires("nft", "ip", "netns")]


@pytest.fixture
def link() -> Iterator[Link]:
    """Make two namespaces with a link, and remove them."""
    with tracked_link.link("ct") as one:
        yield one


def _open_all(link: Link) -> None:
    """Open a different number of entries from each client, of both protocols."""
    for number, source in enumerate(CLIENTS, start=1):
        link.datagrams(source, range(1000, 1000 + 40 * number))
        link.connections(source, 3 * number)


def test_sources_are_counted_as_the_kernel_lists_them(link: Link) -> None:
    """IPv4 and IPv6, UDP and TCP, by who opened them, the most first; the kernel counts as many in all."""
    _open_all(link)
    entries, found = link.sources()
    listed = link.listed()
    assert {source: found[source] for source in CLIENTS} == {
        source: 43 * number for number, source in enumerate(CLIENTS, start=1)
    }
    assert found == listed
    assert entries == listed.total()
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert link.sources(2)[1] == dict(list(found.items())[:2])


@pytest.mark.parametrize("source", [CLIENTS[1], CLIENTS[4]])
def test_a_flush_deletes_its_source_and_nothing_else(link: Link, source: str) -> None:
    """Every entry of the source is gone and counted; those of the others are the very same as before."""
    _open_all(link)
    before = link.listed()
    deleted = link.flush(source)
    after = link.listed()
    assert deleted == before.pop(source)
    assert after == before
    assert link.flush(source) == 0


def test_entries_of_another_zone_are_found_and_deleted(link: Link) -> None:
    """The same tuple may be there once for each zone: each is named with its own."""
    link.datagrams(CLIENTS[0], range(3, 8))
    text = namespaces.run(link.server, ["cat", "/proc/net/nf_conntrack"]).stdout
    assert text.count("zone=7") == 1
    assert link.sources()[1][CLIENTS[0]] == 5
    assert link.flush(CLIENTS[0]) == 5
    assert CLIENTS[0] not in link.listed()


def test_an_empty_table_is_no_error(link: Link) -> None:
    """Nothing to count and nothing to delete."""
    assert link.sources() == (0, {})
    assert link.flush(CLIENTS[0]) == 0


def test_a_large_table_is_counted_and_flushed_exactly(link: Link) -> None:
    """120,000 entries of one source beside 30,000 of others: every one counted, every one of them deleted."""
    link.datagrams(CLIENTS[0], range(1000, 41_000), sockets=3)
    link.datagrams(CLIENTS[1], range(1000, 21_000))
    link.datagrams(CLIENTS[3], range(1000, 11_000))
    began = time.monotonic()
    entries, found = link.sources()
    counted = time.monotonic()
    deleted = link.flush(CLIENTS[0])
    flushed = time.monotonic()
    # Figures for whoever reads; how fast is no claim of this test.
    figures = f"{entries} counted in {counted - began:.3f} s, {deleted} deleted in {flushed - counted:.3f} s"
    sys.stdout.write(f"{figures}\n")
    assert (found[CLIENTS[0]], found[CLIENTS[1]], found[CLIENTS[3]]) == (120_000, 20_000, 10_000)
    assert deleted == 120_000
    assert {source: count for source, count in link.sources()[1].items() if source in CLIENTS} == {
        CLIENTS[1]: 20_000,
        CLIENTS[3]: 10_000,
    }


def test_with_more_sources_than_there_is_room_for_the_largest_are_found(link: Link) -> None:
    """Two of five have more than a quarter of all: with room for three both are there, the larger first."""
    for source, count in zip(CLIENTS, (1_000, 10_000, 2_000, 20_000, 5_000), strict=True):
        link.datagrams(source, range(1000, 1000 + count))
    listed = link.listed()
    found = {
        each.source: each.entries
        for each in namespaces.inside(link.server, lambda: conntrack.count(3, room=3)).sources
    }

    assert sorted(listed[source] for source in CLIENTS) == [1_000, 2_000, 5_000, 10_000, 20_000]
    short = (listed.total() - sum(found.values())) // 4
    assert all(listed[source] - short <= found.get(source, 0) <= listed[source] for source in listed)
    assert list(found)[:2] == [CLIENTS[3], CLIENTS[1]]


def test_any_order_of_attributes_is_read_alike(link: Link) -> None:
    """What the fast way reads by position, the slow way finds by name, in messages turned around."""
    for source in (CLIENTS[0], CLIENTS[3]):
        link.datagrams(source, range(4, 6))
    messages = namespaces.inside(link.server, _dumped)
    assert len(messages) >= 4
    for data, at, end in messages:
        turned = _turned(data, at, end)
        assert table._source(turned) == table._source((data, at, end))
        assert table._naming(turned) == table._naming_anywhere(data, at, end)
        assert table._naming((data, at, end)) == table._naming_anywhere(data, at, end)
        torn = (turned[0][:-8], 0, len(turned[0]) - 8)
        assert table._source(torn) in {b"", table._source(turned)}


def test_an_entry_says_the_same_wherever_things_stand_in_it(link: Link) -> None:
    """A reader that knows the layout, one that does not, and one that meets another layout of that length."""
    _open_all(link)
    link.datagrams(CLIENTS[0], range(4, 6))
    messages = namespaces.inside(link.server, _dumped)
    reader = entries.Reader()
    found = [reader.facts(message) for message in messages]
    assert found == [reader.facts(message) for message in messages]
    for (data, at, end), facts in zip(messages, found, strict=True):
        turned = _turned(data, at, end)
        assert entries.Reader().facts((data, at, end)) == facts
        assert reader.facts(turned) == entries.Reader().facts(turned) == facts
        for length in range(20, len(turned[0]), 4):
            assert entries.Reader().facts((turned[0][:length], 0, length))[0] in {b"", facts[0]}
    assert {protocol for _, protocol, _, _ in found} >= {6, 17}
    assert {len(source) for source, *_ in found} == {4, 16}


def _dumped() -> list[netlink.Message]:
    with netlink.Channel(netlink.NETFILTER) as channel:
        return list(table.entries_of(channel, 5.0))


def _turned(data: bytes, at: int, end: int) -> netlink.Message:
    """Return a message with its attributes in the opposite order."""
    content = netlink.attributes(data, at + 20, end)
    tuples = {1, 2}
    body = b"".join(
        netlink.attribute(kind | (0x8000 if kind in tuples else 0), data[begin:stop])
        for kind, (begin, stop) in reversed(content.items())
    )
    message = data[at : at + 20] + body
    return message, 0, len(message)


class Scripted:
    """A socket whose kernel says what the test wants it to say."""

    def __init__(self, answers: list[bytes], flags: int = 0) -> None:
        """Say these, one after the other."""
        self.answers = answers
        self.flags = flags

    def setsockopt(self, *option: object) -> None:
        """Take any option."""

    def sendmsg(self, *message: object) -> None:
        """Take any request."""

    def recvmsg(self, size: int) -> tuple[bytes, list[object], int, tuple[int, int]]:
        """Say the next thing."""
        if not self.answers:
            raise OSError(errno.ENOBUFS, "No buffer space available")
        return self.answers.pop(0)[:size], [], self.flags, (0, 0)

    def close(self) -> None:
        """Be closed."""


def _message(kind: int, flags: int = 0, content: bytes = b"") -> bytes:
    return netlink.HEADER.pack(16 + len(content), kind, flags, 1, 0) + content


DONE = 3


@pytest.mark.parametrize(
    ("answers", "flags", "words"),
    [
        ([_message(0x100), _message(DONE, flags=0x10)], 0, "Interrupted"),
        ([_message(0x100)], socket.MSG_TRUNC, "Interrupted"),
        ([_message(0x100)[:-1]], 0, "No buffer"),
        ([struct.pack("=IHHII", 4, 0x100, 0, 1, 0)], 0, "Interrupted"),
        ([struct.pack("=IHHII", 400, 0x100, 0, 1, 0)], 0, "Interrupted"),
        ([], 0, "No buffer"),
        ([_message(2, content=struct.pack("=i", -errno.EPERM))], 0, "not permitted"),
    ],
)
def test_a_picture_that_is_not_whole_is_asked_for_again_and_then_refused(
    monkeypatch: pytest.MonkeyPatch, answers: list[bytes], flags: int, words: str
) -> None:
    """Interrupted, truncated, torn, overrun: never a count of a part; after a few attempts it is an error."""
    monkeypatch.setattr(socket, "socket", lambda *_: Scripted(list(answers), flags))
    with pytest.raises(EnvironmentUnfit, match=words):
        conntrack.count(1)


def test_a_picture_that_was_interrupted_once_is_whole_the_second_time(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first dump is void, the second one counts, and only the second."""
    link.datagrams(CLIENTS[0], range(1000, 1007))
    real = socket.socket
    first = [Scripted([_message(0x100), _message(DONE, flags=0x10)])]

    def work() -> Count:
        monkeypatch.setattr(socket, "socket", lambda *kind: first.pop() if first else real(*kind))
        return conntrack.count(1)

    found = namespaces.inside(link.server, work)
    monkeypatch.undo()
    assert found.sources == (SourceCount(CLIENTS[0], 7),)
    assert found.entries >= 7


def test_a_table_that_takes_too_long_is_said_to(link: Link) -> None:
    """And not that something is missing."""
    with pytest.raises(EnvironmentUnfit, match="not read in time"):
        namespaces.inside(link.server, lambda: conntrack.count(1, seconds=-1))


def test_the_limit_is_set_on_the_host_only_and_put_back(link: Link) -> None:
    """The host's number changes and counts in every namespace, where it cannot be set."""
    before = conntrack.limit()
    try:
        conntrack.set_limit(before + 1)
        assert namespaces.inside(link.server, conntrack.limit) == before + 1
        with pytest.raises(EnvironmentUnfit, match="host's namespace"):
            namespaces.inside(link.server, lambda: conntrack.set_limit(before + 2))
        assert conntrack.limit() == before + 1
    finally:
        conntrack.set_limit(before)
    assert conntrack.limit() == before
    with pytest.raises(ValueError, match="at least 1"):
        conntrack.set_limit(0)


@pytest.mark.parametrize(
    ("kibibytes", "slabs", "most"),
    [
        (1_048_576, "nf_conntrack 1 16 256 16 1 : tunables 0 0 0\n", 262_144),
        (1_048_576, "tw_sock_TCP 1 16 256 16 1 : tunables 0 0 0\n", 209_715),
        (1_073_741_824, "nf_conntrack 1 16 256 16 1 : tunables 0 0 0\n", 4_000_000),
    ],
)
def test_what_memory_allows_is_a_sixteenth_of_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, kibibytes: int, slabs: str, most: int
) -> None:
    """By the kernel's own size of an entry, or 320 bytes where it does not tell; never above 4 million."""
    for name, text in (("_MEMORY", f"MemTotal:  {kibibytes} kB\nMemFree:  1 kB\n"), ("_SLABS", slabs)):
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(limits, name, tmp_path / name)
    assert conntrack.most_entries() == most
    (tmp_path / "_SLABS").unlink()
    assert conntrack.most_entries() <= most
