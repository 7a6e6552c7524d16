"""The lines of the flow log: one JSON object for each attempt, written here and read here again.

What a field means is in `docs/flows.md`; `docs/schema/flow.json` is its JSON Schema.
"""

import datetime
import functools
import ipaddress
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from netsre.conventions import OTHER
from netsre.datapath.flow_log import KINDS, UNKNOWN_ADDRESS, FlowEvent
from netsre.datapath.flows import DIRECTIONS, PROTOCOLS, TCP_CLIENT, Role

KIND: Final = "flow"
_OLDER: Final = {"direction": TCP_CLIENT.direction, "protocol": TCP_CLIENT.protocol}
"""What a line is about that does not say it."""
VERDICTS: Final = ("allowed", "denied")
TIME: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{9}Z"
TIME_BEGINS: Final = b'{"time":"'
"""What every line of ours begins with, before its time."""
LONGEST: Final = 4_096
"""Bytes of a line that is read; ours have about 350."""

_SECOND: Final = 1_000_000_000
_LAST_PORT: Final = 65_535
_NOT_PLAIN: Final = re.compile(r"[^ -~]")
_TIME: Final = re.compile(TIME)


def line(event: FlowEvent, src: str, dst: str, epoch_ns: int) -> bytes:
    """Return the line of an event, whole with its end.

    `src` and `dst` are the names of both ends, as the labels of `netsre_flows_total` have them; `epoch_ns` is
    the Unix time at which CLOCK_MONOTONIC was 0.
    """
    # By hand: a general encoder takes four times as long, and a storm of failures is when it matters.
    end_ns, start_ns = event.end_ns, event.start_ns
    second, rest = divmod(epoch_ns + end_ns, _SECOND)
    latency = _seconds(max(0, end_ns - start_ns)) if start_ns else "null"
    here = _address(event.local), event.local_port or "null"
    # Of an address without a port nobody knows whose it is.
    there = _address(event.remote if event.remote_port else UNKNOWN_ADDRESS), event.remote_port or "null"
    source, goal = event.role.from_to(here, there)
    form = _form(event.role, src, dst, event.outcome, event.reason, event.one_in)
    return (form % (_second_text(second), rest, *source, *goal, latency)).encode("ascii")


@functools.lru_cache(maxsize=1_024)
def _form(role: Role, src: str, dst: str, outcome: str, reason: str, one_in: int) -> str:
    """Return the lines of what is alike but for time, addresses and ports, with places for these."""
    verdict = VERDICTS[outcome == "denied"]
    source, goal = (json.dumps(name).replace("%", "%%") for name in (src, dst))
    return (
        f'{{"time":"%s.%09dZ","kind":"{KIND}","direction":"{role.direction}",'
        f'"src":{{"name":{source},"ip":%s,"port":%s}},"dst":{{"name":{goal},"ip":%s,"port":%s}},'
        f'"protocol":"{role.protocol}","outcome":"{outcome}","reason":"{reason}","verdict":"{verdict}",'
        f'"latency_seconds":%s,"sampling":{one_in}}}\n'
    )


def rfc3339(ns: int) -> str:
    """Write a Unix time in nanoseconds: `2026-01-02T03:04:05.000000006Z`."""
    return f"{_second_text(ns // _SECOND)}.{ns % _SECOND:09d}Z"


@functools.lru_cache(maxsize=64)
def _second_text(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC).replace(tzinfo=None).isoformat()


def _seconds(ns: int) -> str:
    whole, rest = divmod(ns, _SECOND)
    return f"{whole}.{rest:09d}"


@functools.lru_cache(maxsize=8_192)
def _address(raw: bytes) -> str:
    """Return an address as JSON: one of IPv4 in its own form, null where it is not known."""
    if raw == UNKNOWN_ADDRESS:
        return "null"
    address = ipaddress.IPv6Address(raw)
    return f'"{address.ipv4_mapped or address}"'


@dataclass(frozen=True, slots=True)
class End:
    """One end of an attempt, as it was written."""

    name: str
    """As the label of `netsre_flows_total` has it."""
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address | None
    port: int | None


@dataclass(frozen=True, slots=True)
class FlowLine:
    """A line that was read, and is whole."""

    text: str
    """As it stands in the file; plain ASCII, whatever stood there."""
    time: str
    src: End
    dst: End
    outcome: str
    reason: str
    latency: Decimal | None
    """Seconds from the first packet to the outcome."""
    sampling: int
    """It stands for so many of its outcome."""
    direction: str = TCP_CLIENT.direction
    protocol: str = TCP_CLIENT.protocol


def parse(raw: bytes) -> FlowLine:
    """Read a line without its end; raises `ValueError` for what is no record of a flow."""
    if len(raw) > LONGEST:
        raise ValueError("it is too long for a record")
    text = raw.decode()
    found = json.loads(text, parse_float=Decimal, parse_constant=_no_number)
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise ValueError("it is no record of a flow")
    latency = found.get("latency_seconds")
    if latency is not None and (isinstance(latency, bool) or not isinstance(latency, Decimal | int)):
        raise ValueError("its latency is no number")
    time = _text(found, "time")
    if not _TIME.fullmatch(time):
        raise ValueError("its time is none")
    return FlowLine(
        text=_plain(text.strip()),
        time=time,
        src=_end(found.get("src")),
        dst=_end(found.get("dst")),
        outcome=_known(_text(found, "outcome"), KINDS, "outcome"),
        reason=_text(found, "reason"),
        latency=None if latency is None else Decimal(latency),
        sampling=_whole(found, "sampling", 1 << 32),
        direction=_known(_text({**_OLDER, **found}, "direction"), DIRECTIONS, "direction"),
        protocol=_known(_text({**_OLDER, **found}, "protocol"), PROTOCOLS, "protocol"),
    )


def _plain(text: str) -> str:
    """Write what stands in texts of JSON, and is more than plain, as JSON writes it in ASCII."""
    if text.isascii() and text.isprintable():
        return text
    return _NOT_PLAIN.sub(lambda odd: json.dumps(odd[0])[1:-1], text)


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _known(text: str, known: Iterable[str], what: str) -> str:
    if text not in known:
        raise ValueError(f"its {what} is none")
    return text


def _text(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    if not isinstance(value, str):
        raise ValueError(f"its {key} is no text")
    return value


def _whole(found: Mapping[str, Any], key: str, last: int) -> int:
    value = found.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= last:
        raise ValueError(f"its {key} is no number")
    return value


@functools.lru_cache(maxsize=8_192)
def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(text)


def _end(found: object) -> End:
    if not isinstance(found, dict):
        raise ValueError("an end of it is missing")
    ip = None if found.get("ip") is None else _ip(_text(found, "ip"))
    port = None if found.get("port") is None else _whole(found, "port", _LAST_PORT)
    return End(_text(found, "name") or OTHER, ip, port)
