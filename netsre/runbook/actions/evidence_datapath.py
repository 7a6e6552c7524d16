"""Evidence about programs, maps and policies of a node, and about who asks too much of it.

What nobody measured is said by a word: an empty list would read as "there is nothing".
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Final

from netsre import clock, conventions
from netsre.model.documents import Document, Json
from netsre.model.effects import EVERYBODY, Enforcement
from netsre.runbook.actions.contract import NodeRefused, NodeUnreachable, Subject, Views
from netsre.runbook.actions.evidence_span import Span, cut, levels, whole

Topic = Callable[[Subject, Span, Views], Json]

TOP_RULE: Final = "top_rule"
TOP_MAP: Final = "top_map"
TOP_CLIENT: Final = "top_client"
CHANGED_LAST: Final = "changed_last"
MISSING: Final = "missing"
"""What the kernel lacks for programs that it refused."""
OF_PROGRAMS: Final = "programs"
OF_REVISION: Final = "revision"
LATELY: Final = clock.HOUR
"""An exchange of programs that is longer ago is not taken for the cause of what begins now."""
ONE_APPLY: Final = clock.MINUTE
"""Another version brings its programs with its first `apply`, and a revision after them."""
MOST_OF_ALL: Final = Fraction(1, 2)
"""Share of what was dropped or denied from which one rule or client is worth acting upon."""
MANY: Final = 100
"""Packets of a client that were denied: with fewer it does not stand out, whatever its share."""
TENTH: Final = Fraction(1, 10)
"""Share of a table that the connections of one client must have."""
FULL: Final = Decimal("0.8")
"""From here on a map stands out by how full it is."""
NOT_MEASURED: Final = "not_measured"
NO_POLICIES: Final = "no_policies"
NO_PREFILTER: Final = "no_prefilter"
_XDP: Final = "xdp"
_HOOKS: Final = ((_XDP, _XDP), ("tc", "tc_"), ("kernel", "kernel"))
"""Under which names drops are listed, and how their hooks begin."""
_MOST_WORDS: Final = 2_000
"""Characters of a verifier's log: it says at its end what it does not like."""
_MOST_REFUSED: Final = 5
_DIGITS: Final = 12
"""Of a digest, as people read them."""


def missing(word: str) -> Document:
    """Return what stands in the place of what could not be looked at."""
    return {"no_data": word}


def _drops(_subject: Subject, span: Span, _views: Views) -> Json:
    """Return what was dropped by hook, reason and rule; the rule with most of the XDP drops stands out."""
    moved = [(pairs, count) for pairs, count in span.increases(conventions.DROPS)]
    seen: dict[str, Json] = {"since": span.since()}
    for name, prefix in _HOOKS:
        rows = [
            {key: pairs.get(key, "") for key in ("hook", "reason", "rule", "netns")}
            | {"packets": whole(count)}
            for pairs, count in moved
            if pairs.get("hook", "").startswith(prefix)
        ]
        word = "" if rows else _unseen(span, name)
        seen.update({name: missing(word)} if word else cut(name, rows))
    by_rule: dict[str, Decimal] = defaultdict(Decimal)
    for pairs, count in moved:
        if pairs.get("hook") == _XDP:
            by_rule[pairs.get("rule", "")] += count
    rule = _most(by_rule, sum(by_rule.values(), Decimal(0)), MOST_OF_ALL)
    return {**seen, **({TOP_RULE: rule} if rule else {})}


def _unseen(span: Span, name: str) -> str:
    """Return the word for a hook whose drops nobody counts; empty where there were none."""
    if name == _XDP:
        return "" if span.measures(conventions.PREFILTER_EVENTS) else NO_PREFILTER
    if name == "tc":
        return "" if span.measures(conventions.POLICY_EVENTS) else NO_POLICIES
    probes = span.levels(conventions.AGENT_PROBE_UP)
    return "" if any(pairs.get("probe") == "drops" and up for pairs, up in probes) else NOT_MEASURED


def _loads(subject: Subject, span: Span, views: Views) -> Json:
    """Return the loads that failed, by whom and why, and the last words of the verifier about each."""
    if not span.measures(conventions.BPF_PROGRAM_LOADS):
        return missing(NOT_MEASURED)
    rows: list[dict[str, Json]] = []
    good = Decimal(0)
    for pairs, count in span.increases(conventions.BPF_PROGRAM_LOADS):
        if pairs.get("result") == "ok":
            good += count
            continue
        rows.append(
            {key: pairs.get(key, "") for key in ("owner", "type", "reason")} | {"count": whole(count)}
        )
    seen = {"since": span.since(), "good": whole(good), **cut("failed", rows)}
    try:
        found = views.records.refused_loads()
    except (NodeUnreachable, NodeRefused) as error:
        return {**seen, "refused": {**missing("unreachable"), "error": str(error)}}
    # Many try out on purpose what a kernel has; of an alert about one owner, only what this one lacks counts.
    owner = dict(subject.alert.labels).get("owner")
    meant = [one for one in found if owner in (None, one.get("command"))]
    lacks = dict.fromkeys(str(one["missing"]) for one in meant[:_MOST_REFUSED] if one.get("missing"))
    last = tuple({**one, "log": str(one.get("log", ""))[-_MOST_WORDS:]} for one in found[:_MOST_REFUSED])
    return {**seen, **({MISSING: ", ".join(lacks)} if lacks else {}), "refused": last}


