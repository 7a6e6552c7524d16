"""The requests to the inventory, and how their answers are written."""

import json
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple
from enum import IntEnum
from typing import Any, Final, TypeVar

from netsre.adapters.bpf.filters import HOOKS
from netsre.adapters.bpf.holders import Held
from netsre.adapters.namespaces.inventory import Namespace
from netsre.datapath.maps import MapFacts

MOST_FACTS: Final = 32
"""Maps described in one answer: about a millisecond."""
MOST_IDS: Final = 1024
FAMILIES: Final = frozenset({0, 12})
"""Of netlink: routes and interfaces, netfilter."""
_NUMBER: Final = struct.Struct("<I")
_INTERFACE_BITS: Final = 32

_Item = TypeVar("_Item")


class Command(IntEnum):
    """What may be asked. N is the inode number of a network namespace."""

    NAMESPACES = 1
    """Every network namespace, and its name."""
    STATISTICS = 2
    """N: the text of its connection statistics."""
    SOCKET = 3
    """N, family: a netlink socket in it, of the families in `FAMILIES`."""
    ATTACH = 4
    """N, hook and interface, with a program: the link that holds it there."""
    MAP_IDS = 5
    """Map: the ids behind it, some of them."""
    MAP_FACTS = 6
    """First, last: what the maps from the one to the other are, some of them."""
    MAP = 7
    """Map: a descriptor for reading alone."""
    PROGRAM_MAPS = 8
    """Program: the ids of the maps that it uses."""
    HOLDERS = 9
    """Process, or 0 for all: begin to look what it holds of BPF."""
    MORE = 10
    """Go on with that for about a millisecond."""


def hook_and_interface(hook: int, interface: int) -> int:
    """Write two numbers as one."""
    return hook << _INTERFACE_BITS | interface


def split(number: int) -> tuple[int, int]:
    """Return the hook's place in `HOOKS` and the interface; raises `ValueError` for another hook."""
    hook, interface = number >> _INTERFACE_BITS, number & ((1 << _INTERFACE_BITS) - 1)
    if hook >= len(HOOKS) or interface >= 1 << (_INTERFACE_BITS - 1):
        raise ValueError(f"hook {hook}, interface {interface}")
    return hook, interface


def numbers(data: bytes) -> tuple[int, ...]:
    """Read numbers; raises `ValueError` for what is none."""
    try:
        return tuple(number for (number,) in _NUMBER.iter_unpack(data))
    except struct.error as error:
        raise ValueError(str(error)) from error


def write_numbers(of: Iterable[int]) -> bytes:
    """Write numbers."""
    return b"".join(map(_NUMBER.pack, of))


def text(data: bytes) -> str:
    """Read plain text; raises `ValueError` for anything else."""
    return data.decode("ascii")


def write_namespaces(of: Iterable[Namespace]) -> bytes:
    """Write which there are; how to get there is nobody's business."""
    return json.dumps([(each.inode, each.name) for each in of]).encode()


def namespaces(data: bytes) -> dict[int, Namespace]:
    """Read which there are, by inode; raises `ValueError` for anything else."""

    def namespace(inode: object, name: object) -> Namespace:
        return Namespace(_number(inode), _text(name), None, None)

    return {each.inode: each for each in _rows(_document(data), namespace)}


def write_facts(of: Iterable[MapFacts]) -> bytes:
    """Write what maps are."""
    return json.dumps([astuple(each) for each in of]).encode()


def facts(data: bytes) -> list[MapFacts]:
    """Read what maps are; raises `ValueError` for anything else."""

    def described(number: object, name: object, *rest: object) -> MapFacts:
        return MapFacts(_number(number), _text(name), *(_number(each) for each in rest))

    return _rows(_document(data), described)


def write_held(of: Iterable[Held], *, finished: bool) -> bytes:
    """Write what was found to be held, and whether that was all."""
    return json.dumps([finished, list(of)]).encode()


def held(data: bytes) -> tuple[list[Held], bool]:
    """Read what was found to be held, and whether that was all; raises `ValueError` for anything else."""

    def one(kind: object, number: object, holder: object) -> Held:
        if kind not in {"map", "prog"}:
            raise ValueError(f"{kind!r} is nothing that is held")
        return Held("map" if kind == "map" else "prog", _number(number), _number(holder))

    read = _document(data)
    if not isinstance(read, list) or len(read) != 2 or not isinstance(read[0], bool):
        raise ValueError("no answer about holders")
    return _rows(read[1], one), read[0]


def _document(data: bytes) -> Any:  # noqa: ANN401  what JSON may be
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _rows(read: Any, make: Callable[..., _Item]) -> list[_Item]:  # noqa: ANN401  what JSON may be
    if not isinstance(read, list) or not all(isinstance(row, Sequence) for row in read):
        raise ValueError("no list of rows")
    try:
        return [make(*row) for row in read]
    except TypeError as error:
        raise ValueError(str(error)) from error


def _number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 64:
        raise ValueError(f"{value!r} is no number")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    value.encode()  # Half of a character is no text to whoever reads the metrics.
    return value
