"""What the entries decide, looked up as a program in the kernel does it, and as slowly as it pleases."""

from netsre.datapath.policy import prefixes, reference
from netsre.datapath.policy.ends import End, Service
from netsre.datapath.policy.identities import ANY, Networks
from netsre.datapath.policy.reference import Answer, Decision, Reason, Verdict
from netsre.datapath.policy.resolve import Resolved, Table
from netsre.model.policies.values import Direction

_FREE = Answer(Decision.ALLOW, Reason.NO_POLICY)
_ITSELF = Answer(Decision.ALLOW, Reason.ITSELF)


class Lookup:
    """Answers from entries alone."""

    def __init__(self, resolved: Resolved) -> None:
        """Take what was resolved."""
        self._resolved = resolved
        self._networks = Networks(resolved.addresses)

    def verdict(self, source: End, destination: End, service: Service) -> Verdict:
        """Return what the entries decide about one connection."""
        if source.is_same(destination):
            return reference.joined(_ITSELF, _ITSELF)
        return reference.joined(
            self._answer(source, destination, service, Direction.EGRESS),
            self._answer(destination, source, service, Direction.INGRESS),
        )

    def _answer(self, subject: End, peer: End, service: Service, way: Direction) -> Answer:
        tables = (
            self._resolved.tables.get(subject.endpoint.full_name) if subject.endpoint is not None else None
        )
        return _FREE if tables is None else answer(tables[way], self._number(peer), service)

    def _number(self, end: End) -> int:
        """Return the number of an address; every packet has one."""
        network = self._networks.around(end.address) if end.address is not None else None
        return self._resolved.addresses[network] if network is not None else ANY


def answer(table: Table, number: int, service: Service) -> Answer:
    """Return what a table says about an end and a service: at most two matches of the longest prefix."""
    asked = prefixes.of_service(service)
    for one in (number, ANY):
        if one in table.entries:
            matching = [prefix for prefix in table.entries[one] if prefix.covers(asked)]
            return table.entries[one][max(matching)] if matching else table.otherwise
    return table.otherwise
