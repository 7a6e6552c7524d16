"""One incident on record, from the fault to the end: what the drill of a flood leaves in a store."""

from dataclasses import dataclass, replace
from decimal import Decimal

from netsre import clock
from netsre.app.control import incidents
from netsre.clock import Timestamp
from netsre.gameday import journal as drill_lines
from netsre.model import alerts
from netsre.model.alerts import Alert, AlertSource, AlertState
from netsre.model.documents import Document
from netsre.model.effects import Block, Effect, Flush, Limit
from netsre.model.gamedays import Drill, DrillState
from netsre.model.runbooks import Limits, Run, RunState, Verification
from netsre.model.samples import labels
from netsre.runbook import journal
from netsre.runbook.decide import Answer, Gate, Verdict
from netsre.runbook.journal import Line
from netsre.runbook.plan import Kind, Plan, Planned
from netsre.runbook.verify import Outcome, Sample
from netsre.store.database import Store, Transaction
from tests.unit import burning

HOSTILE = "<script>document.title='owned'</script>"
NETNS = "netsre-ns-4711-srv-b"
BLOCK = Block(NETNS, "eth0", "10.77.0.12", 10 * clock.MINUTE)
FLUSH = Flush(NETNS, "10.77.0.12")
LIMIT = Limit(65_536, 131_072, clock.HOUR)
_STEPS: tuple[tuple[str, Effect], ...] = (
    ("datapath.block_source", BLOCK),
    ("conntrack.flush", FLUSH),
    ("conntrack.tune", LIMIT),
)


def at(seconds: float) -> Timestamp:
    """Return a moment so many seconds after the alert."""
    return Timestamp(burning.T0 + int(seconds * clock.SECOND))


def alert(name: str = "ConntrackUtilization", severity: str = "page", netns: str = NETNS) -> Alert:
    """Return the alert about the table."""
    pairs = {"alertname": name, "severity": severity, "service": "node-conntrack", "node": "worker-17"}
    identity = labels(pairs | {"netns": netns})
    told = {
        "summary": f"Share of the connection tracking table in use: 93%, above 80% (netns={netns})",
        "description": "When the table is full, the kernel drops the first packet of every new connection.",
        "runbook_url": "http://127.0.0.1:8600/runbooks/conntrack-exhaustion",
        "dashboard_url": "javascript:alert(1)",
    }
    name_of = alerts.fingerprint(identity)
    source = AlertSource.CONDITION
    return Alert(name_of, identity, told, AlertState.FIRING, at(0), None, at(0), None, source)


