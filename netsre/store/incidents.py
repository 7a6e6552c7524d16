"""Incidents, and the alerts that belong to each."""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from sqlalchemy import (
    Connection,
    Select,
    Text,
    and_,
    bindparam,
    func,
    insert,
    select,
    tuple_,
    type_coerce,
    update,
)

from netsre import clock, conventions
from netsre.clock import Timestamp
from netsre.model.alerts import Alert
from netsre.model.documents import canonical
from netsre.model.incidents import Incident
from netsre.store import schema
from netsre.store.alerts import FIRING, Alerts
from netsre.store.runs import GOING_ON
from netsre.store.statements import portions

REOPENS: Final = 5 * clock.MINUTE
"""For how long after its end an incident goes on when another alert of its node begins."""
_SHORTEST_NAME: Final = 4


_member, _alert, _run = schema.incident_alert, schema.alert, schema.run
_same: Final = and_(_member.c.fingerprint == _alert.c.fingerprint, _member.c.fired_at == _alert.c.fired_at)
_OPEN: Final = select(schema.incident.c.id).where(schema.incident.c.closed_at.is_(None))
_HOMELESS: Final = (
    select(_alert.c.fingerprint, _alert.c.fired_at)
    .outerjoin_from(_alert, _member, _same)
    .where(_alert.c.state == FIRING, _member.c.incident.is_(None))
)
_OF_FIRING: Final = (
    select(_member.c.incident).join_from(_alert, _member, _same).where(_alert.c.state == FIRING).distinct()
)
_OF_RUNS: Final = (
    select(_member.c.incident)
    .join_from(
        _run, _member, and_(_member.c.fingerprint == _run.c.alert, _member.c.fired_at == _run.c.fired_at)
    )
    .where(_run.c.state.in_(GOING_ON))
    .distinct()
)
# In canonical JSON there is one way to write it.
_IS_PAGE: Final = type_coerce(_alert.c.labels, Text).contains(
    canonical({"severity": conventions.SEVERITY_PAGE})[1:-1]
)
_OF_INCIDENT: Final = (
    select(_member.c.fingerprint, _member.c.fired_at)
    .join_from(_member, _alert, _same)
    .where(_member.c.incident == bindparam("name"))
    .limit(bindparam("most"))
)
_BY_TIME: Final = (_member.c.fired_at, _member.c.fingerprint)
_IS_FIRING: Final = _alert.c.state == FIRING
_PAGES_FIRST: Final = _OF_INCIDENT.order_by(_IS_PAGE.desc(), _IS_FIRING.desc(), *_BY_TIME)
_FIRING_FIRST: Final = _OF_INCIDENT.order_by(_IS_FIRING.desc(), _IS_PAGE.desc(), *_BY_TIME)
_OLDEST_FIRST: Final = _OF_INCIDENT.order_by(*_BY_TIME)
_HOUSED: Final = select(_member.c.fingerprint, _member.c.fired_at).where(
    tuple_(_member.c.fingerprint, _member.c.fired_at).in_(bindparam("keys", expanding=True))
)
_ATTACH: Final = insert(_member)
_OPEN_ON: Final = select(schema.incident).where(
    schema.incident.c.closed_at.is_(None), schema.incident.c.node.in_(bindparam("nodes", expanding=True))
)
# The last of each node comes last.
_CLOSED_ON: Final = (
    select(schema.incident)
    .where(
        schema.incident.c.node.in_(bindparam("nodes", expanding=True)),
        schema.incident.c.closed_at.between(bindparam("start"), bindparam("end")),
    )
    .order_by(schema.incident.c.closed_at)
)
_NAMES: Final = select(schema.incident.c.id).where(
    schema.incident.c.id >= bindparam("first"), schema.incident.c.id < bindparam("behind")
)
_BEGIN: Final = insert(schema.incident)
_CLOSE: Final = (
    update(schema.incident)
    .where(schema.incident.c.id == bindparam("name"))
    .values(closed_at=bindparam("now"))
)


