"""What runs are judged by and carried out with: the store, the specs, the sight, the switch and the clock."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from netsre import conventions
from netsre.alerting.describe import Links
from netsre.alerting.routing import ClientMute
from netsre.app import kill_switch
from netsre.app.control import holding
from netsre.app.control.reach import NOTHING, Outside, Reach
from netsre.app.control.snapshot import Sight
from netsre.app.control.switch import SwitchWatch
from netsre.app.control.vigil import Vigil
from netsre.clock import Clock, Timestamp
from netsre.model.alert_rules import AlertRule
from netsre.model.alerts import Alert, AlertState
from netsre.model.deeds import Deed
from netsre.model.directory import ALONE, Directory
from netsre.model.holds import USUAL, Bounds
from netsre.model.levels import SLO
from netsre.model.maintenance import Maintenance
from netsre.model.runbooks import Run, Runbook
from netsre.model.samples import Scrape
from netsre.runbook import decide, standing
from netsre.runbook.actions.contract import Action, Subject
from netsre.runbook.decide import Circumstances, Holds, KillSwitch, Past
from netsre.runbook.plan import Plan
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
    node: str
    """The node that is read and acted upon."""
    interval: int
    """Milliseconds between two evaluations."""
    clock: Clock
    links: Links
    bounds: Bounds = USUAL
    """What all runbooks share."""
    calendars: tuple[Maintenance, ...] = ()
    directory: Directory = ALONE
    """Everybody who may decide about runs."""
    vigil: Vigil = field(default_factory=Vigil)
    outside: Outside = NOTHING
    """What others than the node do for runs."""
    noisy: tuple[ClientMute, ...] = ()
    """Known noisy clients, whose tickets are muted."""

    def kill_switch(self) -> KillSwitch:
        """Return what the gates need to know of the kill switch, read now."""
        switch = self.switch.read()
        if not switch.on:
            return KillSwitch.OFF
        return KillSwitch.UNREADABLE if switch.reason == kill_switch.UNREADABLE else KillSwitch.ON

    def circumstances(
        self, transaction: Transaction, alert: Alert, plan: Plan | None = None
    ) -> Circumstances:
        """Return what the gates judge an alert by, now; the limits of a plan may be others than on file."""
        now = self.clock.now()
        known = transaction.alerts.find(alert.fingerprint, alert.fired_at)
        newest = self._newest(alert)
        own = [] if plan is None else [plan.limits]
        back = decide.lookback([*(book.limits for book in self.runbooks.values()), *own])
        return Circumstances(
            now=now,
            history=tuple(transaction.runs.counted(Timestamp(now - back))),
            kill_switch=self.kill_switch(),
            # One that is not on record yet is judged as it would come.
            firing=(known or alert).state is AlertState.FIRING,
            reading_age=None if newest is None else now - newest.at,
            interval=self.interval,
            node=self.node,
            holds=self._holds(transaction, now, plan),
        )

    @property
    def reach(self) -> Reach:
        """Return who does what runs decide upon."""
        return Reach(self.sight.node, self.outside)

    def subject(self, run: str, runbook: str, alert: Alert, target: str) -> Subject:
        """Return what actions are told of a run of a runbook, whose file may be gone."""
        book = self.runbooks.get(runbook)
        proof = None if book is None or book.verify is None else self.slos.get(book.verify.slo)
        return Subject(run, alert, target, proof)

    def past(self, transaction: Transaction, effect: Deed | None) -> Past:
        """Return what was chosen before for the field that an effect sets."""
        now = self.clock.now()
        return holding.past(transaction, self.bounds, now) if effect is not None else Past()

    def _holds(self, transaction: Transaction, now: Timestamp, plan: Plan | None) -> Holds:
        found = holding.holds(transaction, self.runbooks, self.bounds, now, plan)
        return replace(found, calendars=self.calendars)

    def present(self, alert: Alert) -> Present:
        """Return what a step of a run is judged by, now."""
        newest = self._newest(alert)
        readings = self.readings(alert)
        stands = standing.still(alert, self.rules, self.sight.evaluations(), readings)
        read_at = None if newest is None else newest.at
        return Present(alert, stands, read_at, self.interval, directory=self.directory)

    def met(self, run: Run, alert: Alert) -> Present:
        """Return what a step of a run is judged by when whoever acts looks at it now."""
        watched = self.vigil.look(run.id, self.clock.now())
        return replace(self.present(alert), watched=watched)

    def readings(self, alert: Alert) -> tuple[Scrape, ...]:
        """Return the readings of the node that an alert is about, oldest first."""
        node = dict(alert.labels).get(conventions.NODE)
        return tuple(scrape for scrape in self.sight.scrapes() if node in (None, scrape.node))

    def _newest(self, alert: Alert) -> Scrape | None:
        readings = self.readings(alert)
        return readings[-1] if readings else None
