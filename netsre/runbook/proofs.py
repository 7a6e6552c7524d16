"""`verify` of a runbook file: by what, how often and until when a run proves that it helped."""

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Final, cast

from netsre import clock, conventions
from netsre.metrics.registry import Kind
from netsre.model import literals, values
from netsre.model.alert_rules import Comparison
from netsre.model.documents import Document, Json
from netsre.model.levels import Selector, quoted
from netsre.model.runbooks import NoData, Query, Verification
from netsre.runbook import codes
from netsre.slo import exact, selectors, spec_parts

DEFAULT_WITHIN: Final = 2 * clock.MINUTE
LONGEST_WITHIN: Final = clock.HOUR
MOST_SAMPLES: Final = 100
KINDS: Final[tuple[Kind, ...]] = ("gauge", "counter")
"""What a query may ask: each reading of a gauge, or by how much a counter rose within the window."""
NO_DATA: Final[tuple[NoData, ...]] = ("inconclusive", "fail", "keep")
_BY_DEFAULT: Final = (conventions.NODE,)


def read(spec: values.Mapping, slos: Collection[str] | None) -> Verification | None:
    """Take `verify`; `slos` are the service levels there are, None where any will do."""
    part = spec.mapping("verify", required=False)
    if part is None:
        return None
    before = len(part.findings)
    window, samples = part.duration("window"), part.integer("samples")
    need = part.integer("need", required=False)
    no_data = part.choice("noData", *NO_DATA, required=False)
    within = part.duration("within", required=False) or DEFAULT_WITHIN
    # Last: what is written beside these is known by now.
    which = part.one_of("slo", "query")
    slo = _level(part, slos) if which == "slo" else None
    query = _query(part) if which == "query" else None
    part.end()
    _check_counts(part, samples, need)
    _check_times(part, window, within)
    if len(part.findings) > before or window is None or samples is None:
        return None
    return Verification(
        slo or "",
        window,
        samples,
        read_no_data(no_data),
        within,
        need,
        query,
    )


def read_no_data(value: object) -> NoData:
    """Return what a sample without data says; the default for what is no word for it."""
    return next((word for word in NO_DATA if word == value), "inconclusive")


def write(query: Query) -> Document:
    """Return a query as a document."""
    return {
        "metric": query.selector.metric,
        "match": ",".join(f"{one.label}{one.op}{quoted(one.value)}" for one in query.selector.matchers),
        "op": query.op,
        "value": f"{query.value:f}",
        "groupBy": query.group_by,
    }


def read_query(value: Json) -> Query:
    """Return the query of a document; raises `ValueError` for what is none."""
    if not isinstance(value, Mapping) or value.get("op") not in exact.COMPARE:
        raise ValueError("the query compares nothing")
    number, labels = str(value.get("value")), value.get("groupBy")
    literals.parse_exact(number)
    match = value.get("match")
    matchers = selectors.parse_matchers(match) if isinstance(match, str) and match else ()
    selector = Selector(str(value.get("metric")), matchers)
    group_by = tuple(map(str, labels)) if isinstance(labels, list | tuple) else _BY_DEFAULT
    return Query(selector, cast("Comparison", value["op"]), Decimal(number), group_by)


def _level(part: values.Mapping, slos: Collection[str] | None) -> str | None:
    slo = part.text("slo")
    if slo is not None and slos is not None and slo not in slos:
        hint = literals.nearest(slo, slos)
        part.wrong("slo", codes.UNKNOWN_SLO, f"{literals.shown(slo)} does not exist{hint}")
    return slo


def _query(part: values.Mapping) -> Query | None:
    body = part.mapping("query")
    if body is None:
        return None
    selector = spec_parts.selector(body, *KINDS)
    group_by = (
        spec_parts.group_by(body, [selector.metric] if selector else []) if "groupBy" in body else _BY_DEFAULT
    )
    op, scalar = body.choice("op", *exact.COMPARE), body.scalar("value")
    value = None if scalar is None or scalar.exact() is None else Decimal(scalar.value)
    body.end()
    if selector is None or op is None or value is None:
        return None
    return Query(selector, cast("Comparison", op), value, group_by)


def _check_counts(part: values.Mapping, samples: int | None, need: int | None) -> None:
    if samples is not None and not 1 <= samples <= MOST_SAMPLES:
        message = f"{samples} is outside 1 to {MOST_SAMPLES}; 3 is customary"
        part.wrong("samples", codes.VERIFICATION, message)
    elif samples is not None and need is not None and not samples < 2 * need <= 2 * samples:
        message = f"{need} of {samples} proves nothing; write more than half of them, and no more than all"
        part.wrong("need", codes.VERIFICATION, message)


def _check_times(part: values.Mapping, window: int | None, within: int) -> None:
    if window is not None and window > within:
        longest = clock.duration_text(within)
        message = f"{clock.duration_text(window)} is longer than the {longest} that a verdict may take"
        part.wrong("window", codes.VERIFICATION, f"{message}; write at most {longest}")
    if within > LONGEST_WITHIN:
        message = f"{clock.duration_text(within)} is longer than {clock.duration_text(LONGEST_WITHIN)}"
        part.wrong("within", codes.VERIFICATION, f"{message}; effects must not wait longer for a verdict")
