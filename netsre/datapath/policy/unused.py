"""Rules that no observed flow needed, as far as a flow log can tell."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from netsre import clock
from netsre.datapath import flow_lines
from netsre.datapath.policy import reference
from netsre.datapath.policy.ends import End
from netsre.datapath.policy.observed import Flow, Observed
from netsre.errors import BadInput, Finding
from netsre.model import linting
from netsre.model.policies import codes
from netsre.model.policies.values import Direction, Policy, Protocol, Rule

_NAMED: Final = 5
_SILENT: Final = "; whether rules are used is not said"
_LOGGED: Final = MappingProxyType(
    {
        Direction.INGRESS: frozenset({Protocol.TCP}),
        Direction.EGRESS: frozenset({Protocol.TCP, Protocol.UDP}),
    }
)
"""What a flow log has at all: of UDP the clients of its node."""


@dataclass(frozen=True, slots=True)
class Unused:
    """What is said about rules, and what cannot be said."""

    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    """Why nothing is said about some rules, or about any."""


def unused(policies: Iterable[Policy], observed: Observed, period: int) -> Unused:
    """Return the rules that match no attempt of the last so many milliseconds before the logs end.

    A rule counts as used by whatever it matches, delivered or not, also where another rule decides. Nothing
    is said about rules that would leave no trace in the logs. Raises `BadInput` for a log with impossible
    times.
    """
    if not observed.spans:
        return Unused((), (f"the flow log has no line{_SILENT}",))
    begin = max(first for first, _ in observed.spans.values())
    end = min(last for _, last in observed.spans.values())
    since = _before(end, period)
    asked = clock.duration_text(period)
    if begin > since:
        return Unused((), (f"the flow log has {begin} to {end}, less than {asked}{_SILENT}",))
    flows = tuple(flow for flow in observed.flows if flow.all.last >= since)
    return _told(policies, flows, observed.sampling, f"{asked} before {end}")


def _before(end: str, period: int) -> str:
    try:
        return flow_lines.rfc3339((clock.parse_rfc3339(end) - period) * 1_000_000)
    except (ValueError, OverflowError) as error:
        raise BadInput(f"the flow log ends at an impossible time: {error}") from error


def _told(policies: Iterable[Policy], flows: Sequence[Flow], sampling: int, when: str) -> Unused:
    sides = {way: _by_subject(flows, way) for way in Direction}
    protocols = frozenset(flow.service.protocol for flow in flows)
    found = linting.Findings()
    unknown: list[str] = []
    traceless: list[str] = []
    for policy in sorted(policies, key=lambda one: one.order):
        about = {way: _about(policy, sides[way], way) for way in Direction}
        if not any(about.values()):
            unknown.append(policy.name)
            continue
        for way in Direction:
            for rule in policy.rules[way]:
                if any(_matches(rule, flow, way) for flow in about[way]):
                    continue
                if _leaves_a_trace(rule, way, protocols):
                    message = f"{rule.name} explains no flow of the {when}{_rare(sampling)}"
                    found.add(rule.origin, codes.UNUSED, message)
                else:
                    traceless.append(rule.name)
    notes = [
        f"of no endpoint in the flow log{_SILENT}: {_listed(unknown)}" if unknown else "",
        f"of protocols that leave no trace in the flow log{_SILENT}: {_listed(traceless)}"
        if traceless
        else "",
    ]
    return Unused(found.sorted(), tuple(note for note in notes if note))


def _rare(sampling: int) -> str:
    return (
        f"; a line stands for up to {sampling} attempts, so it may be for what is rare"
        if sampling > 1
        else ""
    )


def _by_subject(flows: Iterable[Flow], way: Direction) -> dict[str, list[Flow]]:
    """Return the flows by the endpoint whose policies of a direction are about them."""
    found: dict[str, list[Flow]] = {}
    for flow in flows:
        subject = _subject(flow, way)
        if subject.endpoint is not None and not flow.source.is_same(flow.destination):
            found.setdefault(subject.endpoint.full_name, []).append(flow)
    return found


def _subject(flow: Flow, way: Direction) -> End:
    return flow.destination if way is Direction.INGRESS else flow.source


def _about(policy: Policy, by_subject: Mapping[str, Sequence[Flow]], way: Direction) -> list[Flow]:
    return [
        flow
        for flows in by_subject.values()
        if reference.selects(policy, _subject(flows[0], way))
        for flow in flows
    ]


def _matches(rule: Rule, flow: Flow, way: Direction) -> bool:
    peer = flow.source if way is Direction.INGRESS else flow.destination
    return reference.matches(rule, peer, flow.destination, flow.service)


def _leaves_a_trace(rule: Rule, way: Direction, protocols: frozenset[Protocol]) -> bool:
    """Return whether what the rule is about would be in the log: UDP is, of clients of its nodes alone."""
    logged = protocols & _LOGGED[way]
    return rule.peers != () and bool(
        logged if rule.ports is None else logged & {one.protocol for one in rule.ports}
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"
