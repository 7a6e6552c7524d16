"""The programs of the policy datapath and the maps that they share, by name, shape and size.

The C says what an entry is (`bpf/include/policy.h`, `policy_ct.h`), and a test compares the sizes; how many
there may be is said here alone.
"""

from enum import Enum
from types import MappingProxyType
from typing import Final, NamedTuple

from netsre.datapath.policy import conntrack, interfaces, layouts, orders, refused
from netsre.datapath.policy.budget import CAPACITY

SOURCES: Final = (
    *("policy_tables.c", "policy_sources.c", "policy_orders.c", "policy_ct.c"),
    *("policy_answers.c", "policy_counts.c", "policy_refused.c", "policy.c"),
)
"""Compiled as one text, in this order."""
FROM_ENDPOINT: Final = "policy_from_endpoint"
TO_ENDPOINT: Final = "policy_to_endpoint"
PROGRAMS: Final = (FROM_ENDPOINT, TO_ENDPOINT)


class MapKind(Enum):
    """What a map can do."""

    ARRAY = "array"
    HASH = "hash"
    LRU_HASH = "lru_hash"
    PREFIXES = "lpm_trie"
    PERCPU_ARRAY = "percpu_array"
    QUEUE = "queue"
    TABLES = "array_of_maps"
    """Of maps shaped as `CONNECTIONS`."""


class Map(NamedTuple):
    """One map of the datapath."""

    kind: MapKind
    key_bytes: int
    value_bytes: int
    capacity: int


ACTIVE: Final = "policy_active"
REVISIONS: Final = "policy_revisions"
ADDRESSES: Final = "policy_addresses"
ENDPOINTS: Final = "policy_endpoints"
ZONES: Final = "policy_zones"
ENTRIES: Final = "policy_entries"
MODE: Final = "policy_mode"
ENDPOINT_MODES: Final = "policy_own_modes"
CONNECTIONS: Final = "policy_ct"
TABLES: Final = "policy_ct_tables"
NOW: Final = 0
BEFORE: Final = 1
"""Slots of `TABLES`: the table of connections, and the one that it is exchanged for."""
TIMEOUTS: Final = "policy_timeouts"
FULL: Final = "policy_ct_full"
FRAGMENTS: Final = "policy_fragments"
ROWS: Final = "policy_count_rows"
COUNTS: Final = "policy_counts"
LAST_ROW: Final = "policy_last_row"
FREE_ROWS: Final = "policy_free_rows"
EVENTS: Final = "policy_events"
ORDERS: Final = "policy_orders"
ORDER_TURN: Final = "policy_order_turn"
REFUSED: Final = "policy_refused"
REFUSED_SUM: Final = "policy_refused_sum"
INTERFACES: Final = "policy_interfaces"
ANSWERS: Final = "policy_answers"
BELIEVED: Final = "policy_believed"

MAPS: Final = MappingProxyType(
    {
        ACTIVE: Map(MapKind.ARRAY, 4, 4, 1),
        REVISIONS: Map(MapKind.ARRAY, 4, 32, 16),
        ADDRESSES: Map(MapKind.PREFIXES, 24, 8, CAPACITY[layouts.Map.ADDRESSES]),
        ENDPOINTS: Map(MapKind.HASH, 24, 32, CAPACITY[layouts.Map.ENDPOINTS]),
        ZONES: Map(MapKind.PREFIXES, 24, 4, CAPACITY[layouts.Map.ZONES]),
        ENTRIES: Map(MapKind.PREFIXES, 16, 8, CAPACITY[layouts.Map.ENTRIES]),
        MODE: Map(MapKind.ARRAY, 4, 16, 1),
        ENDPOINT_MODES: Map(MapKind.HASH, 4, 16, 4096),
        CONNECTIONS: Map(MapKind.HASH, conntrack.KEY.size, conntrack.CONNECTION.size, 65_536),
        TABLES: Map(MapKind.TABLES, 4, 4, 2),
        TIMEOUTS: Map(MapKind.ARRAY, 4, conntrack.TIMEOUT.size, len(conntrack.State)),
        FULL: Map(MapKind.ARRAY, 4, 8, 1),
        FRAGMENTS: Map(MapKind.LRU_HASH, conntrack.FRAGMENT_KEY_BYTES, conntrack.FRAGMENT_BYTES, 4096),
        ROWS: Map(MapKind.HASH, layouts.COUNT_KEY.size, layouts.ROW.size, layouts.ROWS),
        COUNTS: Map(MapKind.PERCPU_ARRAY, 4, layouts.COUNT.size, layouts.ROWS),
        LAST_ROW: Map(MapKind.ARRAY, 4, layouts.LAST_ROW.size, 1),
        FREE_ROWS: Map(MapKind.QUEUE, 0, layouts.ROW.size, layouts.ROWS),
        EVENTS: Map(MapKind.PERCPU_ARRAY, 4, conntrack.EVENT.size, len(conntrack.Event)),
        ORDERS: Map(MapKind.PREFIXES, orders.KEY.size, orders.ORDER.size, orders.MOST),
        ORDER_TURN: Map(MapKind.ARRAY, 4, orders.TURN.size, 1),
        REFUSED: Map(MapKind.LRU_HASH, refused.KEY.size, refused.VALUE.size, 8_192),
        REFUSED_SUM: Map(MapKind.PERCPU_ARRAY, 4, refused.SUM.size, len(refused.Sum)),
        INTERFACES: Map(MapKind.ARRAY, 4, interfaces.PLACE.size, interfaces.PLACES),
        ANSWERS: Map(MapKind.PERCPU_ARRAY, 4, layouts.ANSWER_BYTES, layouts.ANSWERS),
        BELIEVED: Map(MapKind.PERCPU_ARRAY, 4, layouts.BELIEVED_BYTES, layouts.BELIEVED),
    }
)
"""In this order a compiled program numbers them."""

_FIXED: Final = frozenset({MapKind.ARRAY, MapKind.PERCPU_ARRAY, MapKind.TABLES})
SMALLEST: Final = MappingProxyType({name: 1 for name, one in MAPS.items() if one.kind not in _FIXED})
"""Capacities for a trial: enough for the verifier."""
