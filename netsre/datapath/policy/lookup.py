"""What the entries decide, looked up as a program in the kernel does it, and as slowly as it pleases."""

from netsre.datapath.policy import prefixes, reference
from netsre.datapath.policy.ends import End, Service
from netsre.datapath.policy.identities import ANY, Networks, Whose
from netsre.datapath.policy.reference import Answer, Decision, Reason, Verdict
from netsre.datapath.policy.resolve import Resolved
from netsre.datapath.policy.tables import Table, end
from netsre.datapath.policy.zones import NOWHERE, Zone, network
from netsre.model.policies.values import Direction, Kind

_FREE = Answer(Decision.ALLOW, Reason.NO_POLICY)
_ITSELF = Answer(Decision.ALLOW, Reason.ITSELF)


class Lookup:
    """Answers from entries alone."""

    def __init__(self, resolved: Resolved) -> None:
        """Take what was resolved."""
        self._resolved = resolved
        self._networks = Networks(resolved.addresses)
        self._zones: dict[int, tuple[Table, Networks]] = {}

    def verdict(self, source: End, destination: End, service: Service) -> Verdict:
        """Return what the entries decide about one connection."""
        if source.is_same(destination):
            return reference.joined(_ITSELF, _ITSELF)
        return reference.joined(
            self._answer(source, destination, service, Direction.EGRESS),
            self._answer(destination, source, service, Direction.INGRESS),
        )

    def whose(self, end: End) -> Whose | None:
        """Return whose an address is; None without one."""
        if end.address is None:
            return None
        if end.endpoint is not None and end.kind is Kind.ENDPOINT:
            number = self._resolved.identities[end.endpoint.full_name]
            return Whose(number, number, outside=False)
        network = self._networks.around(end.address)
        return self._resolved.addresses[network] if network is not None else None

    def _answer(self, subject: End, peer: End, service: Service, way: Direction) -> Answer:
        tables = (
            self._resolved.tables.get(subject.endpoint.full_name) if subject.endpoint is not None else None
        )
        return _FREE if tables is None else answer(tables[way], *self._place(tables[way], peer), service)

    def _place(self, table: Table, end: End) -> tuple[int, int]:
        """Return whose an address is, and its zone; every packet has one."""
        whose, zones = self.whose(end), {network(one): zone for one, zone in table.zones}
        if end.address is None or whose is None:
            return ANY, NOWHERE
        _, known = self._zones.setdefault(id(table), (table, Networks(zones)))
        around = known.around(end.address)
        zone = zones[around] if around is not None else Zone(NOWHERE, NOWHERE)
        return whose.asked, zone.outside if whose.outside else zone.inside


def answer(table: Table, identity: int, zone: int, service: Service) -> Answer:
    """Return what a table says about an end and a service: at most three matches of the longest prefix."""
    asked = prefixes.of_service(service)
    for one in (end(identity, zone), end(ANY, zone), ANY):
        if one in table.entries:
            matching = [prefix for prefix in table.entries[one] if prefix.covers(asked)]
            if matching:
                return table.entries[one][max(matching)]
    return table.otherwise
