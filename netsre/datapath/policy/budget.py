"""How much of the kernel's memory one revision may take, and who takes the most of it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from netsre.datapath.policy.identities import mentions
from netsre.datapath.policy.layouts import Map
from netsre.datapath.policy.tables import Table
from netsre.errors import EnvironmentUnfit
from netsre.model.policies.values import Policy

BUDGET: Final[Mapping[Map, int]] = MappingProxyType(
    {Map.ENTRIES: 262_144, Map.ZONES: 262_144, Map.ENDPOINTS: 32_768, Map.ADDRESSES: 65_536}
)
"""Entries of one revision."""
CAPACITY: Final[Mapping[Map, int]] = MappingProxyType({where: 2 * most for where, most in BUDGET.items()})
"""Entries of the maps: a revision is built beside the one in force, which may be as large."""


class BudgetExceeded(EnvironmentUnfit):
    """A revision would take more of a map than one may; nothing was changed."""


def within_budget(
    sizes: Mapping[Map, int], budget: Mapping[Map, int], policies: Sequence[Policy], tables: Iterable[Table]
) -> None:
    """Raise `BudgetExceeded` where a revision has too many entries for a map; it names who has the most."""
    if sizes[Map.ENTRIES] > budget[Map.ENTRIES]:
        name, count = _largest(_by_entries(tables))
        raise BudgetExceeded(
            f"{sizes[Map.ENTRIES]} policy entries are needed and {budget[Map.ENTRIES]} are there; "
            f"{name} alone takes {count}: let it name fewer peers or ports"
        )
    if sizes[Map.ZONES] > budget[Map.ZONES]:
        name, count = _largest(Counter({one.name: len(mentions(one).networks) for one in policies}))
        raise BudgetExceeded(
            f"rules of endpoints tell {sizes[Map.ZONES]} networks apart and {budget[Map.ZONES]} can be; "
            f"{name} alone names {count} networks: let it name larger ones"
        )
    if sizes[Map.ADDRESSES] > budget[Map.ADDRESSES]:
        name, count = _largest(Counter({one.name: len(mentions(one).networks) for one in policies}))
        raise BudgetExceeded(
            f"{sizes[Map.ADDRESSES]} networks and addresses need an identity and {budget[Map.ADDRESSES]} can "
            f"have one; {name} alone names {count} networks: let it name larger ones"
        )
    if sizes[Map.ENDPOINTS] > budget[Map.ENDPOINTS]:
        raise BudgetExceeded(
            f"endpoints have {sizes[Map.ENDPOINTS]} addresses and {budget[Map.ENDPOINTS]} can be policed; "
            "leave out those of other nodes"
        )


def _largest(counts: Counter[str]) -> tuple[str, int]:
    """Return the first of those that have the most, by name."""
    return min(counts.items(), key=lambda one: (-one[1], one[0]), default=("no policy", 0))


def _by_entries(tables: Iterable[Table]) -> Counter[str]:
    found: Counter[str] = Counter()
    for table in tables:
        for entries in table.entries.values():
            # A rule is called by its policy and the place in it.
            found.update(one.rule.name.rpartition(" ")[0] for one in entries.values() if one.rule is not None)
    return found
