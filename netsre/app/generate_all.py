"""Makes everything that `netsre generate` can make, each part under its own directory."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from netsre.app import generate, generate_alertmanager
from netsre.app.generate_alertmanager import Wishes
from netsre.app.schemas import published
from netsre.clock import Timestamp


def files(slos: Sequence[Path], wishes: Wishes, now: Timestamp) -> Mapping[str, bytes]:
    """Return every file by its path, such as `dashboards/on-call.json`.

    Raises `BadInput` for files that are wrong, or over by now.
    """
    parts = {
        "alertmanager": generate_alertmanager.files(slos, wishes, now),
        "dashboards": generate.dashboards(slos, wishes.consoles[0]),
        "schema": published.files(),
    }
    return {f"{part}/{name}": content for part, found in parts.items() for name, content in found.items()}
