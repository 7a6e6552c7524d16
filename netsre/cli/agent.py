"""`netsre agent`: measure this node."""

import logging
import pathlib
import sys

import click

from netsre import conventions


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
def agent(
    listen: str, *, parent_pid: int | None, programs: pathlib.Path | None, run_statistics: bool
) -> None:
    """Measure this node: connection outcomes and latency, conntrack, and our own cost."""
    from netsre.adapters import privileges  # noqa: PLC0415  # only when the command runs
    from netsre.adapters.endpoints import Endpoint  # noqa: PLC0415
    from netsre.app import agent as app  # noqa: PLC0415
    from netsre.app.resources import directory  # noqa: PLC0415

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="level=%(levelname)s %(message)s")
    if parent_pid is not None:
        privileges.die_with_parent(parent_pid)
    where = Endpoint.parse(listen, "--listen", conventions.AGENT_PORT)
    settings = app.AgentSettings(where.host, where.port, programs or directory("bpf"), run_statistics)
    app.run(settings, announce=lambda line: click.echo(line, err=True))
