"""The prefilter on frames of every kind, at its ends and at its limits, run by the kernel alone."""

import ipaddress
import os
import random
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from bench.packet_cost import frame, run
from netsre.adapters.bpf.prefilter import (
    BUCKETS,
    COUNTS,
    HOSTS,
    RULES,
    UNCOUNTED,
    Counts,
    Prefilter,
    Refused,
    Size,
    written,
)
from netsre.datapath.block import NOTHING, Drops, source_key
from netsre.datapath.policy.modes import Mode, Setting
from netsre.datapath.prefilter import (
    BUCKET,
    BUCKET_KEY,
    ENFORCED,
    MOST_BURST,
    MOST_NESTED,
    TOKEN,
    Action,
    Event,
    Limit,
    Network,
    Rule,
    host_key_of,
    key_of,
)
from tests.kernel.block_link import soon
from tests.kernel.programs import held_by
from tests.kernel.test_block_packets import is_arp, mangled, source_of

pytestmark = [pytest.mark.requires("root", "bpf", "bcc")]
both_versions = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])

DROP, PASS = 1, 2
FRAMES: Final = 100_000
SOURCE: Final = {4: "10.9.0.1", 6: "fd09::1"}
OTHER: Final = {4: "10.9.0.3", 6: "fd09::3"}
AROUND: Final = {4: "10.9.0.0/24", 6: "fd09::/64"}
_BOTH: Final = ("10.9.0.1/32", "fd09::1/128")


@pytest.fixture
def prefilter(prefilter_instructions: bytes) -> Iterator[Prefilter]:
    """Load one without rules, with little room."""
    made = Prefilter.load(prefilter_instructions, Size(12, 64))
    yield made
    made.close()


def network(text: str) -> Network:
    """Return a network."""
    return ipaddress.ip_network(text)


def alone(version: int) -> Network:
    """Return the network of the source and of nobody else."""
    return network(SOURCE[version])


def asked(prefilter: Prefilter, packet: bytes) -> int:
    """Return the verdict on one packet."""
    return run(prefilter.program.fd, packet)[0]


def test_frames_are_dropped_if_and_only_if_their_source_is_in_a_network(prefilter: Prefilter) -> None:
    """Truncated, tagged, changed and random frames: verdict and counters, by another parser."""
    for text in _BOTH:
        prefilter.put(Rule(network(text), Action.DROP))
    keys = {source_key(text.partition("/")[0]): text for text in _BOTH}
    chance = random.Random(11)  # noqa: S311  the same frames in every run
    expected = dict.fromkeys(_BOTH, NOTHING)
    unread = 0
    for _ in range(FRAMES):
        packet = mangled(chance)
        source = source_of(packet)
        rule = keys.get(source) if source else None
        assert asked(prefilter, packet) == (DROP if rule else PASS), packet.hex()
        if rule:
            expected[rule] = expected[rule].plus(Drops(1, len(packet)))
        unread += source is None and not is_arp(packet)

    dropped = {str(rule.network): counts.dropped for rule, counts in prefilter.rules().items()}
    assert dropped == expected
    assert prefilter.events() == {**dict.fromkeys(Event, 0), Event.UNREADABLE: unread}
    # Enough of each kind for the claim to mean something.
    assert min(each.packets for each in dropped.values()) > FRAMES // 10
    assert unread > FRAMES // 20


@both_versions
def test_nobody_hides_behind_tags_options_or_extension_headers(prefilter: Prefilter, version: int) -> None:
    """The source stands in front of all of them; a third tag is more than is read, and passes."""
    prefilter.put(Rule(alone(version), Action.DROP))
    plain = frame(SOURCE[version])
    for tags, verdict in (((0x8100,), DROP), ((0x88A8, 0x8100), DROP), ((0x88A8, 0x8100, 0x8100), PASS)):
        assert asked(prefilter, frame(SOURCE[version], tags)) == verdict
    at = {4: 14, 6: 14 + 6}[version]
    for changed in range(256):
        # Length of the header of IPv4, next header of IPv6: whatever they say.
        packet = bytearray(plain)
        packet[at] = 0x40 | changed & 0xF if version == 4 else changed
        assert asked(prefilter, bytes(packet)) == DROP
    assert prefilter.events()[Event.UNREADABLE] == 1


