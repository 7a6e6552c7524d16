"""How often things happened, ever: counted as they happen, so that nobody has to count rows later."""

from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import Connection, bindparam, select

from netsre.store import schema
from netsre.store.statements import increase

Kind = Literal["alert", "run", "received", "drill"]
ALERT: Final[Kind] = "alert"
RUN: Final[Kind] = "run"
RECEIVED: Final[Kind] = "received"
DRILL: Final[Kind] = "drill"


_READ: Final = select(
    schema.tally.c.name, schema.tally.c.state, schema.tally.c.reason, schema.tally.c.count
).where(schema.tally.c.kind == bindparam("of"))


@dataclass(frozen=True, slots=True)
class Tally:
    """What happened, and how often."""

    name: str
    """Of the alert or the runbook; empty for what was received."""
    state: str
    """The state that was reached."""
    reason: str
    """Why; empty for alerts."""
    count: int


def count(
    connection: Connection, kind: Kind, name: str, state: str, reason: str = "", *, by: int = 1
) -> None:
    """Count one more, or several, in the transaction in which it happened."""
    row = {"kind": kind, "name": name, "state": state, "reason": reason, "count": by}
    connection.execute(increase(connection.dialect, schema.tally, "count"), [row])


def read(connection: Connection, kind: Kind) -> list[Tally]:
    """Return every tally of a kind."""
    return [Tally(*row) for row in connection.execute(_READ, {"of": kind})]
