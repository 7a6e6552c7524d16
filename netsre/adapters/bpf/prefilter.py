"""The prefilter in the kernel: its program, and the rules that it follows.

It lives as long as somebody holds its descriptors, or as its names in a BPF file system. What a rule says
ends by itself before that; the program compares the times. Whoever changes rules must be alone.
"""

import contextlib
import os
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from netsre.adapters.bpf import programs, syscalls, tried, xdp
from netsre.adapters.bpf.loading import TIMEOUT_SECONDS
from netsre.adapters.bpf.syscalls import BpfMap, MapShape
from netsre.adapters.bpf.tried import Part
from netsre.adapters.bpf.xdp import Where
from netsre.datapath import block, prefilter
from netsre.datapath.block import NOTHING, Drops
from netsre.datapath.nesting import Nesting
from netsre.datapath.policy.modes import Setting
from netsre.datapath.prefilter import Event, Network, Rule, State, Verdict, Written

FUNCTION: Final = "prefilter_xdp"
"""In the source."""
SOURCES: Final = ("prefilter.c",)

RULES: Final = "prefilter_rules"
HOSTS: Final = "prefilter_hosts"
STATE: Final = "prefilter_state"
BUCKETS: Final = "prefilter_buckets"
COUNTS: Final = "prefilter_counts"
EVENTS: Final = "prefilter_events"
TIMES: Final = "prefilter_times"
LATEST: Final = "prefilter_latest"
MAPS: Final = MappingProxyType(
    {
        RULES: MapShape(syscalls.LPM_TRIE, prefilter.KEY.size, prefilter.RULE.size, syscalls.NO_PREALLOC),
        HOSTS: MapShape(syscalls.HASH, block.SOURCE_BYTES, prefilter.RULE.size, syscalls.NO_PREALLOC),
        STATE: MapShape(syscalls.ARRAY, 4, prefilter.STATE.size),
        BUCKETS: MapShape(syscalls.LRU_HASH, prefilter.BUCKET_KEY.size, prefilter.BUCKET.size),
        COUNTS: MapShape(syscalls.PERCPU_ARRAY, 4, block.DROPS.size),
        EVENTS: MapShape(syscalls.PERCPU_ARRAY, 4, prefilter.EVENT.size),
        TIMES: MapShape(syscalls.PERCPU_ARRAY, 4, prefilter.TIME.size),
        LATEST: MapShape(syscalls.PERCPU_ARRAY, 4, prefilter.FOUND.size),
    }
)
"""Shape of each map; the program numbers them in this order."""
PART: Final = Part("prefilter", SOURCES, tuple(MAPS), (FUNCTION,))


class Size(NamedTuple):
    """How much there is room for."""

    rules: int = prefilter.MOST_RULES
    buckets: int = prefilter.MOST_BUCKETS

    def of(self, name: str) -> int:
        """Return the capacity of a map."""
        one = {STATE: 1, TIMES: 1, LATEST: prefilter.MOST_LATEST}
        sizes = {**one, BUCKETS: self.buckets, EVENTS: len(Event), COUNTS: self.rules * len(Verdict)}
        return sizes.get(name, self.rules)


SMALLEST: Final = Size(1, 1)
USUAL: Final = Size()
_FIRST: Final = bytes(4)
_SLOT: Final = struct.Struct("<I")


class Refused(Exception):
    """A rule that there is no room for; the message is one line with the next step."""


class Counts(NamedTuple):
    """What a rule has counted, by what became of the packets."""

    passed: Drops
    dropped: Drops
    audited: Drops
    missed: Drops = NOTHING


UNCOUNTED: Final = Counts(NOTHING, NOTHING, NOTHING)


