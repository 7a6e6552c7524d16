"""Options that several commands have."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import click

from netsre.model import literals

_LEAST_LOG: Final = 1 << 20
_MOST_LOG: Final = 1 << 40
_ALL_CORES: Final = 64
"""The largest share that is no mistake."""

SLOS: Final = click.option(
    "--slos",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    metavar="PATH",
    help="Service level files or directories; may be repeated.  [default: those shipped with netsre]",
)


def parsed(read: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """Return what gives an option the value that `read` makes of its text, or says what it does not like."""

    def convert(context: click.Context, parameter: click.Parameter, text: str | None) -> Any:  # noqa: ANN401
        if text is None:
            return None
        try:
            return read(text)
        except ValueError as error:
            raise click.BadParameter(str(error), context, parameter) from error

    return convert


def _log_size(text: str) -> int:
    size = literals.parse_size(text)
    if not _LEAST_LOG <= size <= _MOST_LOG:
        raise ValueError(f"{literals.shown(text)} is outside 1M to 1024G; write one such as 64M")
    return size


FLOW_LOG_SIZE: Final = click.option(
    "--flow-log-size",
    default="64M",
    show_default=True,
    metavar="SIZE",
    callback=parsed(_log_size),
    help="What all files of the log take together; the oldest goes first.",
)

FLOW_LOG_SAMPLING: Final = click.option(
    "--flow-log-sampling",
    type=click.IntRange(0, 1_000_000),
    default=100,
    show_default=True,
    metavar="N",
    help="Log 1 in N delivered attempts, 0 for none; what failed or was denied is always logged.",
)


def share(text: str) -> Fraction:
    """Return a share of one core; raises `ValueError`."""
    found = literals.parse_percent(text)
    if not 0 < found <= _ALL_CORES:
        raise ValueError(f"{literals.shown(text)} is outside 0% to {_ALL_CORES:.0%}; write one such as 1%")
    return found


def _checked_share(text: str) -> str:
    share(text)
    return text


CPU_BUDGET: Final = click.option(
    "--cpu-budget",
    metavar="SHARE",
    callback=parsed(_checked_share),
    help="Share of one core that the agent may take, such as 1%; above it gives up probes.  [default: any]",
)

NATIVE_HISTOGRAMS: Final = click.option(
    "--native-histograms",
    is_flag=True,
    help="Count latencies for native histograms too, and serve these to a Prometheus that asks for them.",
)
