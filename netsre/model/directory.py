"""The people who may decide about runs, and how each is known."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

OPERATOR: Final = "operator"
"""Whoever shows the token of the controller itself (`api.token`)."""


@dataclass(frozen=True, slots=True)
class Person:
    """One person."""

    name: str
    token_hash: str | None = None
    """SHA-256 of the person's own token, in hexadecimal digits; None: known by no token."""
    slack: str | None = None
    """The id of the person's account in Slack, such as `U024BE7LH`; None: has none that counts."""


@dataclass(frozen=True, slots=True)
class Directory:
    """Everybody who is known; the operator always is."""

    people: tuple[Person, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """The members of each group, by its name."""

    @property
    def names(self) -> frozenset[str]:
        """Return the name of everybody."""
        return frozenset({OPERATOR, *(person.name for person in self.people)})

    def knows(self, name: str) -> bool:
        """Tell whether this is a person or a group."""
        return name in self.names or name in self.groups

    def in_slack(self, account: str) -> str | None:
        """Return the name of the person who has an account in Slack, None for a stranger."""
        return next((person.name for person in self.people if person.slack == account), None)

    def meant(self, by: Iterable[str]) -> frozenset[str]:
        """Return the people that names of people and groups stand for; no name stands for everybody."""
        listed = tuple(by)
        if not listed:
            return self.names
        found = {name for name in listed if name in self.names}
        return frozenset(found.union(*(self.groups.get(name, ()) for name in listed)))


ALONE: Final = Directory()
"""One operator, and nobody else."""
