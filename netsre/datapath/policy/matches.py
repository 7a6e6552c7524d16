"""Which endpoints a selector selects, and which identities a peer means, without asking each about each.

Answers are kept while things come and go: every question is asked again about what has changed, and about
that alone.
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Final, Generic, Protocol, TypeVar

from netsre.datapath.policy.identities import Identity, Whom
from netsre.model.policies.values import (
    Endpoint,
    Fact,
    Facts,
    Kind,
    Operator,
    Selector,
    SelectorPeer,
)

_FEW: Final = 16
"""So many changes are cheaper to ask about one by one than to look up anew for every question."""

_Question = TypeVar("_Question", bound=Hashable)
_Thing = TypeVar("_Thing")
_Asked_contra = TypeVar("_Asked_contra", contravariant=True)
_Listed_contra = TypeVar("_Listed_contra", contravariant=True)


class _Index(Protocol[_Asked_contra, _Listed_contra]):
    """Finds numbers of things that may be the answer; others are not."""

    def add(self, number: int, thing: _Listed_contra) -> None: ...

    def remove(self, number: int, thing: _Listed_contra) -> None: ...

    def candidates(self, question: _Asked_contra) -> Iterable[int]: ...


class Matches(Generic[_Question, _Thing]):
    """The things that questions are about, by the numbers of the things."""

    def __init__(
        self, index: Callable[[], _Index[_Question, _Thing]], holds: Callable[[_Question, _Thing], bool]
    ) -> None:
        """Begin without things; `holds` has the last word about a candidate of the index."""
        self._new_index = index
        self._index = index()
        self._holds = holds
        self._things: dict[int, _Thing] = {}
        self._answers: dict[_Question, frozenset[int]] = {}

    def of(self, question: _Question) -> frozenset[int]:
        """Return the numbers of what a question is about."""
        found = self._answers.get(question)
        if found is None:
            found = self._answers[question] = self._looked_up(question)
        return found

    def update(self, things: Mapping[int, _Thing]) -> frozenset[_Question] | None:
        """Take the things of now; return the questions whose answers have changed.

        None means that a number is that of another thing now: then nothing that rests on numbers holds.
        """
        gone = [number for number in self._things if number not in things]
        new = [number for number in things if number not in self._things]
        kept = ((things.get(number, one), one) for number, one in self._things.items())
        if any(now is not one and now != one for now, one in kept):
            self._index, self._things, self._answers = self._new_index(), {}, {}
            self._take(things, things)
            return None
        for number in gone:
            self._index.remove(number, self._things.pop(number))
        self._take(new, things)
        changed = set()
        for question, before in self._answers.items() if gone or new else ():
            after = self._after(question, before, gone, new)
            if after != before:
                changed.add(question)
                self._answers[question] = after
        return frozenset(changed)

    def keep(self, questions: Collection[_Question]) -> None:
        """Forget the answers to all other questions; all of these have been asked."""
        if len(questions) < len(self._answers):
            self._answers = {one: answer for one, answer in self._answers.items() if one in questions}

    def _take(self, numbers: Iterable[int], things: Mapping[int, _Thing]) -> None:
        for number in numbers:
            self._things[number] = things[number]
            self._index.add(number, things[number])

    def _after(
        self, question: _Question, before: frozenset[int], gone: list[int], new: list[int]
    ) -> frozenset[int]:
        if len(new) > _FEW:
            return self._looked_up(question)
        more = [number for number in new if self._holds(question, self._things[number])]
        return before.difference(gone).union(more)

    def _looked_up(self, question: _Question) -> frozenset[int]:
        found = self._index.candidates(question)
        return frozenset(number for number in found if self._holds(question, self._things[number]))


class FactIndex:
    """Numbers by facts."""

    def __init__(self) -> None:
        """Begin with none."""
        self._all: set[int] = set()
        self._having: dict[tuple[Fact, str], set[int]] = {}

    def add(self, number: int, facts: Facts) -> None:
        """Take a number with its facts."""
        self._all.add(number)
        for one in facts.items():
            self._having.setdefault(one, set()).add(number)

    def remove(self, number: int, facts: Facts) -> None:
        """Forget a number, whose facts were these."""
        self._all.discard(number)
        for one in facts.items():
            self._having[one].discard(number)

    def candidates(self, selector: Selector) -> AbstractSet[int]:
        """Return those with one of the values that the strictest requirement asks for."""
        best: AbstractSet[int] = self._all
        for one in selector.requirements:
            if one.operator is Operator.IN:
                having = [self._having.get(((one.scope, one.key), value), set()) for value in one.values]
                if sum(map(len, having)) < len(best):
                    best = having[0] if len(having) == 1 else set().union(*having)
        return best


class EndpointIndex:
    """Endpoints for the selectors that say what a policy is about."""

    def __init__(self) -> None:
        """Begin with none."""
        self._facts = FactIndex()

    def add(self, number: int, endpoint: Endpoint) -> None:
        """Take an endpoint."""
        self._facts.add(number, endpoint.facts)

    def remove(self, number: int, endpoint: Endpoint) -> None:
        """Forget one."""
        self._facts.remove(number, endpoint.facts)

    def candidates(self, subject: Selector) -> AbstractSet[int]:
        """Return those that it may select."""
        return self._facts.candidates(subject)


class IdentityIndex:
    """Identities for peers."""

    def __init__(self) -> None:
        """Begin with none."""
        self._facts = FactIndex()
        self._all: set[int] = set()

    def add(self, number: int, identity: Identity) -> None:
        """Take an identity."""
        self._all.add(number)
        self._facts.add(number, identity.facts)

    def remove(self, number: int, identity: Identity) -> None:
        """Forget one."""
        self._all.discard(number)
        self._facts.remove(number, identity.facts)

    def candidates(self, peer: Whom) -> AbstractSet[int]:
        """Return those that it may mean."""
        return self._facts.candidates(peer.selector) if isinstance(peer, SelectorPeer) else self._all


def of_endpoints() -> Matches[Selector, Endpoint]:
    """Return answers about what policies are about: endpoints alone."""
    return Matches(
        EndpointIndex, lambda subject, one: one.kind is Kind.ENDPOINT and subject.matches(one.facts)
    )


def of_identities() -> Matches[Whom, Identity]:
    """Return answers about whom peers mean."""
    return Matches(IdentityIndex, lambda peer, one: one.is_meant_by(peer))
