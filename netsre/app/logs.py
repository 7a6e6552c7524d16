"""The log of a process: one line per event, `key=value`, quoted where it must be."""

import json
import logging
import sys
import time
from typing import Final

from netsre.model import literals

_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:/+-")
_LONGEST: Final = 400


def pairs(**values: object) -> str:
    """Return `key=value` pairs; None is left out, and a value can never begin a new line or pair."""
    return " ".join(f"{key}={_value(str(value))}" for key, value in values.items() if value is not None)


def start(level: int = logging.INFO) -> None:
    """Write the log of this process to stderr."""
    formatter = logging.Formatter("%(asctime)sZ level=%(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # One line per scrape is noise; a failed one is reported by who asked for it.
    for name in ("httpx", "httpcore", "alembic", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # It warns of every request that is none: whoever can connect could fill the log.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)


def _value(text: str) -> str:
    cut = text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
    return cut if cut and set(cut) <= _PLAIN else literals.printable(json.dumps(cut, ensure_ascii=False))
