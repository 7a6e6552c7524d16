"""Options that several commands have."""

from pathlib import Path
from typing import Final

import click

SLOS: Final = click.option(
    "--slos",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    metavar="PATH",
    help="Service level files or directories; may be repeated.  [default: those shipped with netsre]",
)
