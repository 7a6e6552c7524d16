"""A replay of recorded series: what is asked for, made ready, and what it came to as a document."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Final

from netsre import clock
from netsre.adapters import openmetrics
from netsre.alerting import decide, simulate
from netsre.alerting.simulate import Episode, Pace, Result
from netsre.app import resources, service_levels
from netsre.app.numbers import Number, figures, number, ratio
from netsre.clock import Timestamp
from netsre.errors import BadInput
from netsre.model import literals
from netsre.model.levels import SLO, Burning, Evaluation, PromqlIndicator
from netsre.slo import calendars, parsing, tiers
from netsre.slo.policies import PolicySpec
from netsre.slo.recording import Recording, keys_of

Fields = Mapping[str, object]

MOST_STEPS: Final = 5_000_000
"""Evaluations of one replay: more than two years of one every 15 s."""

_ANSWERS: Final = "what a Prometheus answers"

Tell = Callable[[int], None]
"""Hears how much more was done."""


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody wants to know."""

    series: tuple[Path, ...]
    slos: tuple[Path, ...]
    """Files and directories; those shipped when there are none."""
    slo: str | None
    policy: str | None
    """Judges by this burn policy, whatever the service levels say."""
    interval: int
    """Milliseconds."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Everything that was asked for, read and found good."""

    slos: tuple[SLO, ...]
    left_out: tuple[tuple[str, str], ...]
    """Service levels that the series say nothing about, with what is missing."""
    recording: Recording
    pace: Pace


def levels(question: Question) -> tuple[SLO, ...]:
    """Return the service levels that were asked for, with the policy that was asked for."""
    found = service_levels.load(question.slos)
    slos = found.slos
    if question.slo is not None:
        names = [slo.name for slo in slos]
        slos = tuple(slo for slo in slos if slo.name == question.slo)
        if not slos:
            shown, hint = literals.shown(question.slo), literals.nearest(question.slo, names)
            raise BadInput(f"--slo {shown} does not exist{hint}")
    if not slos:
        where = ", ".join(map(str, question.slos)) or "the files shipped with netsre"
        raise BadInput(f"no SLO in {where}; name a file with one")
    if question.policy is None:
        return slos
    policy = _policy(question.policy, found.policies)
    return tuple(_judged_by(policy, slo) for slo in slos)


def prepare(question: Question, slos: Sequence[SLO], tell: Tell) -> Ready:
    """Read the series; `tell` hears how many more bytes were read.

    Raises `BadInput` with file and line for what is wrong in them, and for a service level they do not cover.
    """
    recording = Recording(slos)
    for sample in openmetrics.read(question.series, recording.wants, tell):
        recording.add(sample)
    missing = {slo.name: _missing(slo, recording) for slo in slos}
    covered = tuple(slo for slo in slos if not missing[slo.name])
    if question.slo is not None or not covered:
        for slo in slos:
            _refuse_uncovered(slo, missing[slo.name])
    left_out = tuple((name, keys[0]) for name, keys in sorted(missing.items()) if keys)
    return Ready(covered, left_out, recording, _pace(recording.times(), question.interval))


def run(ready: Ready, tell: Callable[[], None]) -> Result:
    """Replay what is ready; `tell` hears of every evaluation."""
    return simulate.replay(ready.slos, ready.recording.readings(), ready.pace, tell)


def _policy(name: str, written: Sequence[PolicySpec]) -> PolicySpec:
    shipped = resources.directory("slos") / "policies"
    known = {one.name: one for one in (*service_levels.load((shipped,)).policies, *written)}
    if name not in known:
        shown, hint = literals.shown(name), literals.nearest(name, known)
        raise BadInput(f"--policy {shown} does not exist{hint}")
    return known[name]


def _judged_by(policy: PolicySpec, slo: SLO) -> SLO:
    for _, message in parsing.reach(policy, slo.objective, slo.window):
        raise BadInput(f"--policy {message} (in {slo.name}, {slo.origin.file}:{slo.origin.line})")
    return replace(slo, policy=policy.resolved(slo.window))


def _missing(slo: SLO, recording: Recording) -> list[str]:
    if isinstance(slo.indicator, PromqlIndicator):
        return [_ANSWERS]
    return sorted(keys_of(slo) - recording.keys)


