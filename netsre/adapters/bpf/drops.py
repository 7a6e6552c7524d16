"""The reader of the drops probe. Not thread safe; the agent calls it under one lock."""

from functools import partial

from netsre.adapters.bpf.counters import CounterProbe
from netsre.adapters.bpf.session import Session
from netsre.datapath import drops
from netsre.datapath.drops import DropKind


class DropsProbe(CounterProbe[DropKind]):
    """What the drops probe has counted since it was attached."""

    def __init__(self, session: Session) -> None:
        """Read through an open session."""
        words = drops.words_of(session.enums)
        super().__init__(
            session.maps["drop_counts"],
            session.maps["drop_overflow"],
            partial(drops.counter_of, words=words),
            partial(drops.counter_of_slot, words=words),
        )
