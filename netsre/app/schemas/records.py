"""The schema of a line of the flow log, for whoever takes it in: written by netsre, never by people."""

from typing import Final

from netsre.app.schemas.parts import Schema
from netsre.datapath import flow_lines
from netsre.datapath.flow_log import KINDS
from netsre.datapath.flows import DIRECTIONS, DROPPED, PROTOCOLS, REASONS

_DRAFT: Final = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
_REASON: Final = f"^({'|'.join(sorted(REASONS))}|{DROPPED}[a-z0-9_]+)$"
_PORT: Final[Schema] = {"type": ["integer", "null"], "minimum": 1, "maximum": 65_535}


def flow() -> Schema:
    """Return the schema of one line. Every key is always there; null is what is not known."""
    time = {
        "description": "When the outcome was there, by the wall clock, in UTC and nanoseconds.",
        "type": "string",
        "pattern": f"^{flow_lines.TIME}$",
    }
    latency = {
        "description": "Seconds from the first packet to the outcome; null when the beginning was not seen.",
        "type": ["number", "null"],
        "minimum": 0,
    }
    sampling = {
        "description": "How many attempts of its outcome the line stands for: sums of it estimate counts.",
        "type": "integer",
        "minimum": 1,
    }
    keys: dict[str, Schema] = {
        "time": time,
        "kind": {"description": "What the line is about.", "const": flow_lines.KIND},
        "direction": {
            "description": "egress where the client is on this node, ingress where it is elsewhere.",
            "enum": list(DIRECTIONS),
        },
        "src": _end("The client."),
        "dst": _end("Where it wanted to go."),
        "protocol": {"description": "The transport.", "enum": list(PROTOCOLS)},
        "outcome": {"description": "As netsre_flows_total has it.", "enum": list(KINDS)},
        "reason": {"description": "As netsre_flows_total has it.", "type": "string", "pattern": _REASON},
        "verdict": {
            "description": "denied where netsre itself refused it; allowed where nothing of netsre's did.",
            "enum": list(flow_lines.VERDICTS),
        },
        "latency_seconds": latency,
        "sampling": sampling,
    }
    return {**_DRAFT, "title": "Flow", **_whole("One connection attempt, in the flow log.", keys)}


def _end(about: str) -> Schema:
    name = {"description": "As the label of netsre_flows_total has it.", "type": "string"}
    address = {"description": "Its address.", "type": ["string", "null"]}
    return _whole(about, {"name": name, "ip": address, "port": {"description": "Its port.", **_PORT}})


def _whole(about: str, keys: dict[str, Schema]) -> Schema:
    return {"description": about, "type": "object", "properties": keys, "required": list(keys)}
