"""How the clients of HTTP servers wait: for the request, and for nothing else."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Return what becomes of a request, as soon as it is over, in a loop of its own.

    `asyncio.run` waits for the threads of its loop as well, and with them for a resolver that gives no
    answer: that takes as long as the settings of the machine say, whatever the request may take.
    """
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        try:
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()
