"""Options about probes: apart, as whoever has none of them is not to wait for what probes are."""

from typing import Final

import click

from netsre.datapath.probes import PROBES
from netsre.datapath.requirements import INVENTORY

WITHOUT: Final = click.option(
    "--without",
    type=click.Choice([*(probe.name for probe in PROBES), INVENTORY]),
    multiple=True,
    help="What to leave out: a probe, or the inventory; may be given several times.",
)
