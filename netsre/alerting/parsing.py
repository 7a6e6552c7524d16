"""Files of condition alerts become `AlertRule`s: everything or, with every finding, nothing."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Final, cast

from netsre import clock
from netsre.alerting import codes, describe
from netsre.model import linting, specs, values
from netsre.model.alert_rules import KIND, AlertRule, Comparison
from netsre.model.levels import Severity
from netsre.slo import parsing as levels
from netsre.slo import spec_parts

SERVICE: Final = "node-network"
"""Whose promise it is where a file does not say."""
CLEAR_HOLD: Final = 30 * clock.SECOND

CLEAR_KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {"<": "above", "<=": "above", ">": "below", ">=": "below"}
)
RESERVED: Final[Mapping[str, str]] = MappingProxyType(
    {
        describe.ALERT_NAME: "every SLO that burns",
        describe.ABSENT: "SLOs that nobody can judge any more",
        describe.NEEDS_HUMAN: "runs that people must look at",
        describe.AWAITS_APPROVAL: "runs that wait for people",
    }
)
_AT_ONCE: Final = "0s"


def parse(texts: Mapping[str, str], runbooks: Collection[str] | None = None) -> tuple[AlertRule, ...]:
    """Read files (name to text) strictly, by name of the alert; raises `SpecErrors` with all findings.

    SLOs and burn policies may stand in the same files. `runbooks` are the names that an alert may name, None
    where any will do.
    """
    findings = linting.Findings()
    rules = read(levels.documents(texts, findings), runbooks, findings)
    findings.raise_if_any()
    return rules


def read(
    documents: Sequence[specs.Document], runbooks: Collection[str] | None, findings: linting.Findings
) -> tuple[AlertRule, ...]:
    """Read the condition alerts among some documents; what is wrong becomes findings."""
    of_kind = [document for document in documents if document.kind == KIND]
    specs.refuse_duplicates(of_kind, codes.DUPLICATE_ALERT, "alert", findings)
    found = [_rule(document, runbooks) for document in of_kind]
    return tuple(sorted((rule for rule in found if rule is not None), key=lambda rule: rule.name))


def _rule(document: specs.Document, runbooks: Collection[str] | None) -> AlertRule | None:
    before = len(document.spec.findings)
    _refuse_reserved(document)
    spec = document.spec
    service, description = spec_parts.service(spec, required=False), spec.text("description", required=False)
    summary = _summary(spec)
    selector = spec_parts.selector(spec, "gauge")
    group_by = spec_parts.group_by(spec, [selector.metric] if selector else [])
    labels = spec_parts.metadata_labels(document.metadata, group_by)
    op, value, hold = spec.choice("op", *CLEAR_KEYS), _number(spec, "value"), _length(spec, "for", 0)
    clear = _clear(spec, op, value)
    severity = spec.choice("severity", "page", "ticket")
    runbook = spec_parts.runbook(spec, runbooks)
    spec.end()
    if len(spec.findings) > before or selector is None or value is None:
        return None
    return AlertRule(
        name=document.name,
        service=service or SERVICE,
        description=description or "",
        labels=labels,
        selector=selector,
        group_by=group_by,
        op=cast("Comparison", op),
        value=value,
        hold=hold,
        clear_value=value if clear.value is None else clear.value,
        clear_hold=clear.hold,
        severity=cast("Severity", severity),
        runbook=runbook,
        origin=document.origin,
        summary=summary,
    )


def _summary(spec: values.Mapping) -> str:
    text = spec.text("summary", required=False)
    if text is not None and not text.strip():
        spec.wrong("summary", linting.MISSING, "is empty; write what is wrong, or leave the key out")
    return (text or "").strip()


def _refuse_reserved(document: specs.Document) -> None:
    if document.name in RESERVED:
        message = f"{document.name} is the alert of {RESERVED[document.name]}; choose another name"
        document.metadata.wrong("name", codes.RESERVED_NAME, message)


@dataclass(frozen=True, slots=True)
class _Clear:
    value: Decimal | None = None
    hold: int = CLEAR_HOLD


def _clear(spec: values.Mapping, op: str | None, value: Decimal | None) -> _Clear:
    part = spec.mapping("clear", required=False)
    if part is None:
        return _Clear()
    key = CLEAR_KEYS[op] if op is not None else ""
    limits = {name: _number(part, name, required=False) for name in ("above", "below")}
    hold = _length(part, "for", CLEAR_HOLD)
    part.end()
    for name in limits:
        if key and name in part and name != key:
            message = f"cannot end what begins at '{op}'; write {key}, or leave the key out"
            part.wrong(name, codes.CLEAR_DIRECTION, message)
    limit = limits.get(key)
    if limit is not None and value is not None and (limit > value if key == "below" else limit < value):
        message = f"{limit} is beyond the value {value}; write {value}, or a number further {key}"
        part.wrong(key, codes.CLEAR_VALUE, message)
    return _Clear(limit, hold)


def _number(part: values.Mapping, key: str, *, required: bool = True) -> Decimal | None:
    scalar = part.scalar(key, required=required)
    if scalar is None or scalar.exact() is None:
        return None
    return Decimal(scalar.value)


def _length(part: values.Mapping, key: str, otherwise: int) -> int:
    """Return a length of time that may also be none at all."""
    scalar = part.scalar(key, required=False)
    if scalar is None:
        return otherwise
    if scalar.value == _AT_ONCE:
        return 0
    return scalar.duration() or otherwise
