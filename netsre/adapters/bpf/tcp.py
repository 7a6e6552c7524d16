"""The reader of the TCP probe. Not thread safe; the agent calls it under one lock."""

from collections.abc import Iterable, Iterator

from netsre.adapters.bpf.counters import CounterTable, MapUsage
from netsre.adapters.bpf.session import Session
from netsre.datapath import tcp
from netsre.datapath.attribution import Client, Counted
from netsre.datapath.tcp import TcpKind


class TcpProbe:
    """What the TCP probe has counted since it was attached."""

    def __init__(self, session: Session) -> None:
        """Read through an open session."""
        self._table = CounterTable(session.maps["tcp_counts"], session.maps["tcp_overflow"], tcp.client_of)
        self._words = tcp.reset_words(session.enums[tcp.RESET_ENUM])

    def counts(self) -> list[Counted[TcpKind]]:
        """Return every counter, those without a namespace too."""
        return [*self.named(), *tcp.decode_overflow(self._table.overflowed(), self._words)]

    def named(self) -> list[Counted[TcpKind]]:
        """Return the counters of namespaces: what is nobody's does not need to be looked at as often."""
        return list(tcp.decode_counts(self._table.entries(), self._words))

    def retire(self, clients: Iterable[Client]) -> None:
        """Forget the counters of clients that are gone."""
        self._table.retire(clients)

    def usage(self) -> Iterator[MapUsage]:
        """Yield how full the table was when it was last read."""
        return self._table.usage()
