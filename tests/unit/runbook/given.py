"""What tests of the engine share: the shipped runbook's shape, its alert, readings, and a node in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from netsre import clock
from netsre.clock import Timestamp
from netsre.model.alert_rules import AlertRule
from netsre.model.alerts import Alert, AlertSource, AlertState, fingerprint
from netsre.model.documents import Document
from netsre.model.effects import (
    Block,
    Effect,
    Flush,
    InForce,
    Limit,
    LimitFacts,
    PolicyFacts,
    Resize,
    Route,
    SourceCount,
    Stagger,
    Standing,
    StateCount,
    Table,
    Timeout,
)
from netsre.model.events import Event
from netsre.model.levels import SLO, Evaluation, Origin, Selector, ThresholdIndicator
from netsre.model.runbooks import Limits, Run, Runbook, Step, Trigger, Verification
from netsre.model.samples import Scrape, Series, labels
from netsre.runbook import conditions
from netsre.runbook.actions.contract import Happened, NodeRefused, NodeUnreachable, Subject
from tests.unit import burning

T0 = burning.T0
METRIC = "netsre_conntrack_utilization_ratio"
NETNS = "lab"
GROUP = labels({"node": "a", "netns": NETNS})
ORIGIN = Origin("given.yaml", 1)
NOISY = "10.0.0.9"
SOURCE = "${evidence.top_source}"

ALERT_LABELS = labels(
    {
        "alertname": "ConntrackUtilization",
        "severity": "page",
        "service": "node-conntrack",
        "node": "a",
        "netns": NETNS,
    }
)
ALERT = Alert(
    fingerprint(ALERT_LABELS),
    ALERT_LABELS,
    {},
    AlertState.FIRING,
    T0,
    None,
    T0,
    source=AlertSource.CONDITION,
)
RULE = AlertRule(
    name="ConntrackUtilization",
    service="node-conntrack",
    description="",
    labels=(),
    selector=Selector(METRIC),
    group_by=("node", "netns"),
    op=">",
    value=Decimal("0.8"),
    hold=0,
    clear_value=Decimal("0.7"),
    clear_hold=30_000,
    severity="page",
    runbook="conntrack-exhaustion",
    origin=ORIGIN,
)
HEADROOM = SLO(
    name="conntrack-headroom",
    service="node-conntrack",
    description="",
    labels=(),
    objective=Fraction(99, 100),
    window=30 * clock.DAY,
    group_by=("node", "netns"),
    indicator=ThresholdIndicator(Selector(METRIC), "<", Decimal("0.5")),
    policy=None,
    runbook=None,
    origin=ORIGIN,
)
VERIFY = Verification("conntrack-headroom", 15_000, 3, "inconclusive", 2 * clock.MINUTE)
BOOK = Runbook(
    name="conntrack-exhaustion",
    triggers=(Trigger("ConntrackUtilization", AlertState.FIRING),),
    when=conditions.parse('labels.severity == "page"'),
    lock="conntrack/{node}",
    limits=Limits(15 * clock.MINUTE, 3, 1, 60),
    mode="auto",
    steps=(
        Step("evidence.collect", {"what": ("conntrack", "top-sources")}),
        Step("datapath.block_source", {"source": SOURCE, "ttl": 600_000}),
        Step("conntrack.flush", {"source": SOURCE}),
        Step(
            "conntrack.tune",
            {"limit": "x2", "max": 1_048_576, "ttl": 3_600_000},
            conditions.parse("still(alert)"),
        ),
    ),
    origin=ORIGIN,
    verify=VERIFY,
)
SUBJECT = Subject("run1", ALERT, "conntrack/a")


def reading(at: int, utilization: str, node: str = "a", netns: str = NETNS) -> Scrape:
    """Return a reading of one table, made `at` milliseconds after the beginning."""
    series = Series(METRIC, labels({"table": "kernel", "netns": netns}))
    return Scrape(Timestamp(T0 + at), node, Timestamp(T0 - clock.HOUR), {series: Decimal(utilization)})


@dataclass
class MemoryNode:
    """A node as automation sees it: one namespace, its table, and effects by key."""

    sources: dict[str, int] = field(default_factory=lambda: {NOISY: 900, "10.0.0.2": 20})
    limit_now: int = 1000
    most: int = 1_000_000
    timeouts_now: dict[str, int] = field(default_factory=lambda: {"syn_sent": 120, "established": 432_000})
    datapath: PolicyFacts | None = None
    protected: str = ""
    blocks_help: bool = True
    silent: bool = False
    refuses: str = ""
    refuses_undo: str = ""
    standings: dict[str, Standing] = field(default_factory=dict)
    effects_by_key: dict[str, Effect] = field(default_factory=dict)
    applications: list[str] = field(default_factory=list)

    @property
    def entries(self) -> int:
        """Return how full the table is."""
        return sum(self.sources.values())

    def table(self, netns: str) -> Table:
        """Return who fills the table."""
        self._answer()
        rows = sorted(self.sources.items(), key=lambda row: -row[1])
        sources = tuple(SourceCount(*row) for row in rows if row[1])
        states = (StateCount("tcp_syn_sent", self.entries),)
        return Table(netns, self.entries, self.limit_now, sources, states)

    def route(self, netns: str, source: str) -> Route:
        """Return where a source comes in."""
        del netns, source
        self._answer()
        return Route("eth0", self.protected)

    def limit(self) -> LimitFacts:
        """Return the limit."""
        self._answer()
        return LimitFacts(self.limit_now, self.most)

    def timeouts(self, netns: str) -> Mapping[str, int]:
        """Return the timeouts."""
        del netns
        self._answer()
        return self.timeouts_now

    def policies(self) -> PolicyFacts:
        """Return what is known of the policy datapath."""
        self._answer()
        if self.datapath is None:
            raise NodeRefused("no_policies", "there is no datapath")
        return self.datapath

    def apply(self, key: str, effect: Effect) -> Document:
        """Apply once per key."""
        self._answer()
        if self.refuses:
            raise NodeRefused(self.refuses, "no")
        if key not in self.standings:
            self.applications.append(key)
            self.standings[key], self.effects_by_key[key] = Standing.APPLIED, effect
            self._do(effect)
        return {}

    def look(self, key: str, effect: Effect) -> Standing:
        """Return what became of a key."""
        del effect
        self._answer()
        return self.standings.get(key, Standing.ABSENT)

    def undo(self, key: str, effect: Effect) -> Document:
        """Take back."""
        self._answer()
        if self.refuses_undo:
            raise NodeRefused(self.refuses_undo, "no")
        if self.standings.get(key) is Standing.APPLIED:
            self.standings[key] = Standing.ENDED
            if isinstance(effect, Limit):
                self.limit_now = effect.before
            if isinstance(effect, Timeout):
                self.timeouts_now[effect.state] = effect.before
        return {}

    def effects(self) -> Sequence[InForce]:
        """Return what is in force."""
        return tuple(
            InForce(key, effect, T0)
            for key, effect in self.effects_by_key.items()
            if self.standings[key] is Standing.APPLIED and not isinstance(effect, Flush)
        )

    def _answer(self) -> None:
        if self.silent:
            raise NodeUnreachable("the node does not answer")

    def _do(self, effect: Effect) -> None:
        match effect:
            case Flush(_, source):
                # A source that is not blocked is back before anyone has looked.
                if self.blocks_help:
                    self.sources[source] = 0
            case Limit(_, after, _):
                self.limit_now = after
            case Timeout(_, state, _, after, _):
                self.timeouts_now[state] = after
            case Block() | Resize() | Stagger():
                pass


@dataclass
class MemoryRecords:
    """What is known beside the readings."""

    events: list[Event] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    loads: list[Document] = field(default_factory=list)
    silent: bool = False

    def happened(self, since: Timestamp) -> Happened:
        """Return what was done from a time on."""
        return Happened(
            tuple(event for event in self.events if event.at >= since),
            tuple(run for run in self.runs if run.started_at >= since),
        )

    def refused_loads(self) -> Sequence[Document]:
        """Return what the kernel refused."""
        if self.silent:
            raise NodeUnreachable("the agent does not answer")
        return self.loads


@dataclass
class MemoryViews:
    """What an action may look at."""

    node: MemoryNode = field(default_factory=MemoryNode)
    seen: list[Scrape] = field(default_factory=lambda: [reading(0, "0.92")])
    records: MemoryRecords = field(default_factory=MemoryRecords)

    def scrapes(self) -> Sequence[Scrape]:
        """Return the readings."""
        return self.seen

    def evaluations(self) -> Sequence[Evaluation]:
        """Return no evaluation."""
        return ()
