"""The kernel's connection table: asking for its entries, and deleting those that one source opened."""

import errno
import ipaddress
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from netsre.adapters.conntrack.netlink import (
    HEADER,
    NETFILTER,
    Channel,
    Interrupted,
    Message,
    Opening,
    aligned,
    attribute,
    attributes,
    here,
)
from netsre.errors import BadInput, EnvironmentUnfit

_GET, _DELETE = 0x0101, 0x0102
"""`NFNL_SUBSYS_CTNETLINK << 8` with `IPCTNL_MSG_CT_GET` and `IPCTNL_MSG_CT_DELETE`."""
_CTA_TUPLE_ORIG, _CTA_TUPLE_REPLY, _CTA_STATUS, _CTA_ZONE = 1, 2, 3, 18
_CTA_TUPLE_IP: Final = 1
_CTA_IP_V4_SRC, _CTA_IP_V6_SRC = 1, 3
_NLA_F_NESTED: Final = 0x8000
_GENERIC: Final = struct.Struct("=BBH")
"""The netfilter header behind netlink's: address family, version, resource."""
ANY_FAMILY: Final = _GENERIC.pack(socket.AF_UNSPEC, 0, 0)

# Every kernel so far begins an entry with the tuple of the original direction, and that with its source. The
# bytes between the length of that tuple and the source are then always these.
_SHAPE_AT, _SOURCE_AT = 22, 32
_SHAPE: Final = struct.Struct("=HHHHH")
_NESTED_ORIG: Final = _NLA_F_NESTED | _CTA_TUPLE_ORIG
_NESTED_REPLY: Final = _NLA_F_NESTED | _CTA_TUPLE_REPLY
_NESTED_IP: Final = _NLA_F_NESTED | _CTA_TUPLE_IP
_IPV4: Final = _SHAPE.pack(_NESTED_ORIG, 20, _NESTED_IP, 8, _CTA_IP_V4_SRC)
_IPV6: Final = _SHAPE.pack(_NESTED_ORIG, 44, _NESTED_IP, 20, _CTA_IP_V6_SRC)
_ATTRIBUTES_AT: Final = 20
_ATTRIBUTE: Final = struct.Struct("=HH")
_STATUS: Final = struct.pack("=H", _CTA_STATUS)

_ATTEMPTS: Final = 4
_FLUSH_SECONDS: Final = 10.0
_BATCH: Final = 2_048
"""Deletions in one call: the kernel's word about each that failed must fit into the receive buffer."""
_PASSES: Final = 4
_NEARLY_NONE: Final = 16

_Result = TypeVar("_Result")


def flush(source: str, opening: Opening = here) -> int:
    """Delete every entry that a source opened, and nothing else; return how many were deleted.

    One pass finds what is there when it comes by; passes go on until one finds nearly nothing, four at most
    and 10 s at most, because a source that is not blocked opens more meanwhile.
    Raises `BadInput` for what is no address and `EnvironmentUnfit` when the kernel refuses.
    """
    wanted = parse(source).packed
    until = time.monotonic() + _FLUSH_SECONDS
    deleted: list[int] = []
    for _ in range(_PASSES):
        found = whole(lambda: _delete(wanted, until - time.monotonic(), deleted, opening))
        if found <= _NEARLY_NONE or time.monotonic() > until:
            break
    return sum(deleted)


