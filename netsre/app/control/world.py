"""What runs are judged by and carried out with: the store, the specs, the sight, the switch and the clock."""

from collections.abc import Mapping
from dataclasses import dataclass

from netsre import conventions
from netsre.alerting.describe import Links
from netsre.app import kill_switch
from netsre.app.control.snapshot import Sight
from netsre.app.control.switch import SwitchWatch
from netsre.clock import Clock, Timestamp
from netsre.model.alert_rules import AlertRule
from netsre.model.alerts import Alert, AlertState
from netsre.model.levels import SLO
from netsre.model.runbooks import Runbook
from netsre.model.samples import Scrape
from netsre.runbook import decide, standing
from netsre.runbook.actions.contract import Action
from netsre.runbook.decide import Circumstances, KillSwitch
from netsre.runbook.progress import Present
from netsre.store.database import Store, Transaction


@dataclass(frozen=True, slots=True)
class World:
    """Everything that automation knows and uses."""

    store: Store
    runbooks: Mapping[str, Runbook]
    actions: Mapping[str, Action]
    sight: Sight
    slos: Mapping[str, SLO]
    rules: tuple[AlertRule, ...]
    switch: SwitchWatch
    interval: int
    """Milliseconds between two evaluations."""
    clock: Clock
    links: Links

    def kill_switch(self) -> KillSwitch:
        """Return what the gates need to know of the kill switch, read now."""
        switch = self.switch.read()
        if not switch.on:
            return KillSwitch.OFF
        return KillSwitch.UNREADABLE if switch.reason == kill_switch.UNREADABLE else KillSwitch.ON

    def circumstances(self, transaction: Transaction, alert: Alert, cooldown: int = 0) -> Circumstances:
        """Return what the gates judge an alert by, now; a cooldown may be longer than any on file."""
        now = self.clock.now()
        known = transaction.alerts.find(alert.fingerprint, alert.fired_at)
        newest = self._newest(alert)
        back = max(decide.lookback(self.runbooks.values()), cooldown)
        return Circumstances(
            now=now,
            history=tuple(transaction.runs.since(Timestamp(now - back))),
            kill_switch=self.kill_switch(),
            # One that is not on record yet is judged as it would come.
            firing=(known or alert).state is AlertState.FIRING,
            reading_age=None if newest is None else now - newest.at,
            interval=self.interval,
            other_node=newest is None and bool(self.sight.scrapes()),
        )

    def present(self, alert: Alert) -> Present:
        """Return what a step of a run is judged by, now."""
        newest = self._newest(alert)
        readings = self.readings(alert)
        stands = standing.still(alert, self.rules, self.sight.evaluations(), readings)
        return Present(alert, stands, None if newest is None else newest.at)

    def readings(self, alert: Alert) -> tuple[Scrape, ...]:
        """Return the readings of the node that an alert is about, oldest first."""
        node = dict(alert.labels).get(conventions.NODE)
        return tuple(scrape for scrape in self.sight.scrapes() if node in (None, scrape.node))

    def _newest(self, alert: Alert) -> Scrape | None:
        readings = self.readings(alert)
        return readings[-1] if readings else None
