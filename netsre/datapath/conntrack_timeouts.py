"""The timeouts of the kernel's connection tracking that may be shortened, and how far.

An entry ends when no packet of it came for as long as the timeout of its state says. A floor is what a
connection that lives needs: longer than the silence between two packets that it sends by itself.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

_ICMP, _TCP, _UDP, _ICMPV6, _ANY_OTHER = 1, 6, 17, 58, 255


class Kept(NamedTuple):
    """How long the kernel keeps entries in one state."""

    protocol: int
    """The IP protocol; 255 stands for all that connection tracking has no module for."""
    attribute: int
    """The number of the timeout among those of its protocol (`CTA_TIMEOUT_TCP_SYN_SENT`, …)."""
    floor: int
    """Seconds: no shorter."""


_ANSWERED_SOON: Final = 10
"""An answer, or the next try: a resolver asks again after 5 s, TCP after 1, 2, 4 and 8 s."""
_HALF_CLOSED: Final = 30
"""A FIN that is not answered is sent again after 1, 2, 4, 8 and 16 s."""
_RETRANSMITTED: Final = 150
"""TCP sends again at least every 120 s what is not acknowledged."""
_ESTABLISHED: Final = 7_440
"""Two hours and four minutes, as RFC 5382 asks: a silent connection is probed after two hours (keepalive)."""
_STREAM: Final = 60
"""Tunnels and calls over UDP send something at least every 30 s: one of these may be lost."""
_UNKNOWN: Final = 120
"""Nobody knows what it is."""

TIMEOUTS: Final[Mapping[str, Kept]] = MappingProxyType(
    {
        "syn_sent": Kept(_TCP, 1, _ANSWERED_SOON),
        "syn_recv": Kept(_TCP, 2, _ANSWERED_SOON),
        "established": Kept(_TCP, 3, _ESTABLISHED),
        "fin_wait": Kept(_TCP, 4, _HALF_CLOSED),
        "close_wait": Kept(_TCP, 5, _HALF_CLOSED),
        "last_ack": Kept(_TCP, 6, _ANSWERED_SOON),
        "time_wait": Kept(_TCP, 7, _ANSWERED_SOON),
        "max_retrans": Kept(_TCP, 10, _RETRANSMITTED),
        "unacknowledged": Kept(_TCP, 11, _RETRANSMITTED),
        "udp": Kept(_UDP, 1, _ANSWERED_SOON),
        "udp_stream": Kept(_UDP, 2, _STREAM),
        "icmp": Kept(_ICMP, 1, _ANSWERED_SOON),
        "icmpv6": Kept(_ICMPV6, 1, _ANSWERED_SOON),
        "generic": Kept(_ANY_OTHER, 1, _UNKNOWN),
    }
)
"""By the kernel's names, as in `net.netfilter.nf_conntrack_tcp_timeout_syn_sent`, `…_udp_timeout_stream`."""
