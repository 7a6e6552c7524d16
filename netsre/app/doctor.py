"""`netsre doctor`: gather the facts of this node, try what can be tried, judge."""

from netsre import conventions
from netsre.adapters import endpoints, node_facts, privileges, processes
from netsre.adapters.bpf.loading import ProbeUnfit
from netsre.adapters.bpf.session import Session, open_sessions
from netsre.adapters.endpoints import Endpoint
from netsre.app.resources import directory
from netsre.app.standing import in_force
from netsre.datapath.probes import PROBES
from netsre.datapath.requirements import Feature, Refusal, audit
from netsre.datapath.standing import standing_features
from netsre.errors import EnvironmentUnfit


def examine() -> tuple[Feature, ...]:
    """Judge this node; whatever is wrong with it is a finding, never an exception. Changes nothing."""
    facts = node_facts.gather(privileges.effective_capabilities(), try_probes, _taken_ports())
    return *audit(facts), *standing_features(facts, in_force())


def try_probes() -> dict[str, Refusal | None]:
    """Compile, load and attach every probe, and take it away again; return why it could not be, by name."""
    try:
        opened = open_sessions(directory("bpf"))
    except (EnvironmentUnfit, OSError) as error:
        return dict.fromkeys((probe.name for probe in PROBES), Refusal("not_started", str(error)))
    tried: dict[str, Refusal | None] = {}
    for name, probe in opened.items():
        if isinstance(probe, ProbeUnfit):
            tried[name] = Refusal(probe.reason, str(probe))
        else:
            tried[name] = _attached(probe)
            probe.close()
    return tried


def _attached(probe: Session) -> Refusal | None:
    """Attach what the loader leaves to its reader; return why that could not be."""
    try:
        if probe.probe.on_demand:
            probe.attach_on_demand()
    except ProbeUnfit as unfit:
        return Refusal(unfit.reason, str(unfit))
    return None


def _taken_ports() -> dict[int, str]:
    taken = {}
    for port in (conventions.CONTROLLER_PORT, conventions.AGENT_PORT):
        reason = endpoints.refusal(Endpoint("127.0.0.1", port))
        if reason is not None:
            pid = processes.listener(port)
            taken[port] = f"pid {pid} ({processes.command_name(pid)})" if pid else reason
    return taken
