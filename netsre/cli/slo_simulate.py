"""`netsre slo simulate`: recorded series go through the engine and the alerts, in virtual time."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netsre.errors import BadInput
from netsre.model import literals

if TYPE_CHECKING:
    from netsre.alerting.simulate import Result
    from netsre.app.simulation import Question, Ready

Tell = Callable[[int], None]


class _Length(click.ParamType[int]):
    """A length of time, such as `15s`, as milliseconds."""

    name = "length"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        del param, ctx
        try:
            return value if isinstance(value, int) else literals.parse_duration(str(value))
        except ValueError as error:
            raise BadInput(f"--interval {error}") from error


@click.command()
@click.argument(
    "series", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option(
    "--slos",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    metavar="PATH",
    help="Service level files or directories; may be repeated.  [default: those shipped with netsre]",
)
@click.option("--slo", metavar="NAME", help="Only this one; the series must have all that it is made of.")
@click.option("--policy", metavar="NAME", help="Judge by this burn policy, whatever the service levels say.")
@click.option(
    "--interval",
    type=_Length(),
    default="15s",
    show_default=True,
    help="Time from one evaluation to the next.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
def simulate(
    series: tuple[Path, ...],
    *,
    slos: tuple[Path, ...],
    slo: str | None,
    policy: str | None,
    interval: int,
    as_json: bool,
) -> None:
    """Replay recorded SERIES and print what fires when.

    SERIES is OpenMetrics text with timestamps in seconds, as `promtool tsdb
    dump-openmetrics` writes it. What runs is what the controller runs, offline
    and in virtual time: the same counting, budgets, burn rules and holds.
    """
    from netsre.app.simulation import Question, document  # noqa: PLC0415  # only when the command runs

    ready, result = _replay(Question(series, slos, slo, policy, interval), quiet=as_json)
    if as_json:
        click.echo(json.dumps(document(ready, result), indent=2))
        return
    from netsre.cli import slo_replay  # noqa: PLC0415  # tables are for people

    slo_replay.show(ready, result)


def _replay(question: "Question", *, quiet: bool) -> "tuple[Ready, Result]":
    from netsre.app import simulation  # noqa: PLC0415

    slos = simulation.levels(question)
    with _progress("reading", sum(path.stat().st_size for path in question.series), quiet=quiet) as tell:
        ready = simulation.prepare(question, slos, tell)
    with _progress("replaying", ready.pace.steps, quiet=quiet) as tell:
        return ready, simulation.run(ready, lambda: tell(1))


@contextmanager
def _progress(what: str, total: int, *, quiet: bool) -> Iterator[Tell]:
    """Show how far some work is, on a terminal, while it goes on."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda _more: None
        return
    # Told of in large pieces: a line of a file is no piece of work.
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(what, total=total or None)
        waiting = 0

        def tell(more: int) -> None:
            nonlocal waiting
            waiting += more
            if waiting * 200 >= total:
                progress.advance(task, waiting)
                waiting = 0

        yield tell