class Incidents:
    """Incidents, and the alerts that belong to each, inside a transaction of the caller."""

    def __init__(self, connection: Connection) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def attach(self, alerts: Iterable[Alert], now: Timestamp) -> list[str]:
        """Give each alert to the incident of its node: the open one, one that has just closed, or a new one.

        An alert that has one already keeps it. Returns the incidents that were opened by it.
        """
        by_node: dict[str, list[Alert]] = {}
        for alert in self._homeless(list(alerts)):
            by_node.setdefault(node_of(alert), []).append(alert)
        homes = self._open(by_node)
        opened = self._reopen({node for node in by_node if node not in homes}, now)
        opened |= self._begin(
            {
                # Somebody else's clock may be ahead of ours.
                node: Timestamp(min(now, *(alert.fired_at for alert in by_node[node])))
                for node in sorted(by_node.keys() - homes.keys() - opened.keys())
            }
        )
        homes |= opened
        rows = [
            {"fingerprint": alert.fingerprint, "fired_at": alert.fired_at, "incident": homes[node]}
            for node, members in by_node.items()
            for alert in members
        ]
        if rows:
            self._connection.execute(_ATTACH, rows)
        return sorted(opened.values())

    def homeless(self) -> list[Alert]:
        """Return the firing alerts that belong to no incident: those of before there were any."""
        rows = self._connection.execute(_HOMELESS)
        return self._alerts((row.fingerprint, row.fired_at) for row in rows)

    def close(self, now: Timestamp) -> list[str]:
        """Close every incident of which no alert fires and no run goes on; return their names."""
        open_ones = [name for (name,) in self._connection.execute(_OPEN)]
        still = {*self._of_firing(), *self._of_runs()} if open_ones else set()
        over = [name for name in open_ones if name not in still]
        if over:
            self._connection.execute(_CLOSE, [{"name": name, "now": now} for name in over])
        return over

    def find(self, incident_id: str) -> Incident | None:
        """Return one incident."""
        table = schema.incident
        row = self._connection.execute(select(table).where(table.c.id == incident_id)).first()
        return None if row is None else Incident(*row)

    def of(self, alert: Alert) -> Incident | None:
        """Return the incident that a firing of an alert belongs to."""
        member = schema.incident_alert
        query = select(member.c.incident).where(
            member.c.fingerprint == alert.fingerprint, member.c.fired_at == alert.fired_at
        )
        name = self._connection.execute(query).scalar_one_or_none()
        return None if name is None else self.find(name)

    def newest(self, limit: int) -> list[Incident]:
        """Return the latest incidents, newest first."""
        table = schema.incident
        query = select(table).order_by(table.c.opened_at.desc(), table.c.id).limit(limit)
        return [Incident(*row) for row in self._connection.execute(query)]

    def alerts(self, incident_id: str, limit: int) -> list[Alert]:
        """Return the alerts of an incident, the first one first; of more than `limit` those that matter.

        That are pages, what fires and what began it: a third of each at least, where there are so many.
        """
        oldest = self._keys(_OLDEST_FIRST, incident_id, limit)
        if len(oldest) < limit:
            return self._alerts(oldest)  # which is all of them
        share = -(-limit // 3)
        found = [
            key for query in (_PAGES_FIRST, _FIRING_FIRST) for key in self._keys(query, incident_id, share)
        ]
        kept = list(dict.fromkeys([*found, *oldest]))[:limit]
        return self._alerts(sorted(kept, key=lambda key: (key[1], key[0])))

    def _keys(self, query: Select[tuple[str, int]], incident_id: str, most: int) -> list[tuple[str, int]]:
        rows = self._connection.execute(query, {"name": incident_id, "most": most})
        return [(row.fingerprint, row.fired_at) for row in rows]

    def count(self, incident_id: str) -> int:
        """Return how many alerts an incident has."""
        member = schema.incident_alert
        query = select(func.count()).where(member.c.incident == incident_id)
        return int(self._connection.execute(query).scalar_one())

    def _alerts(self, keys: Iterable[tuple[str, int]]) -> list[Alert]:
        alerts = Alerts(self._connection)
        found = (alerts.find(name, Timestamp(at)) for name, at in keys)
        return [alert for alert in found if alert is not None]

    def _homeless(self, alerts: Sequence[Alert]) -> list[Alert]:
        housed: set[tuple[str, int]] = set()
        for keys in portions((alert.fingerprint, alert.fired_at) for alert in alerts):
            rows = self._connection.execute(_HOUSED, {"keys": keys})
            housed |= {(row.fingerprint, row.fired_at) for row in rows}
        return [alert for alert in alerts if (alert.fingerprint, alert.fired_at) not in housed]

    def _open(self, nodes: Iterable[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for names in portions(nodes):
            found |= {row.node: row.id for row in self._connection.execute(_OPEN_ON, {"nodes": names})}
        return found

    def _reopen(self, nodes: Iterable[str], now: Timestamp) -> dict[str, str]:
        """Open what closed last on each of these nodes, if that was a moment ago."""
        table = schema.incident
        # In both directions: a clock that was set back a little makes nothing new of what goes on.
        recent = {"start": now - REOPENS, "end": now + REOPENS}
        found: dict[str, str] = {}
        for names in portions(nodes):
            rows = self._connection.execute(_CLOSED_ON, {"nodes": names, **recent})
            found |= {row.node: row.id for row in rows}
        for names in portions(found.values()):
            self._connection.execute(update(table).where(table.c.id.in_(names)).values(closed_at=None))
        return found

    def _begin(self, nodes: Mapping[str, Timestamp]) -> dict[str, str]:
        """Open an incident on each of these nodes, which began at a time; return its name by node."""
        names: dict[str, str] = {}
        taken: dict[str, set[str]] = {}
        for node, at in nodes.items():
            day = clock.rfc3339(at)[:10].replace("-", "")
            if day not in taken:
                taken[day] = self._names(day)
            names[node] = _name(node, at, day, taken[day])
            taken[day].add(names[node])
        rows = [
            {"id": names[node], "node": node, "opened_at": at, "closed_at": None}
            for node, at in nodes.items()
        ]
        if rows:
            self._connection.execute(_BEGIN, rows)
        return names

    def _names(self, day: str) -> set[str]:
        # The sign after a dash is a dot.
        rows = self._connection.execute(_NAMES, {"first": f"{day}-", "behind": f"{day}."})
        return {row.id for row in rows}

    def _of_firing(self) -> list[str]:
        return self._named(_OF_FIRING)

    def _of_runs(self) -> list[str]:
        return self._named(_OF_RUNS)

    def _named(self, query: Select[tuple[str]]) -> list[str]:
        return [row.incident for row in self._connection.execute(query)]


def _name(node: str, at: Timestamp, day: str, taken: Collection[str]) -> str:
    """Return `20261123-1c9f`: the day, and as much of a hash as nobody else has that day."""
    digest = hashlib.sha256(f"{node}\n{at}".encode()).hexdigest()
    names = (f"{day}-{digest[:length]}" for length in range(_SHORTEST_NAME, len(digest) + 1))
    return next(name for name in names if name not in taken)


def node_of(alert: Alert) -> str:
    """Return what an incident is about: the node, or without one `~` and the name of the alert.

    The sign says that this is no one real thing.
    """
    pairs = dict(alert.labels)
    return pairs.get(conventions.NODE) or f"~{pairs['alertname']}"