def _maps(_subject: Subject, span: Span, _views: Views) -> Json:
    """Return maps by how full they are, and owners by memory; the fullest stands out from four fifths on."""
    if not span.measures(conventions.BPF_MAP_CAPACITY):
        return missing(NOT_MEASURED)
    found: dict[tuple[str, str], dict[str, Decimal]] = defaultdict(dict)
    for key, metric in (
        ("pressure_ratio", conventions.BPF_MAP_PRESSURE),
        ("entries", conventions.BPF_MAP_ENTRIES),
        ("capacity", conventions.BPF_MAP_CAPACITY),
        ("memory_bytes", conventions.BPF_MAP_MEMORY),
    ):
        for pairs, value in span.levels(metric):
            found[(pairs.get("map", ""), pairs.get("owner", ""))][key] = value

    def order(one: tuple[tuple[str, str], Mapping[str, Decimal]]) -> tuple[Decimal, Decimal, tuple[str, str]]:
        name, read = one
        none = Decimal(0)
        return -read.get("pressure_ratio", none), -read.get("memory_bytes", none), name

    fullest = sorted(found.items(), key=order)
    rows: list[dict[str, Json]] = [
        {"map": name, "owner": owner} | {key: whole(value) for key, value in read.items()}
        for (name, owner), read in fullest
    ]
    overflows: list[dict[str, Json]] = [
        {"map": pairs.get("map", ""), "count": whole(count)}
        for pairs, count in span.increases(conventions.BPF_MAP_OVERFLOWS)
    ]
    owners = _held((owner, read.get("memory_bytes", Decimal(0))) for (_, owner), read in found.items())
    (top, _), read = fullest[0]
    stands_out = read.get("pressure_ratio", Decimal(0)) >= FULL
    seen = {
        "since": span.since(),
        **cut("maps", rows),
        **cut("owners", owners),
        **cut("overflows", overflows),
    }
    return {**seen, **({TOP_MAP: top} if stands_out else {})}


def _held(memory: Iterable[tuple[str, Decimal]]) -> list[dict[str, Json]]:
    held = sorted(_sums(memory).items(), key=lambda row: (-row[1], row[0]))
    return [{"owner": owner, "memory_bytes": whole(bytes_)} for owner, bytes_ in held if bytes_]


def _policies(_subject: Subject, span: Span, views: Views) -> Json:
    """Return the revision in force and how it is treated, what of that was otherwise before, and compiles.

    What was changed last of the datapath, its programs or its revision, stands out.
    """
    if not span.measures(conventions.POLICY_REVISION):
        return missing(NO_POLICIES)
    now = _in_force(span.levels)
    first = span.first
    before = {} if first is None else _in_force(lambda metric: levels(first, metric))
    changed = {key: before.get(key) for key, value in now.items() if before.get(key) != value}
    compiled: dict[str, dict[str, Json]] = {}
    for key, suffix in (("count", "_count"), ("seconds", "_sum")):
        for pairs, value in span.increases(conventions.POLICY_COMPILE_SECONDS + suffix):
            stage = f"{pairs.get('stage', '')}/{pairs.get('result', '')}"
            compiled.setdefault(stage, {})[key] = whole(value)
    rows: list[dict[str, Json]] = [{"stage": stage, **took} for stage, took in sorted(compiled.items())]
    # Without an earlier reading nobody can say what it was.
    was: Json = missing(NOT_MEASURED) if first is None else changed
    seen = {"since": span.since(), "now": now, "before": was, **cut("compiles", rows)}
    return {**seen, **_programs(views)}


def _programs(views: Views) -> dict[str, Json]:
    try:
        found = views.node.enforcement(EVERYBODY)
    except (NodeUnreachable, NodeRefused) as error:
        return {OF_PROGRAMS: {**missing("unreachable"), "error": str(error)}}
    told: Json = {
        "now": found.programs[:_DIGITS],
        "before": found.kept_programs[:_DIGITS],
        "seconds": None if found.programs_age is None else found.programs_age // clock.SECOND,
    }
    return {OF_PROGRAMS: told, CHANGED_LAST: _changed_last(found)}


