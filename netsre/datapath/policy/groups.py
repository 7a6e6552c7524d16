"""Endpoints that nobody tells apart, and the smallest selector that tells each group of them from the others.

A group has one namespace and one set of labels; labels that a rollout changes do not count.
"""

import functools
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from netsre.datapath.policy.identities import NOISE
from netsre.model.policies.values import Endpoint, Kind, Operator, Requirement, Scope

USUAL: Final = ("app.kubernetes.io/name", "app", "k8s-app", "name")
"""Labels that people select by, where others would do as well."""
_EXACT: Final = 4
"""Of more labels than that the fewest are not looked for: it would take too long."""

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, order=True)
class Group:
    """Endpoints of one namespace with the same labels."""

    namespace: str
    labels: Labels
    """Those that count, in order."""
    members: tuple[str, ...] = field(compare=False)
    """`namespace/name` of each."""
    selector: tuple[Requirement, ...] = field(compare=False)
    """What tells it from every other group of its namespace."""

    def __str__(self) -> str:
        """Return the namespace with the selector as kubectl writes it: `shop app=web,!tier`."""
        return f"{self.namespace} {','.join(map(_written, self.selector)) or 'all endpoints'}"


def _written(one: Requirement) -> str:
    return f"{one.key}={one.values[0]}" if one.operator is Operator.IN else f"!{one.key}"


def groups(endpoints: Iterable[Endpoint]) -> tuple[Group, ...]:
    """Return the groups of endpoints, in order; nodes and other reserved entries are in none."""
    members: dict[str, dict[Labels, list[str]]] = {}
    for one in endpoints:
        if one.kind is Kind.ENDPOINT:
            labels = tuple(sorted((key, value) for key, value in one.labels.items() if key not in NOISE))
            members.setdefault(one.namespace, {}).setdefault(labels, []).append(one.full_name)
    return tuple(
        Group(namespace, labels, tuple(sorted(names)), smallest(labels, [*found]))
        for namespace, found in sorted(members.items())
        for labels, names in sorted(found.items())
    )


def smallest(labels: Labels, everybody: Sequence[Labels]) -> tuple[Requirement, ...]:
    """Return the fewest requirements that these labels fulfil and no other ones of `everybody` do.

    Its own labels go before those that it must not have. At least one is its own where it has any: who comes
    later with other labels is somebody else.
    """
    others = [one for one in sorted(everybody) if one != labels]
    everyone = (1 << len(others)) - 1
    having = _having(others)
    own = {
        Requirement(Scope.LABEL, key, Operator.IN, (value,)): everyone & ~having.get((key, value), 0)
        for key, value in sorted(labels, key=_rank)
    }
    mine = {key for key, _ in labels}
    foreign = sorted({key for one in others for key, _ in one} - mine)
    absent = {Requirement(Scope.LABEL, key, Operator.DOES_NOT_EXIST): having[key, None] for key in foreign}
    found = _fewest(own, absent, everyone)
    return tuple(sorted(found, key=lambda one: (one.operator is not Operator.IN, one.key)))


def _rank(label: tuple[str, str]) -> tuple[int, str]:
    key = label[0]
    return (USUAL.index(key) if key in USUAL else len(USUAL), key)


def _having(others: Sequence[Labels]) -> dict[tuple[str, str | None], int]:
    """Return, as sets of bits, who has a label with a value, and who has it with any (None)."""
    found: dict[tuple[str, str | None], int] = {}
    for number, labels in enumerate(others):
        for key, value in labels:
            for asked in ((key, value), (key, None)):
                found[asked] = found.get(asked, 0) | 1 << number
    return found


def _fewest(
    own: Mapping[Requirement, int], absent: Mapping[Requirement, int], everyone: int
) -> tuple[Requirement, ...]:
    """Return the fewest requirements that reject everyone; each comes with whom it rejects."""
    rejected = {**own, **absent}
    begins: list[tuple[tuple[Requirement, ...], int]] = [((one,), everyone & ~own[one]) for one in own]
    begins = begins or [((), everyone)]
    for most in range(_EXACT + 1 - len(begins[0][0])):
        for usable in (own, rejected):
            for begin, left in begins:
                rest = _rejecting(usable, left, most)
                if rest is not None:
                    return (*begin, *rest)
    found, left = begins[0]
    while left:
        best = max(rejected, key=lambda one: (rejected[one] & left).bit_count())
        found, left = (*found, best), left & ~rejected[best]
    return _needed(found, own, rejected, everyone)


def _needed(
    found: tuple[Requirement, ...],
    own: Mapping[Requirement, int],
    rejected: Mapping[Requirement, int],
    everyone: int,
) -> tuple[Requirement, ...]:
    """Leave out what the others make superfluous, one of its own labels aside: first those of others."""
    for one in sorted(found, key=lambda one: one in own):
        rest = tuple(other for other in found if other != one)
        rejects = functools.reduce(operator.or_, (rejected[other] for other in rest), 0)
        if rejects == everyone and (not own or own.keys() & {*rest}):
            found = rest
    return found


def _rejecting(usable: Mapping[Requirement, int], left: int, most: int) -> tuple[Requirement, ...] | None:
    """Return at most so many requirements that reject all that are left, or None."""
    if not left or not most:
        return None if left else ()
    # Somebody has to reject the first of them, whatever else is chosen.
    first = left & -left
    for one, rejects in usable.items():
        if rejects & first:
            rest = _rejecting(usable, left & ~rejects, most - 1)
            if rest is not None:
                return (one, *rest)
    return None