def parse(source: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the address that a text is; raises `BadInput` for what is none."""
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        raise BadInput(f"source {source!r} is no IP address; write one address, without prefix") from None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise BadInput(f"source {source!r} names an interface; write the address alone")
    return address


def whole(work: Callable[[], _Result]) -> _Result:
    """Do something again while the kernel could not give a whole picture, a few times.

    Passes on what says that the namespace is gone.
    """
    for attempt in range(_ATTEMPTS):
        try:
            return work()
        except FileNotFoundError:
            raise
        except TimeoutError as error:
            message = "connection table: it was not read in time; this node has much else to do"
            raise EnvironmentUnfit(message) from error
        except OSError as error:
            again = isinstance(error, Interrupted) or error.errno == errno.ENOBUFS
            if not again or attempt == _ATTEMPTS - 1:
                message = (
                    f"connection table: the kernel says {error.strerror or error}; it needs CAP_NET_ADMIN"
                )
                raise EnvironmentUnfit(f"{message} and CONFIG_NF_CT_NETLINK") from error
    raise AssertionError("unreachable")


def entries_of(channel: Channel, seconds: float) -> Iterator[Message]:
    """Return the entries of both families."""
    return channel.dump(_GET, ANY_FAMILY, seconds)


def _source(message: Message) -> bytes:
    """Return the source of an entry; nothing when it has none."""
    data, at, end = message
    shape = data[at + _SHAPE_AT : at + _SOURCE_AT]
    if shape == _IPV4:
        return data[at + _SOURCE_AT : at + _SOURCE_AT + 4]
    if shape == _IPV6:
        return data[at + _SOURCE_AT : at + _SOURCE_AT + 16]
    return _source_anywhere(data, at, end)


def _source_anywhere(data: bytes, at: int, end: int) -> bytes:
    """Return the source, wherever in the message it stands."""
    tuples = attributes(data, at + _ATTRIBUTES_AT, end)
    addresses = attributes(data, *tuples.get(_CTA_TUPLE_ORIG, (end, end)))
    found = attributes(data, *addresses.get(_CTA_TUPLE_IP, (end, end)))
    begin, stop = found.get(_CTA_IP_V4_SRC, found.get(_CTA_IP_V6_SRC, (end, end)))
    return data[begin:stop]


def _delete(wanted: bytes, seconds: float, deleted: list[int], opening: Opening) -> int:
    """Go through the table once, delete what a source opened, note how many; return how many were found.

    Found ones are deleted while the dump goes on, so that no more than a batch is ever kept.
    """
    found = 0
    batch: list[bytes] = []
    with Channel(NETFILTER, opening) as channel, Channel(NETFILTER, opening) as reader:
        for message in entries_of(reader, seconds):
            if _source(message) == wanted:
                batch.append(_naming(message))
            if len(batch) == _BATCH:
                found += _BATCH
                deleted.append(_delete_batch(channel, batch))
                batch.clear()
        if batch:
            deleted.append(_delete_batch(channel, batch))
    return found + len(batch)


def _naming(message: Message) -> bytes:
    """Return what names this very entry in a command: its family, its original tuple, its zone."""
    data, at, end = message
    begin = at + _ATTRIBUTES_AT
    length, kind = _ATTRIBUTE.unpack_from(data, begin)
    reply = begin + aligned(length)
    if kind == _NESTED_ORIG and reply + _ATTRIBUTE.size <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, reply)
        state = reply + aligned(length)
        # Where there is a zone, it stands between the tuples and the state.
        if kind == _NESTED_REPLY and data[state + 2 : min(state + 4, end)] == _STATUS:
            return data[at + HEADER.size : reply]
    return _naming_anywhere(data, at, end)


def _naming_anywhere(data: bytes, at: int, end: int) -> bytes:
    found = attributes(data, at + _ATTRIBUTES_AT, end)
    begin, stop = found[_CTA_TUPLE_ORIG]
    name = data[at + HEADER.size : at + _ATTRIBUTES_AT] + attribute(_NESTED_ORIG, data[begin:stop])
    begin, stop = found.get(_CTA_ZONE, (end, end))
    return name + attribute(_CTA_ZONE, data[begin:stop]) if begin < stop else name


def _delete_batch(channel: Channel, batch: list[bytes]) -> int:
    """Delete entries by their names; return how many. One that ended, or that hardware holds, is left out."""
    failures = channel.command(_DELETE, batch)
    for code in failures.keys() - {errno.ENOENT, errno.EBUSY}:
        raise OSError(code, f"an entry cannot be deleted (error {code})")
    return len(batch) - sum(failures.values())
