"""Connection tracking as automation needs it: who fills the table, and what can be done about it.

Entries and routes are those of the network namespace in which an `Opening` opens sockets, by default the
calling thread's. Nothing here decides.
"""

from netsre.adapters.conntrack.columns import uncounted
from netsre.adapters.conntrack.counting import Count, count
from netsre.adapters.conntrack.limits import limit, most_entries, set_limit
from netsre.adapters.conntrack.netlink import NETFILTER, ROUTE, Opening, here
from netsre.adapters.conntrack.routes import route
from netsre.adapters.conntrack.table import flush
from netsre.adapters.conntrack.timeouts import set_timeout, timeouts

__all__ = [
    "NETFILTER",
    "ROUTE",
    "Count",
    "Opening",
    "count",
    "flush",
    "here",
    "limit",
    "most_entries",
    "route",
    "set_limit",
    "set_timeout",
    "timeouts",
    "uncounted",
]
