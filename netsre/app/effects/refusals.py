"""The words in which a node refuses what commands complain of."""

import contextlib
from collections.abc import Iterator
from typing import Final

from netsre.adapters.bpf.pins import MadeDifferently
from netsre.adapters.control import ControlRefused
from netsre.app.policing.node import NoDatapath
from netsre.app.remembering import Locked

Said = tuple[type[Exception], str]
"""A complaint and its word."""
BUSY: Final[Said] = (Locked, "busy")
OTHER_VERSION: Final[Said] = (MadeDifferently, "other_version")
OF_POLICIES: Final[tuple[Said, ...]] = (BUSY, OTHER_VERSION, (NoDatapath, "no_policies"))


@contextlib.contextmanager
def refusing(*said: Said) -> Iterator[None]:
    """Give a complaint the word of a refusal: the first that is said of its kind."""
    try:
        yield
    except tuple(kind for kind, _ in said) as error:
        word = next(word for kind, word in said if isinstance(error, kind))
        raise ControlRefused(word, str(error)) from error
