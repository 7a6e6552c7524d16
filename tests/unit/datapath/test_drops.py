"""The kernel's reasons by name, whatever their numbers."""

from netsre.datapath import drops
from netsre.datapath.attribution import Client, Counter
from netsre.datapath.drops import DropKind

_REASONS = {
    0: "SKB_NOT_DROPPED_YET",
    1: "SKB_CONSUMED",
    2: "SKB_DROP_REASON_NOT_SPECIFIED",
    41: "SKB_DROP_REASON_TCP_RESET",
    42: "SKB_DROP_REASON_NETFILTER_DROP",
    128: "SKB_DROP_REASON_MAX",
    0xFFFF0000: "SKB_DROP_REASON_SUBSYS_MASK",
}
_SUBSYSTEMS = {
    0: "SKB_DROP_REASON_SUBSYS_CORE",
    1: "SKB_DROP_REASON_SUBSYS_MAC80211_UNUSABLE",
    2: "SKB_DROP_REASON_SUBSYS_OPENVSWITCH",
    3: "SKB_DROP_REASON_SUBSYS_NUM",
}
_WORDS = drops.reason_words(_REASONS, _SUBSYSTEMS)


def _decoded(reason: int) -> Counter[DropKind]:
    return drops.counter_of(drops.DROP_KEY.pack(7, reason), _WORDS)


def test_only_what_the_kernel_calls_a_drop_reason_has_a_word() -> None:
    """What is not dropped, what was used up, and the ends of the lists have none."""
    assert _WORDS == {
        2: "not_specified",
        41: "tcp_reset",
        42: "netfilter_drop",
        drops.TCP_END: "tcp_end",
        0x10000: "mac80211_unusable",
        0x20000: "openvswitch",
    }


def test_every_number_is_counted_under_some_word() -> None:
    """All reasons of one subsystem have its word; a number that is in no list is `other`."""
    found = {number: _decoded(number).kind.reason for number in (42, 0x20001, 0x2FFFF, 0x30001, 127, 128, 0)}

    assert found == {
        42: "netfilter_drop",
        0x20001: "openvswitch",
        0x2FFFF: "openvswitch",
        0x30001: "other",
        127: "other",
        128: "other",
        0: "other",
    }
    assert _decoded(42).client == Client(7)


def test_benign_is_decided_by_name() -> None:
    """The number means something else on the next kernel."""
    assert [_decoded(number).kind.benign for number in (41, drops.TCP_END)] == [True, True]
    assert [_decoded(number).kind.benign for number in (42, 2, 999)] == [False, False, False]


def test_what_found_the_table_full_keeps_its_reason() -> None:
    """Slot 0 is for all that have no slot of their own."""
    found = [drops.counter_of_slot(slot, _WORDS) for slot in (0, 42)]

    assert [(one.client, one.kind.reason) for one in found] == [
        (Client(0), "other"),
        (Client(0), "netfilter_drop"),
    ]
