"""Which observed flows get another verdict when policies change."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from netsre.datapath.policy import reference
from netsre.datapath.policy.ends import End
from netsre.datapath.policy.observed import Flow
from netsre.datapath.policy.reference import Decision, Verdict
from netsre.model.policies.values import Policy


@dataclass(frozen=True, slots=True)
class Change:
    """A flow with what the policies of before and after decide about it."""

    flow: Flow
    before: Verdict
    after: Verdict

    @property
    def denies(self) -> bool:
        """Return whether it was allowed, and is not any more."""
        return self.after.decision is Decision.DENY


def changes(old: Iterable[Policy], new: Iterable[Policy], flows: Iterable[Flow]) -> tuple[Change, ...]:
    """Return the flows whose verdict is another one: first those that are denied now, the busiest first."""
    before, after = _judge(tuple(old)), _judge(tuple(new))
    found = [Change(flow, before(flow), after(flow)) for flow in flows]
    differing = [one for one in found if one.before.decision is not one.after.decision]
    return tuple(sorted(differing, key=lambda one: (not one.denies, -one.flow.all.count, one.flow.order)))


def _judge(policies: tuple[Policy, ...]) -> Callable[[Flow], Verdict]:
    """Return what asks the reference, with those policies alone that are about one of the ends."""
    known: dict[str, frozenset[int]] = {}

    def about(end: End) -> frozenset[int]:
        if end.endpoint is None:
            return frozenset()
        name = end.endpoint.full_name
        if name not in known:
            selecting = (n for n, policy in enumerate(policies) if reference.selects(policy, end))
            known[name] = frozenset(selecting)
        return known[name]

    def judge(flow: Flow) -> Verdict:
        asked = [policies[number] for number in sorted(about(flow.source) | about(flow.destination))]
        return reference.verdict(asked, flow.source, flow.destination, flow.service)

    return judge