@dataclass
class Story:
    """Writes what happens, one thing after the other."""

    store: Store
    about: Alert

    def begin(self) -> None:
        """Let the fault begin and its alert fire."""
        drill = Drill(
            "d1", "conntrack-flood", "udp", "schedule", None, DrillState.WATCHING, "", at(-4), None, {}
        )
        with self.store.write() as transaction:
            transaction.drills.add(drill)
            began = drill_lines.injected(at(-3.2))
            transaction.drills.write(drill.id, at(-3.1), began.kind, began.data)
            transaction.alerts.save(self.about)
            incidents.note(transaction, [self.about], at(0))

    def page(self, seconds: float) -> None:
        """Let an Alertmanager take the alert."""
        with self.store.write() as transaction:
            transaction.pages.accepted("http://127.0.0.1:9093", [self.about], at(seconds))

    def run(self, *, refused: Gate | None = None) -> Run:
        """Let the gates decide on a run."""
        state = RunState.REFUSED if refused else RunState.GATED
        word = refused or Gate.ACCEPTED
        run = Run(
            "5f1c0a9e77ab31c0", "conntrack-exhaustion", self.about.fingerprint, self.about.fired_at,
            "conntrack/worker-17", state, word.value, at(0.2), at(0.2) if refused else None,
        )  # fmt: skip
        answers = [
            Answer(Gate.KILL_SWITCH_ON, passed=True, detail="the kill switch is off"),
            Answer(Gate.BLIND, passed=True, detail="the last reading is 0.1 s old"),
            Answer(Gate.COOLDOWN, passed=refused is None, detail="no run on this target for 15m"),
        ]
        with self.store.write() as transaction:
            transaction.runs.add(run)
            self._write(transaction, run, 0.2, Verdict(word, run.target, tuple(answers)).line())
        return run

    def act(self, run: Run) -> Run:
        """Let a run look, plan, block and flush; the limit is left out."""
        steps = [Planned(0, "evidence.collect", Kind.OBSERVE, {})]
        steps += [Planned(n, name, Kind.APPLY, {}, None, e) for n, (name, e) in enumerate(_STEPS, 1)]
        verify = Verification("conntrack-headroom", 15_000, 3, "inconclusive", 120_000)
        plan = Plan(run.runbook, "hash", Limits(900_000, 3), tuple(steps), verify, "undo")
        evidence: Document = {"top_source": "10.77.0.12", "top-sources": {"entries": 61_022, "limit": 65_536}}
        key = f"{run.id}/1"
        with self.store.write() as transaction:
            self._write(transaction, run, 0.25, journal.observing(0, "evidence.collect", {}))
            self._write(transaction, run, 0.31, journal.observed(0, "evidence.collect", evidence))
            self._write(transaction, run, 0.35, plan.line())
            self._write(transaction, run, 0.40, journal.applying(1, _STEPS[0][0], key, BLOCK))
            figures: Document = {"standing": "applied", "until": at(600.4)}
            self._write(transaction, run, 0.45, journal.applied(1, _STEPS[0][0], figures))
            self._write(transaction, run, 0.46, journal.applying(2, _STEPS[1][0], f"{run.id}/2", FLUSH))
            figures = {"standing": "ended", "until": at(0.5), "deleted": 60_911}
            self._write(transaction, run, 0.60, journal.applied(2, _STEPS[1][0], figures))
            self._write(transaction, run, 5.20, journal.skipped(3, _STEPS[2][0], "condition_false"))
            run = replace(run, state=RunState.VERIFYING)
            transaction.runs.change(run)
        return run

    def sample(self, run: Run, seconds: float, verdict: Outcome = Outcome.PASS) -> None:
        """Let a run look at its service level."""
        bad = Decimal(0 if verdict is Outcome.PASS else 2)
        word = "met" if verdict is Outcome.PASS else "missed"
        looked = Sample(verdict, bad, Decimal(3), word, at(seconds - 1))
        with self.store.write() as transaction:
            self._write(transaction, run, seconds, looked.line())

    def finish(self, run: Run, seconds: float) -> None:
        """Let a run end well, its alert end, and the drill take everything back."""
        ended = replace(self.about, state=AlertState.RESOLVED, resolved_at=at(seconds + 12))
        with self.store.write() as transaction:
            done = replace(run, state=RunState.SUCCEEDED, reason="verified", ended_at=at(seconds))
            transaction.runs.change(done)
            transaction.alerts.save(ended)
            transaction.pages.accepted("http://127.0.0.1:9093", [ended], at(seconds + 12.2))
            for entry in (drill_lines.stopped(), drill_lines.released(f"{run.id}/1")):
                transaction.drills.write("d1", at(seconds + 13), entry.kind, entry.data)
            incidents.note(transaction, [ended], at(seconds + 14))

    def _write(self, transaction: Transaction, run: Run, seconds: float, line: Line) -> None:
        transaction.runs.write(run.id, at(seconds), line.kind, line.step, line.action, line.data)


def told(store: Store, netns: str = NETNS) -> Story:
    """Return a story that begins with an alert of a namespace."""
    return Story(store, alert(netns=netns))


def whole(store: Store) -> None:
    """Write an incident from its beginning to its end."""
    story = told(store)
    story.begin()
    story.page(0.4)
    run = story.act(story.run())
    for number, verdict in enumerate((Outcome.FAIL, Outcome.PASS, Outcome.PASS, Outcome.PASS)):
        story.sample(run, 8 + 5 * number, verdict)
    story.finish(run, 23.1)