def _changed_last(found: Enforcement) -> str:
    """Return `programs` where they were exchanged lately and no revision was made since, else `revision`.

    Only where those of before are kept: a node that begins to police has nothing to go back to. What came
    with one `apply` is taken for the programs, as policies stay as people wrote them when these go back.
    """
    age, made = found.programs_age, found.revision_age
    if not found.kept_programs or age is None or age > LATELY:
        return OF_REVISION
    return OF_PROGRAMS if made is None or made + ONE_APPLY >= age else OF_REVISION


def _in_force(read: Callable[[str], Sequence[tuple[Mapping[str, str], Decimal]]]) -> dict[str, Json]:
    single = {
        "revision": conventions.POLICY_REVISION,
        "rules": conventions.POLICY_RULES,
        "canary_endpoints": conventions.POLICY_CANARY,
    }
    found: dict[str, Json] = {
        key: whole(value) for key, metric in single.items() for _, value in read(metric)
    }
    modes = [pairs.get("mode", "") for pairs, value in read(conventions.POLICY_MODE) if value]
    for key, metric in (
        ("endpoints_by_mode", conventions.POLICY_ENDPOINT_MODES),
        ("not_enforced_policies", conventions.POLICY_STAGED),
    ):
        found[key] = {pairs.get("mode", ""): whole(value) for pairs, value in read(metric) if value}
    found["on_trial"] = bool(read(conventions.POLICY_TRIAL_LEFT))
    return {"mode": ",".join(modes), **found}


def _noisy(subject: Subject, span: Span, _views: Views) -> Json:
    """Return the clients with most failed attempts, denied packets and connections.

    An address stands out that most of the denied packets came from, or that holds a tenth of a table.
    """
    failed = _sums((p.get("src", ""), n) for p, n in span.increases(conventions.FLOWS) if _failed(p))
    denied = _sums(
        (pairs.get("src", ""), count)
        for pairs, count in span.increases(conventions.POLICY_REFUSED)
        if pairs.get("direction") == "ingress"
    )
    netns = dict(subject.alert.labels).get(conventions.NETNS)
    tables = [
        (pairs, count)
        for pairs, count in span.levels(conventions.CONNTRACK_TOP_SOURCE)
        if netns in (None, pairs.get(conventions.NETNS))
    ]
    held = _sums((pairs.get("source", ""), count) for pairs, count in tables)
    limit = _limit(span, tables)
    client = _most(denied, sum(denied.values(), Decimal(0)), MOST_OF_ALL)
    if not client or denied[client] < MANY:
        client = _most(held, limit, TENTH)
    seen: dict[str, Json] = {
        "since": span.since(),
        **_listed(span, "failed", conventions.FLOWS, failed, NOT_MEASURED),
        **_listed(span, "denied", conventions.POLICY_EVENTS, denied, NO_POLICIES),
        **_listed(span, "connections", conventions.CONNTRACK_TOP_SOURCE, held, NOT_MEASURED),
    }
    return {**seen, **({TOP_CLIENT: client} if client else {})}


def _failed(pairs: Mapping[str, str]) -> bool:
    return pairs.get("outcome") == "failed"


def _listed(span: Span, key: str, metric: str, found: Mapping[str, Decimal], word: str) -> dict[str, Json]:
    if not found and not span.measures(metric):
        return {key: missing(word)}
    ordered = sorted(found.items(), key=lambda row: (-row[1], row[0]))
    return cut(key, [{"client": name, "count": whole(count)} for name, count in ordered])


def _limit(span: Span, tables: Iterable[tuple[Mapping[str, str], Decimal]]) -> Decimal:
    """Return how many entries the tables can hold that clients were counted in."""
    names = {(pairs.get("table"), pairs.get(conventions.NETNS)) for pairs, _ in tables}
    return sum(
        (
            value
            for pairs, value in span.levels(conventions.CONNTRACK_LIMIT)
            if (pairs.get("table"), pairs.get(conventions.NETNS)) in names
        ),
        Decimal(0),
    )


def _sums(rows: Iterable[tuple[str, Decimal]]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = defaultdict(Decimal)
    for name, count in rows:
        found[name] += count
    return found


def _most(found: Mapping[str, Decimal], whole_: Decimal, share: Fraction) -> str:
    """Return the one with the most, if it has this share of the whole; what stands for many is nobody."""
    name = min(found, key=lambda one: (-found[one], one), default="")
    if not name or name == conventions.OTHER or not whole_:
        return ""
    return name if Fraction(found[name]) / Fraction(whole_) >= share else ""


TOPICS: Final[Mapping[str, Topic]] = MappingProxyType(
    {"drops": _drops, "loads": _loads, "maps": _maps, "policies": _policies, "noisy": _noisy}
)
