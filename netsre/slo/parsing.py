"""SLO and burn policy files become `SLO`s: everything or, with every finding, nothing."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from netsre import clock
from netsre.model import alert_rules, linting, literals, specs, values
from netsre.model.levels import SLO, Calendar, PromqlIndicator
from netsre.slo import calendars, codes, indicator_specs, policies, promql_specs, slices, spec_parts
from netsre.slo.calendars import Zones, no_zones
from netsre.slo.policies import PolicySpec

KIND: Final = "SLO"
LONGEST_WINDOW: Final = 92 * clock.DAY
"""A quarter: history is kept for every group, so that a window has its price."""
LEAST_ABSENT: Final = 2 * clock.MINUTE
"""The shortest silence that is worth an alert: readings are kept by the minute."""
NO_POLICY: Final = "none"

KINDS: Final = frozenset({KIND, policies.KIND, alert_rules.KIND})
"""What may stand in these files; alerts that are no SLOs stand beside them, and are read elsewhere."""


@dataclass(frozen=True, slots=True)
class SpecSet:
    """What a set of files asks for."""

    slos: tuple[SLO, ...]
    """By name."""
    policies: tuple[PolicySpec, ...]
    """The burn policies written in these files, by name."""


def parse(
    texts: Mapping[str, str],
    bounds: indicator_specs.Bounds,
    known: Sequence[PolicySpec] = (),
    runbooks: Collection[str] | None = None,
    zones: Zones = no_zones,
) -> SpecSet:
    """Read files (name to text) strictly; raises `SpecErrors` with all findings by file and line.

    `bounds` are the bucket bounds of the histograms that latency SLOs may use. `known` are burn policies that
    exist beside those in the files; a policy of the same name in a file replaces one of them. `runbooks` are
    the names that an SLO may name, None where any will do; `zones` finds the time zone of a calendar.
    """
    findings = linting.Findings()
    about = Surroundings(bounds, tuple(known), runbooks, zones)
    found = read(documents(texts, findings), about, findings)
    findings.raise_if_any()
    return found


def documents(texts: Mapping[str, str], findings: linting.Findings) -> list[specs.Document]:
    """Return the documents of some files, each of a kind that may stand in them."""
    return specs.of_files(texts, KINDS, findings)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known beside the files."""

    bounds: indicator_specs.Bounds
    policies: tuple[PolicySpec, ...] = ()
    runbooks: Collection[str] | None = None
    zones: Zones = no_zones


def read(documents: Sequence[specs.Document], about: Surroundings, findings: linting.Findings) -> SpecSet:
    """Read the SLOs and burn policies among some documents; what is wrong becomes findings."""
    written = _policies(documents, findings)
    # A policy with findings of its own still exists: its SLOs are not to blame.
    names = {document.name for document in documents if document.kind == policies.KIND}
    usable = {**{policy.name: policy for policy in about.policies if policy.name not in names}, **written}
    reader = _Reader(about, usable, frozenset({*usable, *names}), findings)
    slos = reader.slos(documents)
    return SpecSet(
        tuple(sorted(slos, key=lambda slo: slo.name)),
        tuple(sorted(written.values(), key=lambda policy: policy.name)),
    )


def _policies(documents: Sequence[specs.Document], findings: linting.Findings) -> dict[str, PolicySpec]:
    of_kind = [document for document in documents if document.kind == policies.KIND]
    specs.refuse_duplicates(of_kind, codes.DUPLICATE_POLICY, "burn policy", findings)
    for document in of_kind:
        if document.name == NO_POLICY:
            message = "'none' is the word for no policy at all; choose another name"
            document.metadata.wrong("name", linting.NAME, message)
    read = [policies.read(document) for document in of_kind]
    return {policy.name: policy for policy in read if policy is not None}


