"""Suggested policies as YAML for people: every rule under the flows that it explains."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final

from netsre.datapath.policy.groups import Group
from netsre.datapath.policy.observed import DELIVERED, Observed, Tally, together
from netsre.datapath.policy.suggest import Explained, SuggestedRule, Suggestion
from netsre.model.policies import network_policy
from netsre.model.policies.values import (
    METADATA_NAME,
    NETWORK_POLICY,
    Direction,
    Operator,
    Ports,
    Requirement,
)

_PLAIN: Final = re.compile(r"[A-Za-z][-A-Za-z0-9_./]*")
_WORDS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null"})
"""What YAML takes for something else than a text."""
_MOST: Final = 20
"""Flows that a comment lists."""
_WAYS: Final = {Direction.INGRESS: "from", Direction.EGRESS: "to"}


def files(suggestions: Iterable[Suggestion], observed: Observed) -> Mapping[str, bytes]:
    """Return one file for each namespace, by its name."""
    return {
        f"{namespace}.yaml": text([*some], observed).encode()
        for namespace, some in groupby(suggestions, key=lambda one: one.group.namespace)
    }


def text(suggestions: Sequence[Suggestion], observed: Observed) -> str:
    """Return all documents as one text."""
    lines = [*_head(observed)]
    for one in suggestions:
        lines += ["---", *_document(one)]
    return "\n".join(lines) + "\n"


def _head(observed: Observed) -> Iterator[str]:
    spans = observed.spans.values()
    if not spans:
        yield "# Suggested by netsre from a flow log without a line."
        return
    first, last = min(span[0] for span in spans), max(span[1] for span in spans)
    yield f"# Suggested by netsre from flows of {_second(first)} to {_second(last)}."
    if observed.sampling > 1:
        yield f"# A line of the log stands for up to {observed.sampling} delivered attempts: what is rare may"
        yield "# be missing here."
    if observed.without_address:
        yield f"# Left out: {observed.without_address} attempts with an end of no known address."


def _document(one: Suggestion) -> Iterator[str]:
    shown = ", ".join(one.group.members[:_MOST])
    more = f" and {len(one.group.members) - _MOST} more" if len(one.group.members) > _MOST else ""
    yield f"# {one.group}: {shown}{more}"
    if not any(one.rules.values()):
        yield "# Nothing was delivered to or from it in the log: this policy allows nothing."
    yield f"apiVersion: {network_policy.API_VERSION}"
    yield f"kind: {NETWORK_POLICY}"
    yield f"metadata: {{name: {_scalar(one.name)}, namespace: {_scalar(one.group.namespace)}}}"
    yield "spec:"
    yield f"  podSelector: {_selector(one.group.selector)}"
    yield "  policyTypes: [Ingress, Egress]"
    for direction in Direction:
        if one.rules[direction]:
            yield f"  {direction}:"
        for rule in one.rules[direction]:
            yield from _rule(rule, direction, one.group)
        yield from _refused(one.refused[direction], direction)


def _rule(rule: SuggestedRule, direction: Direction, subject: Group) -> Iterator[str]:
    key = _WAYS[direction]
    for explained in rule.explains[:_MOST]:
        tally = explained.tallies[DELIVERED]
        yield f"    # {_shown(explained, key)}: {_delivered(tally)}"
    if len(rule.explains) > _MOST:
        rest = together(one.tallies[DELIVERED] for one in rule.explains[_MOST:])
        yield f"    # and {len(rule.explains) - _MOST} more: {_delivered(rest)}"
    yield f"    - {key}:"
    for group in rule.groups:
        yield from _peer(group, subject)
    for network, excepted in rule.networks:
        holes = ", ".join(_scalar(str(one)) for one in excepted)
        yield f"        - ipBlock: {{cidr: {_scalar(str(network))}{f', except: [{holes}]' if holes else ''}}}"
    yield f"      ports: [{', '.join(map(_ports, rule.ports))}]"


def _refused(refused: Sequence[Explained], direction: Direction) -> Iterator[str]:
    if refused:
        yield f"  # Not allowed ({direction}), because nothing of it was delivered:"
    for one in refused[:_MOST]:
        counts = ", ".join(f"{tally.count} {outcome}" for outcome, tally in one.tallies.items())
        last = together(one.tallies.values()).last
        yield f"  #   {_shown(one, _WAYS[direction])}: {counts}, last {_second(last)}"
    if len(refused) > _MOST:
        counts = str(sum(tally.count for one in refused[_MOST:] for tally in one.tallies.values()))
        yield f"  #   and {len(refused) - _MOST} more: {counts} attempts"


def _shown(explained: Explained, word: str) -> str:
    peer, service = explained.peer, explained.service
    # As people write an address: its prefix says nothing.
    single = not isinstance(peer, Group) and peer.num_addresses == 1
    whom = str(peer).partition("/")[0] if single else str(peer)
    return f"{word} {whom}, {service.port}/{service.protocol}"


def _delivered(tally: Tally) -> str:
    return f"{tally.count} delivered, {_second(tally.first)} to {_second(tally.last)}"


def _second(time: str) -> str:
    """Return a time of the log without the parts of its second."""
    return f"{time.partition('.')[0]}Z"


def _peer(group: Group, subject: Group) -> Iterator[str]:
    pods = f"podSelector: {_selector(group.selector)}"
    if group.namespace == subject.namespace:
        yield f"        - {pods}"
    else:
        labels = f"{{{METADATA_NAME}: {_scalar(group.namespace)}}}"
        yield f"        - namespaceSelector: {{matchLabels: {labels}}}"
        yield f"          {pods}"


def _selector(requirements: Iterable[Requirement]) -> str:
    known = [*requirements]
    equal = [f"{_scalar(one.key)}: {_scalar(one.values[0])}" for one in known if one.operator is Operator.IN]
    other = [
        f"{{key: {_scalar(one.key)}, operator: {one.operator}}}"
        for one in known
        if one.operator is not Operator.IN
    ]
    parts = [f"matchLabels: {{{', '.join(equal)}}}"] if equal else []
    parts += [f"matchExpressions: [{', '.join(other)}]"] if other else []
    return f"{{{', '.join(parts)}}}"


def _ports(ports: Ports) -> str:
    end = f", endPort: {ports.last}" if ports.last > ports.first else ""
    return f"{{protocol: {ports.protocol}, port: {ports.first}{end}}}"


def _scalar(value: str) -> str:
    """Return a text as YAML that means this text, to every reader of YAML."""
    return value if _PLAIN.fullmatch(value) and value.lower() not in _WORDS else json.dumps(value)
