"""Connection tracking as automation needs it: who fills the table, and what can be done about it.

Everything acts on the network namespace that the calling thread is in. Nothing here decides.
"""

from netsre.adapters.conntrack.columns import uncounted
from netsre.adapters.conntrack.counting import Count, count
from netsre.adapters.conntrack.limits import limit, most_entries, set_limit
from netsre.adapters.conntrack.routes import route
from netsre.adapters.conntrack.table import flush

__all__ = ["Count", "count", "flush", "limit", "most_entries", "route", "set_limit", "uncounted"]