def test_a_network_of_every_length_takes_its_own_and_nobody_else(prefilter: Prefilter) -> None:
    """Its first and last address, and those beside it; all of IPv6 is not IPv4, nor the other way round."""
    for text in ("10.9.170.85", "fd09:aaaa:5555::aaaa"):
        address = ipaddress.ip_address(text)
        for length in range(address.max_prefixlen + 1):
            each = ipaddress.ip_network((address, length), strict=False)
            prefilter.put(Rule(each, Action.DROP))
            inside = (each.network_address, each.broadcast_address)
            assert [asked(prefilter, frame(str(one))) for one in inside] == [DROP, DROP]
            if length:
                beside = type(address)(int(each.network_address) ^ 1 << address.max_prefixlen - length)
                assert asked(prefilter, frame(str(beside))) == PASS
            assert asked(prefilter, frame({4: "fd08::1", 6: "10.8.0.1"}[address.version])) == PASS
            prefilter.remove(each)


def test_an_ipv4_source_in_a_header_of_ipv6_is_that_ipv4_source(prefilter: Prefilter) -> None:
    """Nobody gets around a rule by writing himself in another way, and IPv6 as a whole does not mean him."""
    ipv6 = frame(SOURCE[6])
    mapped = ipv6[:22] + source_key(SOURCE[4]) + ipv6[38:]
    prefilter.put(Rule(network("::/0"), Action.DROP))
    before = asked(prefilter, mapped), asked(prefilter, ipv6)
    prefilter.put(Rule(alone(4), Action.DROP))

    assert (before, asked(prefilter, mapped)) == ((PASS, DROP), DROP)


@both_versions
@pytest.mark.parametrize("action", [Action.DROP, Action.PASS])
def test_a_rule_that_ends_inside_another_one_leaves_no_hole_in_it(
    prefilter: Prefilter, version: int, action: Action
) -> None:
    """The longer one is still there, and decides nothing; the shorter one counts."""
    around = Rule(network(AROUND[version]), Action.DROP)
    prefilter.put(around)
    prefilter.put(Rule(alone(version), action, until_ns=soon(60)))
    before = asked(prefilter, frame(SOURCE[version]))
    prefilter.put(Rule(alone(version), action, until_ns=soon(-0.001)))

    assert before == {Action.DROP: DROP, Action.PASS: PASS}[action]
    assert asked(prefilter, frame(SOURCE[version])) == DROP
    assert len(prefilter.rules()) == 2
    assert prefilter.rules()[around].dropped.packets == 1


@pytest.mark.parametrize(
    ("of", "before", "afterwards", "verdicts"),
    [
        ("rule", Mode.MONITOR, Mode.ENFORCE, (PASS, DROP)),
        ("rule", Mode.MONITOR, Mode.OFF, (PASS, PASS)),
        ("rule", Mode.ENFORCE, Mode.MONITOR, (DROP, PASS)),
        ("rule", Mode.OFF, Mode.ENFORCE, (PASS, DROP)),
        ("all", Mode.MONITOR, Mode.ENFORCE, (PASS, DROP)),
        ("all", Mode.OFF, Mode.ENFORCE, (PASS, DROP)),
        ("all", Mode.ENFORCE, Mode.OFF, (DROP, PASS)),
    ],
)
def test_a_mode_ends_at_its_time_and_by_itself(
    prefilter: Prefilter, of: str, before: Mode, afterwards: Mode, verdicts: tuple[int, int]
) -> None:
    """Asked without a pause: one change, at the first packet that cannot have been before the end."""

    def begin(end: int) -> None:
        mode = Setting(before, end, afterwards)
        prefilter.put(Rule(alone(4), Action.DROP, mode=mode if of == "rule" else ENFORCED))
        prefilter.set_mode(mode if of == "all" else ENFORCED)

    assert around_end(prefilter, begin) == ({verdicts[0]}, {verdicts[1]})
    [counts] = prefilter.rules().values()
    assert (counts.audited.packets > 0) == (Mode.MONITOR in {before, afterwards})


def test_a_rule_ends_at_its_time_and_by_itself(prefilter: Prefilter) -> None:
    """Nobody does anything at its end."""

    def begin(end: int) -> None:
        prefilter.put(Rule(alone(4), Action.DROP, until_ns=end))

    assert around_end(prefilter, begin) == ({DROP}, {PASS})


def around_end(prefilter: Prefilter, begin: Callable[[int], None]) -> tuple[set[int], set[int]]:
    """Have something with an end begin, and return the verdicts before the end, and those after it."""
    for seconds in (0.02, 0.2, 2.0, 20.0):
        end = soon(seconds)
        begin(end)
        before, after = asked_around(prefilter, end)
        if before:  # else nobody came to ask in time
            break
    return before, after


