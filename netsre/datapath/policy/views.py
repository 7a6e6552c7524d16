"""The policies of one endpoint, seen in several ways at once: as they are enforced, and as they would be.

What is done and what would be done if policies on monitor were enforced are two views of the same policies;
of an endpoint of a canary there are the same two of the policies of before. A rule counts in some of them,
and what all of them say about a packet makes one answer. So one table has it all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from netsre.datapath.policy import reference
from netsre.datapath.policy.reference import ENFORCED, Answer, Decision, Reason, Staged
from netsre.model.policies.values import Direction, Policy, Rule

ShareKey = tuple[tuple[int, ...], Staged, tuple[int, ...] | None]


@dataclass(frozen=True, slots=True)
class Share:
    """The policies that select an endpoint, in order."""

    policies: tuple[Policy, ...]
    staged: Staged = ENFORCED
    replaced: tuple[Policy, ...] | None = None
    """Of an endpoint of a canary: those of before."""

    @property
    def key(self) -> ShareKey:
        """Return what it is known by, for as long as its policies live."""
        replaced = None if self.replaced is None else tuple(map(id, self.replaced))
        # Where all are enforced, stages of others change nothing.
        staged = ENFORCED if all(map(self.staged.enforces, self.all)) else self.staged
        return tuple(map(id, self.policies)), staged, replaced

    @property
    def all(self) -> tuple[Policy, ...]:
        """Return all that a table of it rests on."""
        return (*self.policies, *(self.replaced or ()))

    def isolating(self, way: Direction) -> Sequence[Sequence[Policy]]:
        """Return the policies that isolate, by view."""
        return [
            [one for one in policies if way in one.isolates and self._denying(one) & bit]
            for policies in self._sets
            for bit in (0b01, 0b10)
        ]

    def rules(self, way: Direction) -> Iterator[tuple[Rule, int]]:
        """Yield rules in order, each with a bit for every view that it counts in."""
        for at, policies in enumerate(self._sets):
            for policy in policies:
                denying = self._denying(policy)
                for rule in policy.rules[way]:
                    if bits := denying if rule.deny else 0b11:
                        yield rule, bits << 2 * at

    @property
    def _sets(self) -> Sequence[tuple[Policy, ...]]:
        return (self.policies,) if self.replaced is None else (self.policies, self.replaced)

    def _denying(self, policy: Policy) -> int:
        """Return in which of the two views of a set what a policy denies counts, a bit for each."""
        return self.staged.enforces(policy) | self.staged.tells(policy) << 1


def without_rule(isolating: Sequence[Policy]) -> Answer:
    """Return what is done where no rule says anything."""
    if not isolating:
        return Answer(Decision.ALLOW, Reason.NO_POLICY)
    return Answer(Decision.DENY, Reason.DEFAULT_DENY, isolating=tuple(one.name for one in isolating))


def together(answers: Sequence[Answer]) -> Answer:
    """Return one answer of what all views say."""
    new, *old = (_both(*answers[at : at + 2]) for at in range(0, len(answers), 2))
    return reference.replacing(new, *old) if old else new


def _both(does: Answer, would: Answer) -> Answer:
    """Return one answer of what is done and what would be done, which is never less strict."""
    if does.decision is Decision.DENY:
        return does
    return replace(would, decision=Decision.AUDIT) if would.decision is Decision.DENY else would
