"""Which of its statistics the running kernel counts: it prints columns in `/proc` that are 0 for ever."""

import contextlib
from typing import Final

from netsre.adapters.conntrack.netlink import NETFILTER, Channel, attributes
from netsre.adapters.conntrack.table import ANY_FAMILY

_GET_STATISTICS: Final = 0x0104
"""`NFNL_SUBSYS_CTNETLINK << 8` with `IPCTNL_MSG_CT_GET_STATS_CPU`."""
_ATTRIBUTES_AT: Final = 20
_SECONDS: Final = 2.0
_EVENTS: Final = {
    1: "searched",
    2: "found",
    3: "new",
    4: "invalid",
    5: "ignore",
    6: "delete",
    7: "delete_list",
    8: "insert",
    9: "insert_failed",
    10: "drop",
    11: "early_drop",
    12: "icmp_error",
    13: "search_restart",
    14: "clashres",
    15: "chaintoolong",
}
"""Of `enum ctattr_stats_cpu`, to the names of the columns in `/proc`."""


def uncounted() -> frozenset[str]:
    """Return the events that netlink would tell, if the kernel counted them.

    Nothing where netlink does not answer (no CAP_NET_ADMIN, no CONFIG_NF_CT_NETLINK): every column is then
    believed.
    """
    told: set[int] = set()
    with contextlib.suppress(OSError), Channel(NETFILTER) as channel:
        for data, at, end in channel.dump(_GET_STATISTICS, ANY_FAMILY, _SECONDS):
            told |= attributes(data, at + _ATTRIBUTES_AT, end).keys()
    return frozenset(name for kind, name in _EVENTS.items() if kind not in told) if told else frozenset()
