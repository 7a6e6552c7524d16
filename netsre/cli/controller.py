"""`netsre controller`: evaluate SLOs, alert, run runbooks, serve API and page."""

from typing import Any

import click


@click.command()
@click.option("--data-dir", metavar="DIR", help="Where state lives (default: /var/lib/netsre for root).")
@click.option(
    "--database",
    metavar="URL",
    help="A PostgreSQL database instead of a file there, for several controllers (NETSRE_DATABASE_URL).",
)
@click.option("--listen", metavar="HOST:PORT", help="Where to serve (default: 127.0.0.1:8600).")
@click.option("--agent", metavar="URL", help="The agent to read (default: http://127.0.0.1:8601).")
@click.option(
    "--source",
    metavar="URL",
    help="A Prometheus to read instead, for any number of nodes.",
)
@click.option("--node-label", metavar="LABEL", help="What names the node of its series (default: instance).")
@click.option("--token-file", metavar="FILE", help="The token for it (default: NETSRE_PROMETHEUS_TOKEN).")
@click.option("--interval", metavar="TIME", help="Between two evaluations (default: 15s).")
@click.option("--slos", multiple=True, metavar="PATH", help="SLO files (default: the shipped ones).")
@click.option("--runbooks", multiple=True, metavar="PATH", help="Runbook files (default: the shipped ones).")
@click.option("--people", multiple=True, metavar="PATH", help="Who may decide about runs (kind: People).")
@click.option("--noisy", multiple=True, metavar="PATH", help="Whose tickets are muted (kind: NoisyClients).")
@click.option(
    "--alertmanager", "alertmanagers", multiple=True, metavar="URL", help="Every Alertmanager to tell."
)
@click.option(
    "--control", metavar="PATH", help="The agent's control socket (default: automation only looks)."
)
@click.option("--lab-control", metavar="PATH", hidden=True, help="The lab's noisy client.")
@click.option("--user", metavar="NAME", help="User to become when started as root.")
@click.option("--node", metavar="NAME", help="What the node is called (default: its host name).")
@click.option("--external-url", metavar="URL", help="Where people reach this controller, for links.")
@click.option("--config", metavar="FILE", help="A file with any of these (kind: Controller).")
@click.option("--parent-pid", type=int, hidden=True, help="End when this parent ends.")
def controller(**said: Any) -> None:
    """Evaluate SLOs, alert, run runbooks, and serve the API and the page.

    An option wins over NETSRE_* in the environment, and that over --config.
    """
    from netsre.app import logs  # noqa: PLC0415
    from netsre.app.control import controller as app  # noqa: PLC0415
    from netsre.app.settings import Options, settings  # noqa: PLC0415

    logs.start()
    app.run(settings(Options(**said)))