def asked_around(prefilter: Prefilter, end: int) -> tuple[set[int], set[int]]:
    """Ask from now until a while after a time; return the verdicts before it, and those after it."""
    packet, before, after = frame(SOURCE[4]), set(), set()
    later = 0
    while later < 100:
        began = soon(0)
        verdict = asked(prefilter, packet)
        if soon(0) < end:
            before.add(verdict)
        elif began >= end:
            after.add(verdict)
            later += 1
    return before, after


def test_what_a_rule_would_drop_is_counted_and_passes_while_it_only_watches(prefilter: Prefilter) -> None:
    """By the rule's own mode another one decides; by that for all nobody is dropped, and counts are whole."""
    around, inside = Rule(network(AROUND[4]), Action.DROP), alone(4)
    packet = frame(SOURCE[4])
    one = Drops(1, len(packet))
    prefilter.put(around)
    prefilter.put(Rule(inside, Action.DROP, mode=Setting(Mode.MONITOR)))
    watched = asked(prefilter, packet)
    first = {rule.network: counts for rule, counts in prefilter.rules().items()}
    prefilter.put(Rule(inside, Action.DROP))
    prefilter.set_mode(Setting(Mode.MONITOR))
    passed = asked(prefilter, packet)
    second = {rule.network: counts for rule, counts in prefilter.rules().items()}

    assert (watched, passed, prefilter.mode()) == (DROP, PASS, Setting(Mode.MONITOR))
    assert first == {around.network: Counts(NOTHING, one, NOTHING), inside: Counts(NOTHING, NOTHING, one)}
    assert second == {around.network: first[around.network], inside: Counts(NOTHING, NOTHING, one.plus(one))}


def bucket(prefilter: Prefilter, number: int = 1) -> tuple[int, int]:
    """Return level and time of the bucket of the first source."""
    value = prefilter.maps[BUCKETS].lookup(BUCKET_KEY.pack(source_key(SOURCE[4]), number))
    assert value is not None
    level, filled_ns = BUCKET.unpack(value)
    return level, filled_ns


def test_cpus_that_ask_at_once_neither_make_tokens_nor_lose_any(prefilter: Prefilter) -> None:
    """One source, from every CPU: what passed is what came in, to the last nanotoken."""
    rate = 1_000_000
    rule = Rule(alone(4), Action.LIMIT, Limit(rate, MOST_BURST))
    packet = frame(SOURCE[4])
    prefilter.put(rule)
    # Empty: it takes 16 s to be full, longer than this.
    begin = soon(0)
    prefilter.maps[BUCKETS].put(BUCKET_KEY.pack(source_key(SOURCE[4]), 1), BUCKET.pack(0, begin))
    cpus = sorted(os.sched_getaffinity(0))

    def flood(cpu: int) -> None:
        os.sched_setaffinity(0, {cpu})
        run(prefilter.program.fd, packet, 1_000_000)

    threads = [threading.Thread(target=flood, args=(cpu,)) for cpu in cpus]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    level, filled_ns = bucket(prefilter)
    counts = prefilter.rules()[rule]

    assert counts.passed.packets + counts.dropped.packets == 1_000_000 * len(cpus)
    assert counts.passed.packets * TOKEN + level == (filled_ns - begin) * rate
    assert level > -len(cpus) * TOKEN
    assert counts.dropped.packets > 0


def test_debts_are_paid_back_and_advances_are_kept(prefilter: Prefilter) -> None:
    """As CPUs leave a bucket that spend a token at once, or fill it at once."""
    # Ten seconds until it is full: longer than a packet waits on a machine that is busy.
    limit = Limit(1000, 10_000)
    prefilter.put(Rule(alone(4), Action.LIMIT, limit))
    key = BUCKET_KEY.pack(source_key(SOURCE[4]), 1)

    def after(level: int, pause_ns: int) -> tuple[int, int, int]:
        """Return the verdict on a packet, the level that it leaves, and what came in."""
        begin = soon(0) - pause_ns
        prefilter.maps[BUCKETS].put(key, BUCKET.pack(level, begin % 2**64))
        verdict = asked(prefilter, frame(SOURCE[4]))
        left, filled_ns = bucket(prefilter)
        return verdict, left, ((filled_ns - begin) % 2**64) * limit.rate

    verdict, left, came = after(-5000 * TOKEN, 1)
    assert (verdict, left) == (DROP, came - 5000 * TOKEN)
    verdict, left, came = after(-TOKEN, 4_000_000)
    assert (verdict, left) == (PASS, came - 2 * TOKEN)
    verdict, left, came = after(20_000 * TOKEN, 1000)
    assert (verdict, left) == (PASS, 19_999 * TOKEN)
    assert came > 0
    assert after(20_000 * TOKEN, -3600 * TOKEN) == (PASS, 19_999 * TOKEN, 0)
    assert after(0, -3600 * TOKEN) == (DROP, 0, 0)
    for pause_ns in (10**10, 10**18, 2**63 - 10**16):
        assert after(-TOKEN, pause_ns)[:2] == (PASS, 9999 * TOKEN)