@dataclass(frozen=True, slots=True)
class _Reader:
    """What reading an SLO needs to know."""

    about: Surroundings
    policies: Mapping[str, PolicySpec]
    policy_names: frozenset[str]
    findings: linting.Findings

    def slos(self, documents: Sequence[specs.Document]) -> list[SLO]:
        of_kind = [document for document in documents if document.kind == KIND]
        specs.refuse_duplicates(of_kind, codes.DUPLICATE_SLO, "SLO", self.findings)
        read = [self._slo(document) for document in of_kind]
        return [slo for slo in read if slo is not None]

    def _slo(self, document: specs.Document) -> SLO | None:
        before = len(self.findings)
        spec = document.spec
        service, description = spec_parts.service(spec), spec.text("description", required=False)
        objective = _objective(spec)
        calendar, window = self._period(spec)
        indicator_part = spec.mapping("indicator")
        indicator = indicator_specs.read(indicator_part, self.about.bounds) if indicator_part else None
        metrics = indicator_specs.metrics_of(indicator) if indicator else ()
        group_by = spec_parts.group_by(spec, metrics)
        if indicator_part is not None and "promql" in indicator_part:
            promql_specs.check_groups(spec, group_by)
        labels = spec_parts.metadata_labels(document.metadata, group_by)
        policy, runbook, absent = self._alerting(spec, objective, window)
        shortest = [rule.short for rule in policy.rules] if policy else []
        sliced = slices.read(spec, shortest)
        if isinstance(indicator, PromqlIndicator):
            promql_specs.fit(spec, indicator.every, shortest, sliced, absent)
        spec.end()
        if service is None or objective is None or window is None or indicator is None:
            return None
        if len(self.findings) > before:
            return None
        return SLO(
            document.name,
            service,
            description or "",
            labels,
            objective,
            window,
            group_by,
            indicator,
            policy.resolved(window) if policy else None,
            runbook,
            document.origin,
            calendar,
            sliced,
            absent,
        )

    def _alerting(
        self, spec: values.Mapping, objective: Fraction | None, window: int | None
    ) -> tuple[PolicySpec | None, str | None, int | None]:
        """Read `alerting`: the burn policy, the runbook of its alerts, and when silence is one."""
        alerting = spec.mapping("alerting")
        if alerting is None:
            return None, None, None
        policy = self._policy(alerting, objective, window)
        runbook = spec_parts.runbook(alerting, self.about.runbooks)
        absent = alerting.duration("absent", required=False)
        if absent is not None and absent < LEAST_ABSENT:
            least = clock.duration_text(LEAST_ABSENT)
            message = f"is shorter than {least}, and would tell of every late reading; write {least} or more"
            alerting.wrong("absent", codes.ABSENT, message)
        alerting.end()
        return policy, runbook, absent

    def _period(self, spec: values.Mapping) -> tuple[Calendar | None, int | None]:
        """Read `window`: a calendar with its nominal length, or a rolling length."""
        written = spec.value("window")
        if not isinstance(written, values.Mapping):
            return None, _window(spec)
        calendar = calendars.read(written, self.about.zones)
        return calendar, None if calendar is None else calendar.nominal

    def _policy(
        self, alerting: values.Mapping, objective: Fraction | None, window: int | None
    ) -> PolicySpec | None:
        name = alerting.text("policy")
        if name is None or name == NO_POLICY:
            return None
        if name not in self.policy_names:
            hint = literals.nearest(name, {*self.policy_names, NO_POLICY})
            alerting.wrong("policy", codes.UNKNOWN_POLICY, f"{literals.shown(name)} does not exist{hint}")
        policy = self.policies.get(name)
        if policy is not None and objective is not None and window is not None:
            for code, message in reach(policy, objective, window):
                alerting.wrong("policy", code, message)
        return policy


def _objective(spec: values.Mapping) -> Fraction | None:
    percent = spec.exact("objective")
    if percent is None:
        return None
    text = spec.text("objective")
    if 0 < percent <= 1:
        written = f"{number_text(percent * 100)}" if percent < 1 else "99.9"
        message = f"{text} looks like a fraction; write a percentage such as {written}"
        spec.wrong("objective", codes.OBJECTIVE_AS_FRACTION, message)
        return None
    if percent == 100:
        message = "100 leaves no error budget, so that nothing could be said about it; write 99.9 or less"
        spec.wrong("objective", codes.OBJECTIVE, message)
        return None
    if not 0 < percent < 100:
        spec.wrong("objective", codes.OBJECTIVE, f"{text} is not above 0 and below 100; write 99.9")
        return None
    return percent / 100


def _window(spec: values.Mapping) -> int | None:
    window = spec.duration("window")
    if window is None:
        return None
    if window % clock.MINUTE:
        spec.wrong("window", codes.WINDOW, "is not whole minutes; history is kept by the minute, write 30d")
        return None
    if window > LONGEST_WINDOW:
        longest = clock.duration_text(LONGEST_WINDOW)
        text = clock.duration_text(window)
        spec.wrong("window", codes.WINDOW, f"{text} is longer than {longest}; write {longest} or less")
        return None
    return window


def reach(policy: PolicySpec, objective: Fraction, window: int) -> Iterator[tuple[str, str]]:
    """Yield code and message for every rule that can never fire, fires always, or looks beyond the window."""
    most = 1 / (1 - objective)
    for rule in policy.rules:
        factor = rule.resolved(window).factor(window)
        name, burn = f"{policy.name}: its rule {rule}", number_text(factor)
        if rule.long > window:
            text = clock.duration_text(window)
            message = f"{name} looks further back than the window of {text}; write a longer window"
            yield codes.WINDOW, message
        # Equality counts: a rule fires above its factor, and no ratio is above 1.
        elif factor >= most:
            least = number_text((1 - 1 / factor) * 100)
            message = (
                f"{name} fires above burn {burn}, and this objective burns at most {number_text(most)}; "
                f"write an objective above {least}, or another policy"
            )
            yield codes.NEVER_FIRES, message
        elif factor < 1:
            message = (
                f"{name} fires above burn {burn}, while the objective is met; "
                f"write a window of at least {_least_window(rule)}, or another policy"
            )
            yield codes.FACTOR_BELOW_ONE, message


def _least_window(rule: policies.RuleSpec) -> str:
    """Return the shortest period over which a rule's share of the budget means a burn rate of 1 or more."""
    exactly = rule.long / (rule.budget_share or Fraction(1))
    return clock.duration_text(math.ceil(exactly / clock.MINUTE) * clock.MINUTE)


def number_text(value: Fraction) -> str:
    """Write an exact number for a message, to six digits."""
    return f"{float(value):.6g}"
