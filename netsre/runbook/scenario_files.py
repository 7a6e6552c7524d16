"""Files of scenarios become `Scenario`s: everything or, with every finding, nothing.

apiVersion: netsre.dev/v1
kind: Scenario
metadata: {name: one-source}
spec:
  runbook: conntrack-exhaustion
  given:
    series:
      netsre_conntrack_utilization_ratio{table="kernel",netns="lab"}: 0.92
    facts:
      table: {entries: 920, limit: 1000, sources: [{source: 10.0.0.9, entries: 900}]}
      route: {interface: eth0}
  while:
    - effects: [block, flush]
      series:
        netsre_conntrack_utilization_ratio{table="kernel",netns="lab"}: 0.02
  expect:
    - runs: [{state: succeeded, reason: verified}]
      effects: [{kind: block, source: 10.0.0.9, ttl: 10m}, flush]
"""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

from netsre import clock
from netsre.model import gamedays, linting, literals, maintenance, scenarios, specs, values
from netsre.model.directory import OPERATOR, Directory, Person
from netsre.model.documents import Json
from netsre.model.runbooks import ENDED, RunState
from netsre.model.scenarios import Earlier, ExpectedRun, Given, Look, Others, Scenario, While
from netsre.runbook import scenario_codes as codes
from netsre.runbook import scenario_events, scenario_facts, scenario_others, scenario_series
from netsre.runbook.verify import Outcome

LONGEST_INTERVAL: Final = clock.MINUTE
_BESIDE: Final = frozenset({"Runbook", gamedays.KIND, maintenance.KIND})


def parse(texts: Mapping[str, str], runbooks: Collection[str]) -> tuple[Scenario, ...]:
    """Read files (name to text) strictly, by name; raises `SpecErrors` with all findings.

    `runbooks` are the names of those that may be tested. Runbooks, game days and maintenance calendars may
    stand in the same files.
    """
    findings = linting.Findings()
    documents = specs.of_files(texts, {scenarios.KIND}, findings, _BESIDE)
    specs.refuse_duplicates(documents, codes.DUPLICATE, "scenario", findings)
    read = [_scenario(document, runbooks) for document in documents]
    findings.raise_if_any()
    return tuple(sorted((one for one in read if one is not None), key=lambda one: one.name))


def _scenario(document: specs.Document, runbooks: Collection[str]) -> Scenario | None:
    document.metadata.end()
    spec = document.spec
    about, runbook = spec.text("about", required=False), spec.name("runbook")
    if runbook is not None and runbook not in runbooks:
        hint = literals.nearest(runbook, runbooks)
        spec.wrong("runbook", codes.RUNBOOK, f"{literals.shown(runbook)} does not exist{hint}")
    part = spec.mapping("given", required=False)
    given = Given() if part is None else _given(part)
    during = spec.sequence("while", required=False)
    held = tuple(_while(item) for item in (() if during is None else during.mappings()))
    happens = spec.sequence("events", required=False)
    listed = () if happens is None else happens.mappings()
    events = tuple(filter(None, (scenario_events.read(item, given.directory) for item in listed)))
    looks = _looks(spec)
    spec.end()
    if runbook is None:
        return None
    return Scenario(document.name, about or "", runbook, given, held, events, looks, document.origin)


def _given(part: values.Mapping) -> Given:
    interval = part.duration("interval", required=False)
    if interval is not None and interval > LONGEST_INTERVAL:
        part.wrong("interval", codes.INTERVAL, f"is longer than {clock.duration_text(LONGEST_INTERVAL)}")
    directory = _people(part)
    series, facts = part.mapping("series", required=False), part.mapping("facts", required=False)
    runs, others = part.sequence("runs", required=False), part.mapping("others", required=False)
    earlier = () if runs is None else tuple(filter(None, map(_earlier, runs.mappings())))
    part.end()
    return Given(
        interval or scenarios.INTERVAL,
        directory,
        MappingProxyType({}) if series is None else scenario_series.read(series),
        MappingProxyType({}) if facts is None else scenario_facts.read(facts),
        earlier,
        Others() if others is None else scenario_others.read(others),
    )


