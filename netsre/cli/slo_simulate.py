"""`netsre slo simulate`: recorded series go through the engine and the alerts, in virtual time."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netsre.cli import options
from netsre.cli.progress import Progress
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
@options.SLOS
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

    ready, result = _replay(Question(series, slos, slo, policy, interval))
    if as_json:
        click.echo(json.dumps(document(ready, result), indent=2))
        return
    from netsre.cli import slo_replay  # noqa: PLC0415  # tables are for people

    slo_replay.show(ready, result)


def _replay(question: "Question") -> "tuple[Ready, Result]":
    from netsre.app import simulation  # noqa: PLC0415

    slos = simulation.levels(question)
    with _telling("reading", sum(path.stat().st_size for path in question.series)) as tell:
        ready = simulation.prepare(question, slos, tell)
    with _telling("replaying", ready.pace.steps) as tell:
        return ready, simulation.run(ready, lambda: tell(1))


@contextmanager
def _telling(what: str, total: int) -> Iterator[Tell]:
    """Yield what is told how much more was done, and tells a person, in large pieces."""
    done = told = 0
    with Progress(what) as progress:

        def tell(more: int) -> None:
            nonlocal done, told
            done += more
            if (done - told) * 500 >= total:
                progress.show(done, total)
                told = done

        yield tell
