"""`netsre generate alertmanager`: who is told of which alert, and what together; and `generate all`."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import click

from netsre import clock, conventions
from netsre.alerting import deploys
from netsre.cli import options
from netsre.cli.generate import answer, generate
from netsre.model import literals

_LONGEST_WAIT: Final = clock.HOUR
_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)


def _wait(text: str) -> int:
    wait = literals.parse_duration(text)
    if wait > _LONGEST_WAIT:
        raise ValueError(f"{literals.shown(text)} is longer than {clock.duration_text(_LONGEST_WAIT)}")
    return wait


def _label(text: str) -> str:
    if _LABEL.fullmatch(text) is None:
        raise ValueError(f"{literals.shown(text)} is no label; write one such as deploy")
    return text


def _console(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise ValueError(f"{literals.shown(text)} is no address; write https://netsre.example:8600")
    return text


_WISHES: Final = (
    click.option(
        "--console-url",
        "consoles",
        default=(f"http://127.0.0.1:{conventions.CONTROLLER_PORT}",),
        show_default=True,
        multiple=True,
        metavar="URL",
        callback=lambda context, parameter, texts: tuple(
            options.parsed(_console)(context, parameter, text) for text in texts
        ),
        help="A controller, which is told of every alert; may be repeated.",
    ),
    click.option(
        "--token-file",
        default="/etc/prometheus/netsre-webhook.token",
        show_default=True,
        metavar="FILE",
        help="Where Alertmanager finds a copy of the controllers' webhook.token.",
    ),
    click.option(
        "--receivers",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Alertmanager's `receivers` named pages and tickets.  [default: nobody but netsre]",
    ),
    click.option(
        "--noisy",
        type=click.Path(exists=True, path_type=Path),
        multiple=True,
        metavar="PATH",
        help="Files of kind NoisyClients, whose tickets are muted until their day; may be repeated.",
    ),
    click.option(
        "--page-wait",
        default="15s",
        show_default=True,
        metavar="TIME",
        callback=options.parsed(_wait),
        help="How long the first page of an incident waits for what comes with it.",
    ),
    click.option(
        "--ticket-wait",
        default="2m",
        show_default=True,
        metavar="TIME",
        callback=options.parsed(_wait),
        help="The same for the first ticket.",
    ),
    click.option(
        "--batch-label",
        default=deploys.LABEL,
        show_default=True,
        metavar="LABEL",
        callback=options.parsed(_label),
        help="The label that names the deployment batch of an alert about policies.",
    ),
)
_OUTPUT: Final = (
    click.option(
        "--out",
        type=click.Path(path_type=Path),
        required=True,
        metavar="DIR",
        help="Where to write, or to look.",
    ),
    click.option("--check", is_flag=True, help="Write nothing; exit 1 when a file is stale or missing."),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else."),
)


def _with_wishes(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the service levels, what may be wished of the routes, and where they go."""
    for option in reversed((options.SLOS, *_WISHES, *_OUTPUT)):
        command = option(command)
    return click.pass_context(command)


def _say_who_hears(wishes: Mapping[str, Any]) -> None:
    if wishes["receivers"] is None:
        click.echo("pages and tickets reach nobody but netsre; name --receivers FILE", err=True)


@generate.command()
@_with_wishes
def alertmanager(
    ctx: click.Context, /, out: Path, slos: tuple[Path, ...], *, check: bool, as_json: bool, **wishes: Any
) -> None:
    """Write alertmanager.yml: who is told of which alert."""
    from netsre.app import generate_alertmanager as app  # noqa: PLC0415  # only when the command runs

    files = app.files(slos, app.Wishes(**wishes), clock.SystemClock().now())
    _say_who_hears(wishes)
    answer(ctx, files, out, "netsre generate alertmanager", check=check, as_json=as_json)


@generate.command("all")
@_with_wishes
def everything(
    ctx: click.Context, /, out: Path, slos: tuple[Path, ...], *, check: bool, as_json: bool, **wishes: Any
) -> None:
    """Write everything, each part into its own directory of DIR.

    alertmanager/alertmanager.yml, dashboards/*.json (which link to the first --console-url) and
    schema/*.json, each as its own command writes it. Other files in DIR stay as they are.
    """
    from netsre.app import generate_alertmanager, generate_all  # noqa: PLC0415  # only when the command runs

    asked = generate_alertmanager.Wishes(**wishes)
    files = generate_all.files(slos, asked, clock.SystemClock().now())
    _say_who_hears(wishes)
    answer(ctx, files, out, "netsre generate all", check=check, as_json=as_json)
