"""What the part with privileges says is read, or refused; nothing else can come of it."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsre.adapters.bpf.filters import HOOKS
from netsre.adapters.bpf.holders import Held
from netsre.adapters.namespaces.inventory import Namespace
from netsre.app.inventory import wire
from netsre.datapath.maps import MapFacts

_READERS: tuple[Callable[[bytes], Any], ...] = (
    wire.namespaces,
    wire.facts,
    wire.held,
    wire.numbers,
    wire.text,
)
_NAMES = st.text(st.characters(codec="utf-8"), max_size=8)
_ODD = (b"[[]]", b"[1]", b'[["a", 1]]', b"[true, [[1, 2, 3]]]", b"[" * 100_000, b"{}", b'[true, ["ab"]]')


@pytest.mark.parametrize("read", _READERS, ids=lambda read: str(read.__name__))
@given(data=st.binary(max_size=64) | st.sampled_from(_ODD))
def test_any_bytes_are_an_answer_or_a_value_error(read: Callable[[bytes], Any], data: bytes) -> None:
    """Nobody has to expect another exception of a process that lies."""
    with contextlib.suppress(ValueError):
        read(data)


@given(st.dictionaries(st.integers(0, 2**64 - 1), _NAMES))
def test_namespaces_arrive_by_number_and_name_alone(pairs: dict[int, str]) -> None:
    """Where they are is nothing that the agent could use."""
    sent = [Namespace(inode, name, 1, None) for inode, name in pairs.items()]
    assert wire.namespaces(wire.write_namespaces(sent)) == {
        inode: Namespace(inode, name, None, None) for inode, name in pairs.items()
    }


@given(st.integers(0, 2**32 - 1), _NAMES, st.booleans())
def test_maps_and_their_holders_arrive_as_they_were(number: int, name: str, finished: bool) -> None:
    """Whatever a map is called."""
    facts = [MapFacts(number, name, 1, 4, 8, 10, 4096)]
    held = [Held("map", number, 7), Held("prog", number, 8)]
    assert wire.facts(wire.write_facts(facts)) == facts
    assert wire.held(wire.write_held(held, finished=finished)) == (held, finished)
    assert wire.numbers(wire.write_numbers([number, 1])) == (number, 1)


@pytest.mark.parametrize(
    "data",
    [
        *(b'[[-1, "a"]]', b'[[true, "a"]]', b'[[18446744073709551616, "a"]]', b'[[1.5, "a"]]'),
        *(b"[[1, 2]]", b"[[1]]", b'[[1, "a", 2]]', b"[" * 100_000),
        rb'[[1, "\ud800"]]',
    ],
    ids=lambda data: data[:12].decode(),
)
def test_what_is_no_number_or_no_name_is_refused(data: bytes) -> None:
    """JSON has more kinds of numbers than inodes are."""
    with pytest.raises(ValueError, match=r"is no number|is no text|argument|deeply|surrogates"):
        wire.namespaces(data)


@pytest.mark.parametrize(
    "data",
    [b"[1, []]", b"[true]", b'[true, [["file", 1, 2]]]', b'[true, [["map", 1, "x"]]]', b"[true, 7]"],
)
def test_holders_are_processes_that_hold_maps_or_programs(data: bytes) -> None:
    """Nothing else is an answer."""
    with pytest.raises(ValueError, match=r"no answer|nothing that is held|is no number|no list"):
        wire.held(data)


@given(st.integers(0, len(HOOKS) - 1), st.integers(0, 2**31 - 1))
def test_hook_and_interface_are_one_number(hook: int, interface: int) -> None:
    """There and back."""
    assert wire.split(wire.hook_and_interface(hook, interface)) == (hook, interface)


@pytest.mark.parametrize("number", [len(HOOKS) << 32, 1 << 63, 1 << 31, (1 << 32) - 1])
def test_other_hooks_and_impossible_interfaces_are_refused(number: int) -> None:
    """The kernel is not asked."""
    with pytest.raises(ValueError, match="hook"):
        wire.split(number)
