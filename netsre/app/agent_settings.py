"""How an agent is run."""

from dataclasses import dataclass
from pathlib import Path

from netsre.app.effects.settings import EffectsSettings
from netsre.app.policing.places import PREFILTER
from netsre.datapath.buckets import CLASSIC, CLASSIC_AND_NATIVE, Cells
from netsre.datapath.probes import PROBES, Probe
from netsre.datapath.workloads import Workload


@dataclass(frozen=True, slots=True)
class TableSettings:
    """Which connection tables are read, and how much is told of them."""

    pinned: Path
    """Directory with the maps of another datapath, by Cilium's names."""
    top_sources: int
    """Of a table that is about half full or more, so many sources are shown."""


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """Where `netsre policy apply` has put the policy datapath."""

    pins: Path
    """Directory with its objects, below a BPF file system."""
    state: Path
    """Directory with the names of its numbers."""


@dataclass(frozen=True, slots=True)
class BalanceSettings:
    """Where `netsre balance apply` has put the balancer."""

    pins: Path
    """Directory with its objects, below a BPF file system."""
    state: Path
    """Directory with the names of its numbers."""


@dataclass(frozen=True, slots=True)
class FlowLogSettings:
    """How to keep a flow log."""

    path: Path
    most_bytes: int
    """Of all its files together."""
    one_in: int
    """Of the delivered attempts; 0 is none of them."""


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """How to run an agent."""

    host: str
    port: int
    programs: Path
    """Directory of the C sources."""
    run_statistics: bool
    """Keep the kernel's BPF run-time statistics on while the agent runs; costs every program a little."""
    tables: TableSettings
    policy: PolicySettings
    balance: BalanceSettings
    effects: EffectsSettings
    workloads: tuple[Workload, ...] = ()
    """Names of ends of connections, by those who run this node."""
    without: frozenset[str] = frozenset()
    """Probes and other parts that are not wanted, by name."""
    flow_log: FlowLogSettings | None = None
    """None for no log."""
    budget: float | None = None
    """Share of one core that everything may take; None for no limit."""
    prefilter: Path = PREFILTER
    """Directory with the objects of `netsre prefilter`, below a BPF file system."""
    native_histograms: bool = False
    """Count times for native histograms too, and serve these to who asks for protobuf."""

    @property
    def wants_statistics(self) -> bool:
        """Whether run-time statistics are to be on: without them nobody knows what programs cost."""
        return self.run_statistics or self.budget is not None

    @property
    def cells(self) -> Cells:
        """Return what times are counted in."""
        return CLASSIC_AND_NATIVE if self.native_histograms else CLASSIC

    @property
    def wanted(self) -> tuple[Probe, ...]:
        """Return the probes to attach."""
        return tuple(probe for probe in PROBES if probe.name not in self.without)
