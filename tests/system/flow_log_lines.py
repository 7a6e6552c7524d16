"""Lines of a flow log that can be told apart: each has a number, as the time of its end."""

from netsre.datapath import flow_lines
from netsre.datapath.block import source_key
from netsre.datapath.flow_log import FlowEvent


def line(number: int) -> bytes:
    """Return the line of a number."""
    ends = (source_key("10.0.0.1"), 40_000, source_key("10.0.0.2"), 443)
    return flow_lines.line(
        FlowEvent(number, 1, 77, "failed", "refused", "private", *ends, 1), "lab", "private", 0
    )


def number(raw: bytes) -> int:
    """Return the number of a line; raises `ValueError` when it is none."""
    whole, _, parts = flow_lines.parse(raw).time.removesuffix("Z").partition(".")
    _, minutes, seconds = whole.split("T")[1].split(":")
    return (int(minutes) * 60 + int(seconds)) * 10**9 + int(parts)
