"""The maps of the policy datapath by their bytes alone, as `policy.h` says what they mean."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from netsre.datapath.policy import layouts, prefixes, reference, sync
from netsre.datapath.policy.ends import Service
from netsre.datapath.policy.layouts import EMPTY, SLOTS, Map, Revision
from netsre.datapath.policy.reference import Answer, Decision, Reason
from netsre.datapath.policy.sync import Held, Operation, Put, Remove, Settle, Switch, WriteSlot
from netsre.model.policies.values import Address

_BITS_BYTES = 4
_DECISIONS = {number: one for one, number in layouts.DECISIONS.items()}
_REASONS = {number: one for one, number in layouts.REASONS.items()}


@dataclass
class Lpm:
    """A trie of the longest prefix: the first four bytes of a key say how many bits of the others count."""

    known: dict[tuple[int, int], bytes] = field(default_factory=dict)

    def put(self, key: bytes, value: bytes) -> None:
        """Take an entry."""
        self.known[self._place(key)] = value

    def get(self, key: bytes) -> bytes | None:
        """Return the value of the longest prefix; of the key all bits count."""
        data = int.from_bytes(key[_BITS_BYTES:], "big")
        width = 8 * (len(key) - _BITS_BYTES)
        for bits in range(width, -1, -1):
            if (found := self.known.get((bits, data >> (width - bits)))) is not None:
                return found
        return None

    @staticmethod
    def _place(key: bytes) -> tuple[int, int]:
        bits = int.from_bytes(key[:_BITS_BYTES], "little")
        return bits, int.from_bytes(key[_BITS_BYTES:], "big") >> (8 * (len(key) - _BITS_BYTES) - bits)


@dataclass
class Maps:
    """What a kernel holds, and what its programs decide by it."""

    raw: dict[Map, dict[bytes, bytes]] = field(default_factory=lambda: {where: {} for where in Map})
    slots: list[Revision] = field(default_factory=lambda: [EMPTY] * SLOTS)
    in_force: int = 0
    settled: bool = True
    """Whether no run of a program can still use what was in force before."""
    largest: int = 0
    """Entries of the largest operation."""

    def apply(self, operations: Iterable[Operation]) -> None:
        """Carry out operations."""
        for one in operations:
            match one:
                case Put(where, entries):
                    self.raw[where].update(entries)
                    self.largest = max(self.largest, len(entries))
                case Remove(where, keys):
                    assert self.settled
                    for key in keys:
                        self.raw[where].pop(key, None)
                    self.largest = max(self.largest, len(keys))
                case WriteSlot(slot, revision):
                    assert slot not in {self.in_force, self.lasting}
                    assert self.settled or not self.slots[slot].addresses
                    self.slots[slot] = revision
                case Switch(slot):
                    self.in_force, self.settled = slot, False
                case Settle():
                    self.settled = True

    def held(self) -> Held:
        """Return what is there, as a dump says it."""
        dumps = {where: tuple(entries.items()) for where, entries in self.raw.items()}
        return sync.read(self.slots, self.in_force, dumps)

    @property
    def lasting(self) -> int:
        """Return the slot that comes after what is on trial."""
        active = self.slots[self.in_force]
        return active.afterwards if active.until_ns else self.in_force

    def decider(self, now_ns: int = 0) -> "Decider":
        """Return what decides at a time."""
        active = self.slots[self.in_force]
        ended = active.until_ns and active.until_ns <= now_ns
        return Decider(self, self.slots[self.lasting] if ended else active)


class Decider:
    """A program, and the slot that it has read."""

    def __init__(self, maps: Maps, slot: Revision) -> None:
        """Take the maps as they are now."""
        self._slot = slot
        self._endpoints = maps.raw[Map.ENDPOINTS]
        self._tries = {where: Lpm() for where in (Map.ADDRESSES, Map.ZONES, Map.ENTRIES)}
        for where, trie in self._tries.items():
            for key, value in maps.raw[where].items():
                trie.put(key, value)

    def answers(
        self, source: Address, destination: Address, service: Service
    ) -> tuple[tuple[int, Answer], ...]:
        """Return what the source's and the destination's side say, each with the number of a rule."""
        ends = (source, destination)
        mine = [self._endpoints.get(layouts.endpoint_key(self._slot.endpoints, one)) for one in ends]
        tables = [layouts.ENDPOINT.unpack(one) if one is not None else (0,) * 7 for one in mine]
        if tables[0][0] and tables[0][0] == tables[1][0]:
            itself = 0, Answer(Decision.ALLOW, Reason.ITSELF)
            return itself, itself
        sets = [(one[way], one[way + 3]) for one, way in zip(tables, (2, 1), strict=True)]
        return self._answer(*sets[0], destination, service), self._answer(*sets[1], source, service)

    def _answer(self, table: int, zones: int, peer: Address, service: Service) -> tuple[int, Answer]:
        if not table:
            return 0, Answer(Decision.ALLOW, Reason.NO_POLICY)
        who, outside = self._whose(peer)
        address = layouts.address_bytes(peer)
        around = self._tries[Map.ZONES].get(layouts.ADDRESS_KEY.pack(0, zones, address)) if zones else None
        zone = layouts.ZONE.unpack(around)[not outside] if around is not None else 0
        port = service.port.to_bytes(2, "big")
        for end in (zone << 16 | who, zone << 16, 0):
            asked = layouts.ENTRY_KEY.pack(0, table, end, prefixes.PROTOCOLS[service.protocol], port, 0)
            # The last byte is no part of what is asked.
            found = self._tries[Map.ENTRIES].get(asked)
            if found is not None:
                rule, decision, reason, _ = layouts.ENTRY.unpack(found)
                return rule, Answer(_DECISIONS[decision], _REASONS[reason])
        raise AssertionError(f"table {table} has no entry about whoever it is")

    def _whose(self, address: Address) -> tuple[int, bool]:
        """Return what tables are asked about, and whether networks of all policies mean it."""
        known = self._endpoints.get(layouts.endpoint_key(self._slot.endpoints, address))
        if known is not None:
            return layouts.ENDPOINT.unpack(known)[3], False
        key = layouts.ADDRESS_KEY.pack(0, self._slot.addresses, layouts.address_bytes(address))
        whose = self._tries[Map.ADDRESSES].get(key)
        assert whose is not None
        _, who, outside, _ = layouts.WHOSE.unpack(whose)
        return who, bool(outside)


def said(verdict: reference.Verdict, rules: dict[str, int]) -> tuple[tuple[int, Answer], ...]:
    """Return what the reference says, with the numbers of rules."""
    return tuple(
        (rules[one.rule.name] if one.rule is not None else 0, Answer(one.decision, one.reason))
        for one in (verdict.egress, verdict.ingress)
    )
