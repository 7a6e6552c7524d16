"""Game day files become `GameDay`s: everything or, with every finding, nothing."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, cast

from netsre import clock
from netsre.gameday import codes
from netsre.model import linting, literals, maintenance, scenarios, specs, values
from netsre.model.gamedays import (
    KIND,
    STAGES,
    Expectation,
    Flood,
    GameDay,
    Profile,
    Schedule,
    Stage,
)

FLOOD: Final = "conntrack.flood"
LONGEST_FAULT: Final = 10 * clock.MINUTE
PROFILES: Final = ("udp", "tcp")
_BESIDE: Final = frozenset({"Runbook", maintenance.KIND, scenarios.KIND})
"""What else lies in the directories of game days, and is read by others."""

Deadlines = Mapping[Stage, int]
CheckSchedule = Callable[[Schedule], str | None]
"""Says what is wrong with a schedule, or None."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a game day may expect to answer its fault; None where nobody asks."""

    alerts: Collection[str] | None = None
    runbooks: Collection[str] | None = None
    slos: Collection[str] | None = None


def parse(texts: Mapping[str, str], check: CheckSchedule, known: Known = Known()) -> tuple[GameDay, ...]:
    """Read files (name to text) strictly, by name; raises `SpecErrors` with all findings."""
    findings = linting.Findings()
    documents = specs.of_files(texts, {KIND}, findings, _BESIDE)
    specs.refuse_duplicates(documents, codes.DUPLICATE, "game day", findings)
    read = [_gameday(document, check, known) for document in documents]
    findings.raise_if_any()
    return tuple(sorted((found for found in read if found is not None), key=lambda found: found.name))


def _gameday(document: specs.Document, check: CheckSchedule, known: Known) -> GameDay | None:
    document.metadata.end()
    spec = document.spec
    hypothesis = spec.text("hypothesis")
    fault = _fault(spec)
    _targets(spec)
    expect = _expect(spec, known)
    deadlines = _deadlines(spec, fault)
    abort = spec.mapping("abort", required=False)
    below = abort.percent("budgetBelow") if abort else None
    if abort is not None:
        if below is not None and not 0 <= below <= 1:
            abort.wrong("budgetBelow", codes.ABORT, "is outside 0% to 100%; write one such as 20%")
        abort.end()
    schedule = _schedule(spec, check)
    spec.end()
    if hypothesis is None or fault is None or expect is None or deadlines is None:
        return None
    return GameDay(document.name, hypothesis, fault, expect, deadlines, below, schedule, document.origin)


def _fault(spec: values.Mapping) -> Flood | None:
    faults = spec.sequence("faults")
    if faults is None:
        return None
    if len(faults.nodes) != 1:
        spec.wrong("faults", codes.FAULTS, f"has {len(faults.nodes)} entries; write one fault")
        return None
    for fault in faults.mappings():
        kind = fault.choice("kind", FLOOD)
        profile = fault.choice("profile", *PROFILES)
        duration = fault.duration("duration")
        fault.end()
        if duration is not None and (duration > LONGEST_FAULT or duration % clock.SECOND):
            longest = clock.duration_text(LONGEST_FAULT)
            fault.wrong(
                "duration", codes.DURATION, f"is not of whole seconds up to {longest}; write such as 3m"
            )
        if kind is not None and profile is not None and duration is not None:
            return Flood(cast("Profile", profile), duration)
    return None


def _targets(spec: values.Mapping) -> None:
    targets = spec.mapping("targets")
    if targets is None:
        return
    lab = targets.text("lab")
    targets.end()
    if lab is not None and lab != "true":
        targets.wrong(
            "lab", codes.TARGET, f"is {literals.shown(lab)}; faults are for the lab only: write true"
        )


def _expect(spec: values.Mapping, known: Known) -> Expectation | None:
    expect = spec.mapping("expect")
    if expect is None:
        return None
    found = {
        key: _name(expect, key, names)
        for key, names in (("alert", known.alerts), ("runbook", known.runbooks), ("slo", known.slos))
    }
    expect.end()
    alert, runbook, slo = (found[key] for key in ("alert", "runbook", "slo"))
    return None if alert is None or runbook is None or slo is None else Expectation(alert, runbook, slo)


def _name(expect: values.Mapping, key: str, names: Collection[str] | None) -> str | None:
    name = expect.text(key)
    if name is not None and names is not None and name not in names:
        hint = literals.nearest(name, names)
        expect.wrong(key, codes.UNKNOWN, f"{literals.shown(name)} does not exist{hint}")
    return name


def _deadlines(spec: values.Mapping, fault: Flood | None) -> Deadlines | None:
    deadlines = spec.mapping("deadlines")
    if deadlines is None:
        return None
    found = {stage: deadlines.duration(stage) for stage in STAGES}
    deadlines.end()
    whole = {stage: length for stage, length in found.items() if length is not None}
    for stage, length in whole.items():
        if fault is not None and length > fault.duration:
            ends = f"after {clock.duration_text(fault.duration)}"
            deadlines.wrong(
                stage, codes.DEADLINE, f"is later than the fault's own end {ends}; write an earlier one"
            )
    for earlier, later in pairwise(whole):
        if whole[later] < whole[earlier]:
            deadlines.wrong(
                later, codes.DEADLINE, f"is earlier than that of {earlier}; write the same or later"
            )
    return whole if len(whole) == len(STAGES) else None


def _schedule(spec: values.Mapping, check: CheckSchedule) -> Schedule | None:
    schedule = spec.mapping("schedule", required=False)
    if schedule is None:
        return None
    cron, timezone = schedule.text("cron"), schedule.text("timezone")
    schedule.end()
    if cron is None or timezone is None:
        return None
    found = Schedule(cron, timezone)
    problem = check(found)
    if problem is not None:
        spec.wrong("schedule", codes.SCHEDULE, problem)
    return found
