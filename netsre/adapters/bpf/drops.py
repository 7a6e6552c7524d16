"""The reader of the drops probe. Not thread safe; the agent calls it under one lock."""

from collections.abc import Iterable, Iterator

from netsre.adapters.bpf.counters import CounterTable, MapUsage
from netsre.adapters.bpf.session import Session
from netsre.datapath import drops
from netsre.datapath.attribution import Client, Counted
from netsre.datapath.drops import DropKind


class DropsProbe:
    """What the drops probe has counted since it was attached."""

    def __init__(self, session: Session) -> None:
        """Read through an open session."""
        self._table = CounterTable(
            session.maps["drop_counts"], session.maps["drop_overflow"], drops.client_of
        )
        self._words = drops.reason_words(
            session.enums[drops.REASON_ENUM], session.enums[drops.SUBSYSTEM_ENUM]
        )

    def counts(self) -> list[Counted[DropKind]]:
        """Return every counter, those without a namespace too."""
        return [*self.named(), *drops.decode_overflow(self._table.overflowed(), self._words)]

    def named(self) -> list[Counted[DropKind]]:
        """Return the counters of namespaces: what is nobody's does not need to be looked at as often."""
        return list(drops.decode_counts(self._table.entries(), self._words))

    def retire(self, clients: Iterable[Client]) -> None:
        """Forget the counters of clients that are gone."""
        self._table.retire(clients)

    def usage(self) -> Iterator[MapUsage]:
        """Yield how full the table was when it was last read."""
        return self._table.usage()