def _refuse_uncovered(slo: SLO, missing: Collection[str]) -> None:
    for key in missing:
        where = f"{slo.origin.file}:{slo.origin.line}: {slo.name}"
        if key == _ANSWERS:
            raise BadInput(f"{where} is made of {key}, which no series are; name another SLO with --slo")
        raise BadInput(
            f"{where} is made of {key}, of which the series have no "
            "sample; write its samples into them as well, or name another SLO with --slo"
        )


def _pace(times: Sequence[Timestamp], interval: int) -> Pace:
    steps = sorted(later - earlier for earlier, later in pairwise(times))
    # Nine of ten steps are no longer: a series that is read less often in its second half was read there too.
    usual = steps[len(steps) * 9 // 10] if steps else 0
    patience = 2 * max(interval, usual)
    pace = Pace(times[0], times[-1], interval, decide.HOLD, patience)
    if pace.steps > MOST_STEPS:
        span, step = clock.duration_text(times[-1] - times[0]), clock.duration_text(interval)
        raise BadInput(
            f"--interval {step} makes {pace.steps} evaluations of {span} of series; "
            f"write a longer one, or check the timestamps ({MOST_STEPS} are possible)"
        )
    return pace


def document(ready: Ready, result: Result) -> Fields:
    """Return everything a replay came to, for a program."""
    recording, pace = ready.recording, ready.pace
    return {
        "from": clock.rfc3339(pace.start),
        "to": clock.rfc3339(pace.end),
        "interval": clock.duration_text(pace.interval),
        "hold": clock.duration_text(pace.hold),
        "sources": list(recording.sources),
        "scrapes": result.scrapes,
        "evaluations": pace.steps,
        "slos": [_level(evaluation, ready.pace) for evaluation in result.evaluations],
        "alerts": [_episode(episode) for episode in result.episodes],
        "left_out": [{"name": name, "missing": key} for name, key in ready.left_out],
        "notes": [
            {"reason": reason, "subject": subject, "times": times}
            for (reason, subject), times in sorted(result.notes.items())
        ],
        "without_start_time": list(recording.without_start),
    }


def measured_share(evaluation: Evaluation, pace: Pace) -> Number:
    """Return which share of the replayed minutes was measured, as far as they are in the SLO's window."""
    minutes = _minutes(evaluation.slo, evaluation.at)
    replayed = evaluation.at // clock.MINUTE - pace.start // clock.MINUTE + 1
    return number(min(Fraction(1), evaluation.coverage * minutes / min(minutes, replayed)))


def _minutes(slo: SLO, now: Timestamp) -> int:
    """Return how many minutes the period of an SLO has until now."""
    if slo.calendar is not None:
        return calendars.minutes_since(calendars.start(slo.calendar, now), now)
    return tiers.minutes_covered(tiers.ladder(slo.window), slo.window, now)


def _level(evaluation: Evaluation, pace: Pace) -> Fields:
    slo = evaluation.slo
    return {
        "name": slo.name,
        "service": slo.service,
        "group": dict(evaluation.group),
        "objective": number(slo.objective),
        "window": slo.window_text,
        "policy": slo.policy.name if slo.policy else None,
        "replay_coverage": measured_share(evaluation, pace),
        **figures(evaluation),
    }


def _episode(episode: Episode) -> Fields:
    burning, detected = episode.burning, episode.time_to_detect
    return {
        "slo": episode.slo.name,
        "group": dict(episode.group),
        "severity": episode.severity,
        "rule": _rule(burning),
        "began": clock.rfc3339(episode.began),
        "why_began": episode.why_began.value,
        "burn_at_begin": {"short": number(burning.short_burn), "long": number(burning.long_burn)},
        "events_at_begin": {"bad": number(burning.bad), "total": number(burning.total)},
        "burning_since": _time(episode.burning_since),
        "time_to_detect_seconds": None if detected is None else number(Fraction(detected, clock.SECOND)),
        "ended": _time(episode.ended),
        "why_ended": episode.why_ended.value if episode.why_ended else None,
        "burn_at_end": {"short": ratio(episode.short_at_end), "long": ratio(episode.long_at_end)},
    }


def _rule(burning: Burning) -> Fields:
    rule = burning.rule
    short, long = clock.duration_text(rule.short), clock.duration_text(rule.long)
    return {"short": short, "long": long, "factor": number(burning.factor)}


def _time(at: Timestamp | None) -> str | None:
    return None if at is None else clock.rfc3339(at)
