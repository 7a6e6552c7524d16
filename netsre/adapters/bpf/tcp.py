"""The reader of the TCP probe. Not thread safe; the agent calls it under one lock."""

from functools import partial

from netsre.adapters.bpf.counters import CounterProbe
from netsre.adapters.bpf.session import Session
from netsre.datapath import tcp
from netsre.datapath.tcp import TcpKind


class TcpProbe(CounterProbe[TcpKind]):
    """What the TCP probe has counted since it was attached."""

    def __init__(self, session: Session) -> None:
        """Read through an open session."""
        words = tcp.reset_words(session.enums[tcp.RESET_ENUM])
        super().__init__(
            session.maps["tcp_counts"],
            session.maps["tcp_overflow"],
            partial(tcp.counter_of, words=words),
            partial(tcp.counter_of_slot, words=words),
        )
