"""Files of policies and endpoints, read again and again: only what has changed, where that is the same."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from netsre.errors import SpecErrors
from netsre.model.policies import endpoints, files
from netsre.model.policies.values import Address, Endpoint, Policy

_Thing = TypeVar("_Thing")


class Reader(Generic[_Thing]):
    """What files say. What says the same as before is the same object as before."""

    def __init__(
        self,
        parse: Callable[[Mapping[str, str]], tuple[_Thing, ...]],
        name: Callable[[_Thing], Hashable],
        independent: Callable[[Sequence[Sequence[_Thing]]], bool],
    ) -> None:
        """Read by `parse`, each file alone where `independent` says that this is the same as all together."""
        self._parse = parse
        self._name = name
        self._independent = independent
        self._texts: Mapping[str, str] = {}
        self._alone: dict[str, tuple[str, tuple[_Thing, ...]]] = {}
        """What each file says alone, with its text."""
        self._found: tuple[_Thing, ...] = ()

    def read(self, texts: Mapping[str, str]) -> tuple[_Thing, ...]:
        """Return what files (name to text) say; raises `SpecErrors` with all findings."""
        if [*self._texts.items()] == [*texts.items()]:
            return self._found
        alone = self._each(texts)
        if alone is not None and self._independent([things for _, things in alone.values()]):
            found = tuple(one for _, things in alone.values() for one in things)
        else:
            found = _known_again(self._found, self._parse(texts), self._name)
        self._texts, self._alone, self._found = dict(texts), alone or {}, found
        return found

    def _each(self, texts: Mapping[str, str]) -> dict[str, tuple[str, tuple[_Thing, ...]]] | None:
        found = {}
        for file, text in texts.items():
            known, things = self._alone.get(file, ("", ()))
            if known != text:
                try:
                    things = _known_again(things, self._parse({file: text}), self._name)
                except SpecErrors:
                    return None  # all files together say all that is wrong
            found[file] = text, things
        return found


def of_policies() -> Reader[Policy]:
    """Return a reader of policies."""
    return Reader(files.parse, lambda policy: (policy.kind, policy.name), _names_are_apart)


def of_endpoints() -> Reader[Endpoint]:
    """Return a reader of endpoints."""
    return Reader(endpoints.parse, lambda endpoint: endpoint.full_name, _endpoints_are_apart)


def _known_again(
    before: Iterable[_Thing], now: Iterable[_Thing], name: Callable[[_Thing], Hashable]
) -> tuple[_Thing, ...]:
    known = {name(one): one for one in before}
    pairs = ((known.get(name(one)), one) for one in now)
    return tuple(old if old is not None and old == new else new for old, new in pairs)


def _names_are_apart(listed: Sequence[Sequence[Policy]]) -> bool:
    """Return whether no two files have a policy of one name, of which one would replace the other."""
    names = [{(one.kind, one.name.partition(" ")[0]) for one in policies} for policies in listed]
    return len(set().union(*names)) == sum(map(len, names))


def _endpoints_are_apart(listed: Sequence[Sequence[Endpoint]]) -> bool:
    """Return whether no file says anything about an endpoint, an address or a namespace of another one.

    The labels of a namespace may be written once for all files.
    """
    names: set[str | Address] = set()
    spaces: dict[str, tuple[int, Mapping[str, str]]] = {}
    count = 0
    for number, several in enumerate(listed):
        for one in several:
            names |= {one.full_name, *one.ips}
            count += 1 + len(one.ips)
            first, labels = spaces.setdefault(one.namespace, (number, one.namespace_labels))
            if first != number and labels != one.namespace_labels:
                return False
    return len(names) == count