@dataclass(slots=True)
class Prefilter:
    """A loaded program with its maps. Not to be used by several threads at once."""

    maps: Mapping[str, BpfMap]
    program: programs.Loaded
    _written: dict[Network, Written] = field(default_factory=dict)
    _nesting: Nesting = field(default_factory=Nesting)
    _free: list[int] = field(default_factory=list)
    """Counters below the highest that is used, which no rule has."""
    _links: list[int] = field(default_factory=list)

    @classmethod
    def load(cls, instructions: bytes, size: Size = USUAL) -> "Prefilter":
        """Make the maps and load the program; raises `LoadRefused` or `OSError`, and leaves nothing then."""
        with contextlib.ExitStack() as undo:
            maps = {}
            for name, shape in MAPS.items():
                maps[name] = BpfMap.create(name, shape, size.of(name))
                undo.callback(os.close, maps[name].fd)
            program = load_program(instructions, maps)
            undo.pop_all()
        return cls(maps, program)

    @classmethod
    def of(cls, maps: Mapping[str, BpfMap], program: programs.Loaded) -> "Prefilter":
        """Return one that is there already, with the rules that it follows; raises `OSError`."""
        known, nesting = written(maps), Nesting()
        for network in known:
            nesting.add(network)
        used = {each.counter for each in known.values()}
        free = [number for number in range(max(used, default=0)) if number not in used]
        return cls(maps, program, known, nesting, free)

    @property
    def most(self) -> int:
        """Return how many rules there is room for."""
        return self.maps[COUNTS].capacity // len(Verdict)

    def attach(self, interface: int, wanted: Where | None = Where.GENERIC) -> int:
        """Attach to an interface of the calling thread's namespace, by number.

        Returns the descriptor of the link, which stays ours. Raises `OSError`, EBUSY or EEXIST where another
        program has the interface: XDP takes one.
        """
        self._links.append(xdp.attach(self.program.fd, interface, wanted).link)
        return self._links[-1]

    def put(self, *rules: Rule) -> None:
        """Follow rules from the next packet on, each instead of the one for its network if there is one.

        Counts go on. Buckets do where the limit is the same, and begin full where it is another one. Raises
        `Refused`, and then all is as it was, or `OSError`, and then some of them are followed, each whole.
        """
        self._admit(rules)
        state = self.state()
        last, made = state.last_number, list[Written]()
        for rule in rules:
            known = self._written.get(rule.network)
            same = known is not None and known.rule.limit == rule.limit
            last += not same
            made.append(Written(rule, known.number if known and same else last, self._counter(known)))
            self._written[rule.network] = made[-1]
        # First what nobody may be given again, and where to ask: a kill leaves both true.
        changing = state.unsettled()._replace(last_number=last, marks=state.marks | prefilter.marks_of(rules))
        self._set_state(changing)
        self._write(made)
        self._set_state(changing.settled())

    def _admit(self, rules: Iterable[Rule]) -> None:
        """Remember the networks of rules; raises `Refused` where there is no room for all of them."""
        added = dict[Network, None]()
        try:
            for rule in rules:
                if rule.network not in self._written and rule.network not in added:
                    self._admit_one(rule.network, len(self._written) + len(added))
                    added[rule.network] = None
        except Refused:
            for network in added:
                self._nesting.remove(network)
            raise

    def _admit_one(self, network: Network, there: int) -> None:
        most = prefilter.MOST_NESTED
        if there >= self.most:
            raise Refused(f"{network}: there are {self.most} rules already; remove one")
        if self._nesting.deepest(network) > most:
            words = f"an address would be in more than {most} networks; remove one of them"
            raise Refused(f"{network}: {words}")
        self._nesting.add(network)

    def _counter(self, known: Written | None) -> int:
        """Return the counter of a rule that is there, or one that no rule has, at nothing."""
        if known is not None:
            return known.counter
        counter = self._free.pop() if self._free else len(self._written)
        # Whoever removed the rule before may have been killed.
        for verdict in Verdict:
            self.maps[COUNTS].put(_slot(counter, verdict), bytes(self.maps[COUNTS].stride))
        return counter

    def _write(self, made: Iterable[Written]) -> None:
        """Write rules, each in one step.

        An entry of a hash is used again while a program may still read it, one of a trie is not. So a rule
        about an address that changes is meanwhile in the trie, where it is found as well.
        """
        hosts, changed = dict[bytes, bytes](), list[Network]()
        for one in made:
            network, value = one.rule.network, one.rule.packed(one.number, one.counter)
            if one.rule.is_host:
                key = prefilter.host_key_of(network)
                if (before := self.maps[HOSTS].lookup(key)) == value:
                    continue
                hosts[key] = value
                if before is None:
                    continue
                changed.append(network)
            self.maps[RULES].put(prefilter.key_of(network), value)
        for network in changed:
            self.maps[HOSTS].delete(prefilter.host_key_of(network))
        if changed:
            syscalls.wait_for_programs()
        for key, value in hosts.items():
            self.maps[HOSTS].put(key, value)
        for network in changed:
            self.maps[RULES].delete(prefilter.key_of(network))

    def remove(self, *networks: Network) -> dict[Network, Counts]:
        """Follow the rules for these networks no more, and return all that each counted.

        Raises `KeyError` before anything is done.
        """
        counters = {network: self._written[network].counter for network in networks}
        self._set_state(self.state().unsettled())
        for network in counters:
            # In the trie first: it may be in both, if somebody was killed.
            self.maps[RULES].delete(prefilter.key_of(network))
            if self._written[network].rule.is_host:
                self.maps[HOSTS].delete(prefilter.host_key_of(network))
            self._nesting.remove(network)
            del self._written[network]
        marks = prefilter.marks_of(each.rule for each in self._written.values())
        self._set_state(self.state().settled()._replace(marks=marks))
        # A packet may be in the middle of being counted.
        syscalls.wait_for_programs()
        counted = {network: self._counts(counter) for network, counter in counters.items()}
        self._free += counters.values()
        return counted

    def tidy(self, now_ns: int) -> dict[Network, Counts]:
        """Remove rules that are over, which do nothing but take up room; return what each has counted."""
        over = [network for network, each in self._written.items() if each.rule.is_over(now_ns)]
        return self.remove(*over) if over else {}

    def rules(self) -> dict[Rule, Counts]:
        """Return the rules that the kernel holds, whether over or not, and what each has counted."""
        return {each.rule: self._counts(each.counter) for each in written(self.maps).values()}

    def known(self) -> list[Rule]:
        """Return the rules that it follows, whether over or not."""
        return [each.rule for each in self._written.values()]

    def around(self, source: Network, now_ns: int) -> list[Rule]:
        """Return the rules that are in force about one address, its own among them."""
        address = source.network_address
        return [one for one in self.known() if address in one.network and not one.is_over(now_ns)]

    def set_mode(self, mode: Setting) -> None:
        """Set how strictly all rules are taken, at once."""
        self._set_state(self.state()._replace(mode=mode))

    def mode(self) -> Setting:
        """Return how strictly all rules are taken."""
        return self.state().mode

    def state(self) -> State:
        """Return what holds for all rules."""
        return State.of(self.maps[STATE].lookup(_FIRST) or bytes(prefilter.STATE.size))

    def _set_state(self, state: State) -> None:
        self.maps[STATE].put(_FIRST, state.packed())

    def events(self) -> dict[Event, int]:
        """Return what was counted beside rules."""
        return events(self.maps)

    def close(self) -> None:
        """Detach what has no name, and free what nobody else holds."""
        held = (self.program.fd, *(each.fd for each in self.maps.values()))
        for fd in (*self._links, *held):
            os.close(fd)
        self._links.clear()

    def _counts(self, counter: int) -> Counts:
        values = (self.maps[COUNTS].lookup(_slot(counter, verdict)) for verdict in Verdict)
        return Counts(*(block.sum_drops(value or b"") for value in values))


