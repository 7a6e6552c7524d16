"""The TCP probe's bytes, as counters with words."""

from netsre.conventions import OTHER
from netsre.datapath import tcp
from netsre.datapath.attribution import Client, Counter
from netsre.datapath.tcp import TcpKind

_WORDS = {1: "no_socket", 12: "tcp_abort_on_linger"}


def _decoded(event: int, detail: int, direction: int = 1, destination: int = 2) -> Counter[TcpKind]:
    return tcp.counter_of(tcp.TCP_KEY.pack(17, 7, event, detail, direction, destination), _WORDS)


def test_a_counter_is_decoded_field_by_field() -> None:
    """A bucket belongs to what is timed and to nothing else."""
    timed, sent = _decoded(3, 9), _decoded(0, 2, 2, 3)

    assert (timed.client, timed.kind) == (Client(7, 17), TcpKind("rtt", "", "egress", "private", 9))
    assert (sent.client, sent.kind) == (
        Client(7, 17),
        TcpKind("retransmit", "syn_ack", "ingress", "public", 0),
    )


def test_every_detail_has_a_word() -> None:
    """Also one that a later kernel may add, and an end that nobody knows."""
    assert [_decoded(0, each).kind.detail for each in range(4)] == ["data", "syn", "syn_ack", "other"]
    assert [_decoded(1, each).kind.detail for each in (1, 12, 13, 63)] == [
        *("no_socket", "tcp_abort_on_linger"),
        *("other", "other"),
    ]
    assert [_decoded(2, each).kind.detail for each in range(3)] == ["refused", "broken", "other"]
    assert [_decoded(2, 0, each).kind.direction for each in range(4)] == [OTHER, "egress", "ingress", OTHER]


def test_what_found_the_table_full_keeps_event_and_detail() -> None:
    """A slot of the overflow is a counter of nobody."""
    at = tcp.DETAILS
    found = [tcp.counter_of_slot(slot, _WORDS) for slot in (1, at + 12, 2 * at - 1, 3 * at + 16)]

    assert {(one.client.netns, one.kind.direction, one.kind.destination) for one in found} == {
        (0, OTHER, OTHER)
    }
    assert [(one.kind.event, one.kind.detail, one.kind.bucket) for one in found] == [
        ("retransmit", "syn", 0),
        ("reset_sent", "tcp_abort_on_linger", 0),
        ("reset_sent", "other", 0),
        ("rtt", "", 16),
    ]


def test_the_kernels_words_for_resets_are_its_own_in_lower_case() -> None:
    """The end of the list is no reason."""
    names = {0: "SK_RST_REASON_NOT_SPECIFIED", 1: "SK_RST_REASON_NO_SOCKET", 25: "SK_RST_REASON_MAX"}

    assert tcp.reset_words(names) == {0: "not_specified", 1: "no_socket"}