def test_a_source_that_was_forgotten_begins_with_a_full_bucket(prefilter: Prefilter) -> None:
    """There is room for so many sources; the others stay limited, and no packet is left undecided."""
    prefilter.put(Rule(network("10.0.0.0/8"), Action.LIMIT, Limit(1, 1)))
    verdicts = []
    for number in range(10_000):
        text = f"10.1.{number >> 8}.{number & 0xFF}"
        verdicts.append([asked(prefilter, frame(text)) for _ in range(2)])

    assert verdicts == [[PASS, DROP]] * 10_000
    assert prefilter.events() == dict.fromkeys(Event, 0)


def test_a_rule_put_again_keeps_its_counts_and_one_removed_leaves_none(prefilter: Prefilter) -> None:
    """Its buckets too, where the limit is the same."""
    limited = Rule(alone(4), Action.LIMIT, Limit(1, 2))
    packet = frame(SOURCE[4])
    one = Drops(1, len(packet))
    prefilter.put(limited)
    verdicts = [asked(prefilter, packet) for _ in range(3)]
    prefilter.put(Rule(alone(4), Action.LIMIT, Limit(1, 2), soon(60)))
    verdicts.append(asked(prefilter, packet))
    prefilter.put(Rule(alone(4), Action.LIMIT, Limit(1, 1)))
    verdicts += [asked(prefilter, packet) for _ in range(2)]
    [removed] = prefilter.remove(alone(4)).values()
    prefilter.put(limited)

    assert verdicts == [PASS, PASS, DROP, DROP, PASS, DROP]
    assert removed == Counts(one.plus(one).plus(one), one.plus(one).plus(one), NOTHING)
    assert prefilter.rules() == {limited: UNCOUNTED}
    assert asked(prefilter, packet) == PASS
    with pytest.raises(KeyError):
        prefilter.remove(network("10.0.0.0/8"))


def test_rules_that_are_over_are_tidied_away_with_what_they_counted(prefilter: Prefilter) -> None:
    """Those that are not stay, and a rule that takes the place of one counts from nothing."""
    end = soon(0)
    packet = frame(SOURCE[4])
    prefilter.put(Rule(network(AROUND[4]), Action.DROP))
    prefilter.put(Rule(alone(4), Action.DROP))
    asked(prefilter, packet)
    prefilter.put(Rule(alone(4), Action.DROP, until_ns=end))
    early, tidied = prefilter.tidy(end - 1), prefilter.tidy(end)
    prefilter.put(Rule(alone(6), Action.DROP))

    assert early == {}
    assert tidied == {alone(4): Counts(NOTHING, Drops(1, len(packet)), NOTHING)}
    assert prefilter.rules() == {
        Rule(network(AROUND[4]), Action.DROP): UNCOUNTED,
        Rule(alone(6), Action.DROP): UNCOUNTED,
    }
    assert prefilter.tidy(end) == {}


@both_versions
def test_every_packet_meanwhile_follows_a_rule_about_an_address_that_changes(
    prefilter: Prefilter, version: int
) -> None:
    """It is dropped all the time: the rules differ in their ends alone, and others come and go."""
    packet, stop, asked_for = frame(SOURCE[version]), threading.Event(), 0
    prefilter.put(Rule(alone(version), Action.DROP))

    def change() -> None:
        for number in range(100):
            other = Rule(network(OTHER[version]), Action.PASS)
            prefilter.put(other, Rule(alone(version), Action.DROP, until_ns=soon(60 + number)))
            prefilter.remove(other.network)
        stop.set()

    thread = threading.Thread(target=change)
    thread.start()
    while not stop.is_set():
        assert asked(prefilter, packet) == DROP
        asked_for += 1
    thread.join()
    [counts] = prefilter.rules().values()

    assert counts.dropped.packets == asked_for > 100


