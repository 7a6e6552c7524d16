"""Reads one agent: its Prometheus text becomes a `Scrape`, or one line that says why not.

The agent may be gone, hang, send one byte a second, or answer with a film: whatever it does, a reading ends
within its deadline and below its size.
"""

import asyncio
import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Final

import httpx
from prometheus_client.parser import text_string_to_metric_families

from netsre import conventions
from netsre.adapters import in_time
from netsre.clock import END, SECOND, Clock, Timestamp
from netsre.errors import SourceUnreachable
from netsre.model.documents import Document
from netsre.model.samples import Scrape, Series, labels

_ACCEPT: Final = "text/plain;version=0.0.4"
_METRICS: Final = "/metrics"
_START: Final = Series(conventions.PROCESS_START_TIME, ())


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long and how large a reading may be."""

    connect_seconds: float = 1.0
    read_seconds: float = 2.0
    total_seconds: float = 4.0
    body_bytes: int = 16 * 1024 * 1024


class AgentClient:
    """A client of one agent."""

    def __init__(self, url: str, node: str, clock: Clock, bounds: Bounds = Bounds()) -> None:
        """Prepare for readings of `url` (such as `http://127.0.0.1:8601`); nothing is sent yet."""
        self._base = url.rstrip("/")
        self._node = node
        self._clock = clock
        self._bounds = bounds
        # Made here, because a process that gave up its privileges may not read the trust store any more.
        secure = url.startswith("https:")
        self._tls = ssl.create_default_context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    def scrape(self) -> Scrape:
        """Return a complete reading.

        Raises `SourceUnreachable` when there is none in time, or when it is not one.
        """
        body = in_time.run(self._fetch(_METRICS))
        at = self._clock.now()
        try:
            values = dict(_samples(body.decode()))
        except (ValueError, KeyError, IndexError) as error:
            raise self._unreachable(
                _METRICS, f"answered what is no Prometheus text ({_short(error)})"
            ) from error
        started = values.get(_START)
        if started is None:
            raise self._unreachable(_METRICS, f"answered without {conventions.PROCESS_START_TIME}")
        if not 0 < started < END // SECOND:
            raise self._unreachable(_METRICS, f"answered with {conventions.PROCESS_START_TIME} {started:.6g}")
        return Scrape(at, self._node, Timestamp(int(started * SECOND)), MappingProxyType(values))

    def refused_loads(self) -> list[Document]:
        """Return the programs that the kernel refused last, newest first, as the agent tells of them.

        Raises `SourceUnreachable` when it does not answer, or does not measure that.
        """
        path = conventions.FAILED_LOADS
        body = in_time.run(self._fetch(path, "application/json"))
        try:
            found = json.loads(body)["failures"]
            return [dict(one) for one in found]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise self._unreachable(path, f"answered what tells of no loads ({_short(error)})") from error

    async def _fetch(self, path: str, accept: str = _ACCEPT) -> bytes:
        bounds = self._bounds
        try:
            async with asyncio.timeout(bounds.total_seconds):
                return await self._get(path, accept)
        except TimeoutError as error:
            raise self._unreachable(
                path, f"did not finish its answer within {bounds.total_seconds:g} s"
            ) from error
        except httpx.TimeoutException as error:
            raise self._unreachable(path, f"did not answer in time ({type(error).__name__})") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(path, f"did not answer ({_short(error)})") from error

    async def _get(self, path: str, accept: str) -> bytes:
        timeout = httpx.Timeout(self._bounds.read_seconds, connect=self._bounds.connect_seconds)
        async with (
            httpx.AsyncClient(timeout=timeout, verify=self._tls, trust_env=False) as client,
            client.stream("GET", f"{self._base}{path}", headers={"Accept": accept}) as response,
        ):
            if response.status_code != httpx.codes.OK:
                raise self._unreachable(path, f"answered {response.status_code}")
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > self._bounds.body_bytes:
                    raise self._unreachable(path, f"answered more than {self._bounds.body_bytes} bytes")
            return bytes(body)

    def _unreachable(self, path: str, what: str) -> SourceUnreachable:
        return SourceUnreachable(f"agent {self._base}{path} {what}; check that `netsre agent` runs there")


def _samples(text: str) -> Iterator[tuple[Series, Decimal]]:
    """Yield every finite sample; the one that says when a counter was made is not a measurement."""
    seen: set[Series] = set()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            series = Series(sample.name, labels(sample.labels))
            if series in seen:
                message = f"series {sample.name} occurs twice"
                raise ValueError(message)
            seen.add(series)
            # The shortest text that reads back as the same float is what the agent had.
            value = Decimal(repr(float(sample.value)))
            if value.is_finite() and not sample.name.endswith("_created"):
                yield series, value


def _short(error: Exception) -> str:
    lines = str(error).splitlines()
    return (lines[0] if lines else type(error).__name__)[:120]
