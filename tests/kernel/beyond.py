"""The agent's part with privileges, shared by the tests that need one and do nothing to it."""

import atexit
import functools

from netsre.app.inventory.client import Inventory


@functools.cache
def inventory() -> Inventory:
    """Start one for this run."""
    made = Inventory.start()
    atexit.register(made.close)
    return made