def _people(part: values.Mapping) -> Directory:
    people, groups = part.sequence("people", required=False), part.mapping("groups", required=False)
    listed = () if people is None else tuple(filter(None, (one.name() for one in people.scalars())))
    found: dict[str, tuple[str, ...]] = {}
    for name in () if groups is None else groups.keys():
        members = None if groups is None else groups.sequence(name)
        found[name] = () if members is None else members.texts()
        for member in found[name]:
            if groups is not None and member not in {OPERATOR, *listed}:
                hint = literals.nearest(member, {OPERATOR, *listed})
                groups.wrong(name, codes.PERSON, f"has {literals.shown(member)}, who is no person{hint}")
    return Directory(tuple(map(Person, dict.fromkeys(listed))), MappingProxyType(found))


def _earlier(item: values.Mapping) -> Earlier | None:
    ago, state = item.duration("ago"), item.choice("state", *sorted(one.value for one in ENDED))
    reason, changed = item.text("reason"), item.choice("changed", "true", "false", required=False)
    target = item.text("target", required=False)
    item.end()
    if ago is None or state is None or reason is None:
        return None
    return Earlier(ago, RunState(state), reason, changed != "false", target)


def _while(item: values.Mapping) -> While:
    listed = item.sequence("effects")
    effects = () if listed is None else scenario_events.effects(listed)
    if listed is not None and not listed.nodes:
        item.wrong("effects", codes.EFFECT, "is empty; name the effects that must be in force")
    series, facts = item.mapping("series", required=False), item.mapping("facts", required=False)
    item.end()
    return While(
        effects,
        MappingProxyType({}) if series is None else scenario_series.read(series),
        MappingProxyType({}) if facts is None else scenario_facts.read(facts),
    )


def _looks(spec: values.Mapping) -> tuple[Look, ...]:
    listed = spec.sequence("expect")
    if listed is None:
        return ()
    if not listed.nodes:
        spec.wrong("expect", codes.LOOK, "is empty; say at least how the run must end")
    found = [(item, _look(item)) for item in listed.mappings()]
    last = -1
    for number, (item, look) in enumerate(found):
        if look.at is None and number < len(found) - 1:
            item.findings.add(
                item.origin, codes.LOOK, f"{item.path} has no time; only the last is at the end"
            )
        elif look.at is not None and look.at < last:
            item.wrong("at", codes.LOOK, "is before the one above it; write them in the order of time")
        last = last if look.at is None else look.at
    return tuple(look for _, look in found)


VERDICTS: Final = tuple(one.value for one in Outcome)
_ANYTHING: Final = ("runs", "effects", "undone", "inForce", "samples", "evidence", "calls", "told")


def _look(item: values.Mapping) -> Look:
    at = scenario_events.moment(item, "at", required=False)
    if not any(key in item for key in _ANYTHING):
        message = f"{item.path} expects nothing; write one of {', '.join(_ANYTHING)}"
        item.findings.add(item.origin, codes.LOOK, message)
    listed = item.sequence("runs", required=False)
    runs = None if listed is None else tuple(filter(None, map(_run, listed.mappings())))
    effects, undone, in_force = (_effects(item, key) for key in ("effects", "undone", "inForce"))
    samples = _texts(item, "samples")
    for one in samples or ():
        if one not in VERDICTS:
            instead = f"write {', '.join(VERDICTS)}"
            item.wrong("samples", codes.LOOK, f"has {literals.shown(one)}, which is no verdict; {instead}")
    evidence, calls, told = (_texts(item, key) for key in ("evidence", "calls", "told"))
    item.end()
    return Look(at, runs, effects, undone, in_force, samples, evidence, calls, told, item.origin)


def _run(item: values.Mapping) -> ExpectedRun | None:
    state = item.choice("state", *(one.value for one in RunState))
    reason = item.text("reason", required=False)
    item.end()
    return None if state is None else ExpectedRun(RunState(state), reason)


def _effects(item: values.Mapping, key: str) -> tuple[Mapping[str, Json], ...] | None:
    listed = item.sequence(key, required=False)
    return None if listed is None else scenario_events.effects(listed)


def _texts(item: values.Mapping, key: str) -> tuple[str, ...] | None:
    listed = item.sequence(key, required=False)
    return None if listed is None else listed.texts()
