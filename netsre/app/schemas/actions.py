"""Schemas of what each action of a runbook takes."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from netsre.app.schemas import parts
from netsre.app.schemas.parts import Schema
from netsre.datapath.conntrack_timeouts import TIMEOUTS
from netsre.datapath.prefilter import MOST_RATE
from netsre.model import urls
from netsre.runbook import parameters, references
from netsre.runbook.actions import (
    evidence,
    evidence_datapath,
    http_call,
    policy_mode,
    prefilter_mode,
    silence,
    sizes,
)

_ADDRESS: Final = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(?:%\S+)?"
_SOURCE: Final = parts.pattern(
    "An address, or ${evidence.top_source}.",
    f"{_ADDRESS}|{references.REFERENCE.pattern}",
    "An address, or ${evidence.top_source}.",
    f"${{evidence.{evidence.TOP_SOURCE}}}",
    f"${{evidence.{evidence_datapath.TOP_CLIENT}}}",
)


def labels(about: str) -> Schema:
    """Return the schema of labels by name."""
    return {"description": about, "type": "object", "additionalProperties": parts.text("A value.")}


_SOMETHING: Final[Schema] = {"type": ["object", "array", *parts.SCALARS]}


def _request(*, asks: bool = False) -> dict[str, Schema]:
    """Return what a request may have beside its address; one that only asks has neither method nor body."""
    either = {
        "headers": labels("Headers."),
        "expect": parts.sequence(
            "Statuses of success; any 2xx by default.", parts.whole("A status."), least=1
        ),
    }
    told = {
        "method": parts.choice("POST by default.", http_call.METHODS),
        "body": {**_SOMETHING, "additionalProperties": _SOMETHING, "items": _SOMETHING}
        | {"description": "What is sent as JSON; ${labels.node} and evidence are whole values."},
    }
    return either if asks else {**either, **told}


_URL: Final = parts.pattern(
    "An address below one of automation.http.allow.",
    urls.URL.pattern,
    "A plain address such as https://tools.example/drain.",
)
_SIZE: Final = {
    **parts.pattern(
        "x2 to x8 of the present one, or a number of entries.",
        f"{sizes.TIMES.pattern}|{sizes.NUMBER.pattern}",
        "x2 to x8, or a number of entries.",
        "x2",
    ),
    "type": ["string", "integer"],
    "minimum": 1,
    "maximum": 9_999_999_999,
}
_MOST: Final = parts.whole("Never above this.", minimum=1)
_TTL: Final = parts.duration("When the change ends by itself.")
_TOPIC: Final = parts.choice("A topic.", sorted(evidence.TOPICS))
TAKES: Final[Mapping[str, Mapping[str, Schema]]] = MappingProxyType(
    {
        "evidence.collect": {
            "what": parts.sequence(
                "What to look at.", parts.or_reference(_TOPIC, parameters.REFERENCE.pattern), least=1
            )
        },
        "datapath.block_source": {"source": _SOURCE, "ttl": _TTL},
        "conntrack.flush": {"source": _SOURCE},
        "policy.mode": {
            "mode": parts.choice("How what no policy allows is treated.", policy_mode.MODES),
            "ttl": _TTL,
        },
        "policy.rollback": {},
        "policy.program_rollback": {},
        "prefilter.mode": {
            "mode": parts.choice("How all rules are taken.", prefilter_mode.MODES),
            "ttl": _TTL,
        },
        "prefilter.limit_source": {
            "source": _SOURCE,
            "rate": parts.whole("Packets a second.", minimum=1, maximum=MOST_RATE),
            "ttl": _TTL,
        },
        "conntrack.tune": {"limit": _SIZE, "max": _MOST, "ttl": _TTL},
        "conntrack.timeouts": {
            "state": parts.choice("Whose entries end sooner.", TIMEOUTS),
            "to": parts.duration("After so long without a packet: whole seconds."),
            "ttl": _TTL,
        },
        "policy.connections": {"max": _SIZE, "most": _MOST, "ttl": _TTL},
        "policy.stagger": {
            "every": parts.duration("At most one change in so long: 1s to 5m."),
            "ttl": _TTL,
        },
        "alertmanager.silence": {
            "matchers": labels("Labels that an alert must have, with exactly these values.")
            | {"anyOf": [{"required": [kind]} for kind in silence.KINDS]},
            "ttl": _TTL,
        },
        "http.call": {"url": _URL},
        "notify": {"text": parts.filled_text("What people read; {node} is a label of the alert.")},
    }
)
"""What must be there, by action."""
MAY_TAKE: Final[Mapping[str, Mapping[str, Schema]]] = MappingProxyType(
    {
        "policy.mode": {
            "endpoint": parts.pattern(
                "One endpoint, namespace/name; all that have no mode of their own without it.",
                f"{policy_mode.ENDPOINT.pattern}|{references.REFERENCE.pattern}",
                "namespace/name, also with {label} of the alert, or a reference.",
            )
        },
        "alertmanager.silence": {"comment": parts.text("Why, for whoever finds the silence.")},
        "http.call": {
            **_request(),
            "timeout": parts.duration("How long an answer is waited for, 1s to 15s."),
            "look": parts.mapping(
                "A GET that tells whether it was done.", {"url": _URL}, _request(asks=True)
            ),
            "undo": parts.mapping("The call that takes it back.", {"url": _URL}, _request()),
        },
        "notify": {"values": labels("What is told beside it, such as ${evidence.top_source}.")},
    }
)
"""What may be there beside it."""
