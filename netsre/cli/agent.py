"""`netsre agent`: measure this node."""

import logging
import pathlib
import sys
from typing import TYPE_CHECKING, Any

import click

from netsre import conventions
from netsre.cli import options, probe_options

if TYPE_CHECKING:
    from netsre.app.agent_settings import AgentSettings, BalanceSettings, PolicySettings
    from netsre.app.effects.settings import EffectsSettings
    from netsre.datapath.workloads import Workload


@click.command()
@click.option(
    "--listen",
    default=f"127.0.0.1:{conventions.AGENT_PORT}",
    show_default=True,
    metavar="HOST:PORT",
    help="Where to serve /metrics, /healthz and /readyz.",
)
@click.option("--parent-pid", type=int, hidden=True, help="End when this parent ends.")
@click.option(
    "--programs",
    type=click.Path(exists=True, file_okay=False, path_type=pathlib.Path),
    help="Directory of the BPF sources.  [default: as shipped]",
)
@click.option(
    "--run-statistics",
    is_flag=True,
    help="Keep the kernel's BPF run-time statistics on, to see what the probes cost.",
)
@click.option(
    "--pinned-tables",
    type=click.Path(path_type=pathlib.Path),
    metavar="DIR",
    help="Where another datapath pins its connection tables, by Cilium's names.  [default: as Cilium does]",
)
@click.option(
    "--policy-pins",
    type=click.Path(path_type=pathlib.Path),
    metavar="DIR",
    help="Where policies in force are pinned.  [default: as netsre policy apply does]",
)
@click.option(
    "--policy-state",
    type=click.Path(path_type=pathlib.Path),
    metavar="DIR",
    help="Where their names are remembered.  [default: as netsre policy apply does]",
)
@click.option(
    "--prefilter-pins",
    type=click.Path(path_type=pathlib.Path),
    metavar="DIR",
    help="Where the prefilter is pinned.  [default: as netsre prefilter does]",
)
@click.option(
    "--balance-pins",
    type=click.Path(path_type=pathlib.Path),
    metavar="DIR",
    help="Where the balancer of services is pinned.  [default: as netsre balance apply does]",
)
@click.option(
    "--balance-state",
    type=click.Path(path_type=pathlib.Path),
    metavar="DIR",
    help="Where its names are remembered.  [default: as netsre balance apply does]",
)
@click.option(
    "--top-sources",
    type=click.IntRange(0, 20),
    default=5,
    show_default=True,
    metavar="N",
    help="Sources that are shown by address while a connection table is about half full or more.",
)
@click.option(
    "--control",
    type=click.Path(path_type=pathlib.Path),
    metavar="PATH",
    help="Socket that takes commands from automation.  [default: none, nothing is ever changed]",
)
@click.option("--control-user", metavar="NAME", help="Who may give commands, beside root.")
@click.option(
    "--effects",
    type=click.Path(path_type=pathlib.Path),
    metavar="DIR",
    help="Where temporary changes are written down.  [default: /run/netsre/effects]",
)
@options.CPU_BUDGET
@click.option("--workloads", multiple=True, metavar="PATH", help="Files that name ends of connections.")
@probe_options.WITHOUT
@options.NATIVE_HISTOGRAMS
@click.option(
    "--flow-log",
    type=click.Path(dir_okay=False, path_type=pathlib.Path),
    metavar="FILE",
    help="Keep a log of connection attempts there.  [default: none]",
)
@options.FLOW_LOG_SIZE
@options.FLOW_LOG_SAMPLING
def agent(*, parent_pid: int | None, **asked: Any) -> None:
    """Measure this node: connection outcomes and latency, conntrack, and our own cost.

    With --control it also carries out a short list of bounded commands, each with its own end.
    """
    from netsre.adapters import privileges  # noqa: PLC0415  # only when the command runs
    from netsre.app import agent as app  # noqa: PLC0415

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="level=%(levelname)s %(message)s")
    if parent_pid is not None:
        privileges.die_with_parent(parent_pid)
    app.run(_settings(**asked), announce=lambda line: click.echo(line, err=True))


def _settings(  # noqa: PLR0913
    *,
    listen: str,
    programs: pathlib.Path | None,
    run_statistics: bool,
    pinned_tables: pathlib.Path | None,
    top_sources: int,
    control: pathlib.Path | None,
    control_user: str | None,
    effects: pathlib.Path | None,
    cpu_budget: str | None,
    workloads: tuple[str, ...],
    without: tuple[str, ...],
    native_histograms: bool,
    flow_log: pathlib.Path | None,
    flow_log_size: int,
    flow_log_sampling: int,
    **pinned: pathlib.Path | None,
) -> "AgentSettings":
    """Return how to run the agent; a file that cannot be used is refused here, before anything begins."""
    from netsre.adapters.endpoints import Endpoint  # noqa: PLC0415
    from netsre.app import agent_settings as app  # noqa: PLC0415
    from netsre.app.resources import directory  # noqa: PLC0415
    from netsre.app.sensors.pinned import CILIUM  # noqa: PLC0415

    where = Endpoint.parse(listen, "--listen", conventions.AGENT_PORT)
    sources, named = programs or directory("bpf"), _named(workloads)
    changes = _effects(control, control_user, effects)
    tables = app.TableSettings(pinned_tables or CILIUM, top_sources)
    policy, balance, prefilter = _pinned(**pinned)
    return app.AgentSettings(
        *(where.host, where.port, sources, run_statistics, tables, policy, balance, changes),
        workloads=named,
        without=frozenset(without),
        flow_log=app.FlowLogSettings(flow_log, flow_log_size, flow_log_sampling) if flow_log else None,
        budget=None if cpu_budget is None else float(options.share(cpu_budget)),
        native_histograms=native_histograms,
        prefilter=prefilter,
    )


def _pinned(
    policy_pins: pathlib.Path | None,
    policy_state: pathlib.Path | None,
    balance_pins: pathlib.Path | None,
    balance_state: pathlib.Path | None,
    prefilter_pins: pathlib.Path | None,
) -> "tuple[PolicySettings, BalanceSettings, pathlib.Path]":
    """Return where commands have put things that stay."""
    from netsre.app import agent_settings as app  # noqa: PLC0415
    from netsre.app.balancing import places as balancing  # noqa: PLC0415
    from netsre.app.policing import places as policing  # noqa: PLC0415

    return (
        app.PolicySettings(policy_pins or policing.PINS, policy_state or policing.STATE),
        app.BalanceSettings(balance_pins or balancing.PINS, balance_state or balancing.STATE),
        prefilter_pins or policing.PREFILTER,
    )


def _named(workloads: tuple[str, ...]) -> "tuple[Workload, ...]":
    """Return the names in these files; without any, what reads them would be a fiftieth of the start."""
    if not workloads:
        return ()
    from netsre.app import workloads as app_workloads  # noqa: PLC0415

    return app_workloads.read(workloads)


def _effects(
    control: pathlib.Path | None, control_user: str | None, effects: pathlib.Path | None
) -> "EffectsSettings":
    """Return what may be changed on request, and by whom."""
    from netsre.adapters import privileges  # noqa: PLC0415
    from netsre.app.effects import ledger  # noqa: PLC0415
    from netsre.app.effects.settings import EffectsSettings  # noqa: PLC0415

    user = privileges.find_user(control_user) if control_user is not None else None
    return EffectsSettings(control, user, effects or ledger.DIRECTORY)