def test_what_a_kill_leaves_of_a_change_is_one_rule(prefilter: Prefilter) -> None:
    """A rule about an address is in both tables for a moment, or in that of networks alone."""
    old, new = Rule(alone(4), Action.DROP), Rule(alone(4), Action.PASS)
    prefilter.put(old)
    prefilter.maps[RULES].put(key_of(alone(4)), new.packed(1, 0))
    both = asked(prefilter, frame(SOURCE[4])), [*Prefilter.of(prefilter.maps, prefilter.program).rules()]
    prefilter.maps[HOSTS].delete(host_key_of(alone(4)))
    moved = asked(prefilter, frame(SOURCE[4])), [*Prefilter.of(prefilter.maps, prefilter.program).rules()]
    prefilter.maps[HOSTS].put(host_key_of(alone(4)), old.packed(1, 0))
    opened = Prefilter.of(prefilter.maps, prefilter.program)
    opened.remove(alone(4))

    assert both == (DROP, [old])
    assert moved == (PASS, [new])
    assert opened.rules() == {}
    assert asked(prefilter, frame(SOURCE[4])) == PASS
    assert not opened.state().marks


def test_one_that_is_opened_again_goes_on_where_the_other_was(prefilter: Prefilter) -> None:
    """Counters of rules that are there are theirs, those of others begin at nothing, numbers are new."""
    packet = frame(SOURCE[4])
    for text in (AROUND[4], OTHER[4], SOURCE[4]):
        prefilter.put(Rule(network(text), Action.LIMIT, Limit(1, 1)))
    verdicts = [asked(prefilter, packet) for _ in range(3)]
    prefilter.remove(network(AROUND[4]))
    opened = Prefilter.of(prefilter.maps, prefilter.program)
    opened.put(Rule(network(AROUND[6]), Action.DROP), Rule(network(OTHER[6]), Action.LIMIT, Limit(1, 1)))
    counts = {rule.network: each for rule, each in opened.rules().items()}
    found = written(opened.maps)

    assert verdicts == [PASS, DROP, DROP]
    assert counts[alone(4)].dropped.packets == 2
    assert [counts[network(text)] for text in (OTHER[4], AROUND[6], OTHER[6])] == [UNCOUNTED] * 3
    assert len({each.counter for each in found.values()}) == 4
    assert sorted(each.number for each in found.values()) == [2, 3, 4, 5]
    with pytest.raises(Refused, match="rules already"):
        opened.put(*(Rule(network(f"192.0.2.{n}"), Action.DROP) for n in range(9)))
    assert len(opened.rules()) == 4


def test_what_there_is_no_room_for_is_refused_and_changes_nothing(prefilter: Prefilter) -> None:
    """Neither too many rules nor too many around one address."""
    for length in range(32, 32 - MOST_NESTED, -1):
        prefilter.put(Rule(ipaddress.ip_network((SOURCE[4], length), strict=False), Action.DROP))
    with pytest.raises(Refused, match=f"in more than {MOST_NESTED} networks"):
        prefilter.put(Rule(network("10.0.0.0/8"), Action.DROP))
    for number in range(12 - MOST_NESTED):
        prefilter.put(Rule(network(f"192.0.2.{number}"), Action.DROP))
    before = prefilter.rules()
    with pytest.raises(Refused, match="12 rules already"):
        prefilter.put(Rule(network("::1"), Action.DROP))

    assert prefilter.rules() == before
    prefilter.remove(network("192.0.2.0"))
    prefilter.put(Rule(network("::1"), Action.DROP))
    assert asked(prefilter, frame("::1")) == DROP


def test_more_rules_than_can_be_asked_let_pass_and_say_so(prefilter: Prefilter) -> None:
    """They are no rules that we write: another hand may have."""
    for length in range(32, 32 - MOST_NESTED, -1):
        watched = Setting(Mode.MONITOR)
        prefilter.put(
            Rule(ipaddress.ip_network((SOURCE[4], length), strict=False), Action.DROP, mode=watched)
        )
    undecided = asked(prefilter, frame(SOURCE[4]))
    events = prefilter.events()
    by_hand = Rule(network("10.0.0.0/8"), Action.DROP)
    rules = prefilter.maps["prefilter_rules"]
    rules.put(struct.pack("<I16s", 96 + 8, source_key("10.0.0.0")), by_hand.packed(99, 99))

    assert (undecided, events) == (PASS, dict.fromkeys(Event, 0))
    assert asked(prefilter, frame(SOURCE[4])) == PASS
    assert asked(prefilter, frame("10.8.0.1")) == DROP
    assert prefilter.events() == {**events, Event.NESTED: 1, Event.UNCOUNTED: 1}
    assert prefilter.maps[COUNTS].lookup(bytes(4)) is not None


def test_nothing_is_left_of_one_that_is_closed(prefilter_instructions: bytes) -> None:
    """No program and no map."""
    before = held_by(os.getpid())
    made = Prefilter.load(prefilter_instructions, Size(1, 1))
    during = held_by(os.getpid())
    made.close()

    assert len(during - before) > 0
    assert held_by(os.getpid()) == before