def load_program(instructions: bytes, maps: Mapping[str, BpfMap]) -> programs.Loaded:
    """Load the program with these maps; raises `LoadRefused`."""
    numbers = [maps[name].fd for name in MAPS]
    return programs.load(FUNCTION, programs.with_maps(instructions, numbers.__getitem__), programs.XDP)


def written(maps: Mapping[str, BpfMap]) -> dict[Network, Written]:
    """Return the rules that these maps hold; of two for one address, that which decides. Raises `OSError`."""
    found = (Written.of(*entry) for name in (RULES, HOSTS) for entry in maps[name].entries())
    return {each.rule.network: each for each in found}


def events(maps: Mapping[str, BpfMap]) -> dict[Event, int]:
    """Return what was counted beside rules; raises `OSError`."""
    values = {event: maps[EVENTS].lookup(_SLOT.pack(event)) or b"" for event in Event}
    return {event: block.sum_unparsed(value) for event, value in values.items()}


def _slot(counter: int, verdict: Verdict) -> bytes:
    return _SLOT.pack(counter * len(Verdict) + verdict)


def open_prefilter(source: Path, timeout: float = TIMEOUT_SECONDS) -> bytes:
    """Return the compiled instructions, as `Prefilter.load` takes them; raises `ProbeUnfit`."""
    return tried.opened(source, PART, timeout)[FUNCTION]
