"""`netsre doctor`: gather the facts of this node, try what can be tried, judge."""

from netsre import conventions
from netsre.adapters import endpoints, node_facts, privileges, processes
from netsre.adapters.bpf.session import ProbeUnfit, open_session
from netsre.adapters.endpoints import Endpoint
from netsre.app.resources import directory
from netsre.datapath.requirements import Feature, Refusal, audit
from netsre.errors import EnvironmentUnfit


def examine() -> tuple[Feature, ...]:
    """Judge this node; whatever is wrong with it is a finding, never an exception. Changes nothing."""
    facts = node_facts.gather(privileges.effective_capabilities(), try_flow_probe, _taken_ports())
    return audit(facts)


def try_flow_probe() -> Refusal | None:
    """Compile, load and attach the flow probe, and take it away again."""
    try:
        open_session(directory("bpf")).close()
    except ProbeUnfit as unfit:
        return Refusal(unfit.reason, str(unfit))
    except (EnvironmentUnfit, OSError) as error:
        return Refusal("not_started", str(error))
    return None


def _taken_ports() -> dict[int, str]:
    taken = {}
    for port in (conventions.CONTROLLER_PORT, conventions.AGENT_PORT):
        reason = endpoints.refusal(Endpoint("127.0.0.1", port))
        if reason is not None:
            pid = processes.listener(port)
            taken[port] = f"pid {pid} ({processes.command_name(pid)})" if pid else reason
    return taken
