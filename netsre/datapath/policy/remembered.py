"""Numbers as a document: what a node keeps of them, so that names keep their numbers across a restart."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from netsre.datapath.policy.numbers import MOST, Numbering, Numbers

_NUMBERINGS: Final = (
    *("rules", "endpoints", "tables", "address_sets", "endpoint_sets", "zone_sets", "interfaces"),
)
_NEW: Final = MappingProxyType({name: {"known": {}, "last": 0} for name in ("zone_sets", "interfaces")})
"""What documents of earlier versions have not."""


def document(numbers: Numbers) -> dict[str, Any]:
    """Return what JSON can carry."""
    parts = {name: numbering_document(getattr(numbers, name)) for name in _NUMBERINGS}
    return {"identities": dict(numbers.identities), **parts}


def numbers(found: Mapping[str, Any]) -> Numbers:
    """Return the numbers of a document; raises `ValueError` for what is none."""
    return Numbers(
        _known(found.get("identities")),
        *(numbering(found.get(name, _NEW.get(name))) for name in _NUMBERINGS),
    )


def numbering_document(one: Numbering) -> dict[str, Any]:
    """Return what JSON can carry."""
    return {"known": dict(one.known), "last": one.last}


def numbering(found: object) -> Numbering:
    """Return the numbering of a document; raises `ValueError` for what is none."""
    if not isinstance(found, dict) or not isinstance(found.get("last"), int):
        raise ValueError("a numbering has known names and the last number")
    if not 0 <= found["last"] <= MOST:
        raise ValueError(f"the last number is {found['last']}")
    return Numbering(_known(found.get("known")), found["last"])


def _known(found: object) -> Mapping[str, int]:
    if not isinstance(found, dict) or not all(isinstance(one, int) for one in found.values()):
        raise ValueError("names have numbers")
    return MappingProxyType(found)
