"""A replay as a person reads it: each service level with its burn over time, what fired, and the sums."""

import math
from collections.abc import Iterator
from fractions import Fraction

from rich.console import Console
from rich.table import Table
from rich.text import Text

from netsre import clock
from netsre.alerting import describe, simulate
from netsre.alerting.simulate import Episode, Result, Strip
from netsre.app.simulation import Ready, measured_share
from netsre.clock import Timestamp
from netsre.model import literals
from netsre.model.levels import SLO, BurnPolicy, BurnRule, Evaluation, Measured, Ratio
from netsre.model.samples import Labels

_BELOW = "▁▂▃▄▅▆▇"
_ABOVE, _UNKNOWN = "█", "·"


def show(ready: Ready, result: Result) -> None:
    """Print a replay."""
    console = Console(highlight=False, soft_wrap=False)
    console.print(_heading(ready, result), markup=False)
    for evaluation in result.evaluations:
        console.print()
        console.print(_title(evaluation), style="bold", markup=False)
        if evaluation.slo.policy:
            console.print(_strips(evaluation.slo, evaluation.slo.policy, evaluation.group, result))
    if result.strips:
        console.print(Text(f"{_BELOW} below the factor  {_ABOVE} above  {_UNKNOWN} no data", "dim"))
    console.print()
    if result.episodes:
        console.print(_alerts(result, ready))
    else:
        console.print("nothing fires")
    console.print()
    console.print(_sums(result, ready))
    for line in _remarks(ready, result):
        console.print(line, markup=False)


def _heading(ready: Ready, result: Result) -> str:
    pace, sources = ready.pace, ready.recording.sources
    span = clock.duration_text((pace.end - pace.start) // clock.SECOND * clock.SECOND)
    named = literals.printable(", ".join(sources)) if len(sources) <= 3 else f"{len(sources)} sources"
    return (
        f"{_when(pace.start)} to {_when(pace.end)} UTC ({span}) of {named}: {result.scrapes} scrapes, "
        f"{pace.steps} evaluations, one every {clock.duration_text(pace.interval)}"
    )


def _title(evaluation: Evaluation) -> str:
    slo = evaluation.slo
    by = f"by policy {slo.policy.name}" if slo.policy else "without a burn policy"
    objective = describe.decimal(slo.objective * 100, 6)
    return f"{_name(slo, evaluation.group)}, {objective} % over {slo.window_text} {by}"


def _strips(slo: SLO, policy: BurnPolicy, group: Labels, result: Result) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for rule in policy.rules:
        strip = result.strips.get((slo.name, group, rule), {})
        table.add_row(rule.severity, _rule(slo, rule), _sparkline(strip))
    return table


def _sparkline(strip: Strip) -> Text:
    line = Text()
    for column in range(simulate.COLUMNS):
        cell = strip.get(column)
        if cell is None:
            line.append(_UNKNOWN, "dim")
        elif cell.level > 1:
            line.append(_ABOVE, "bold red" if cell.fired else "yellow")
        else:
            line.append(_BELOW[min(len(_BELOW) - 1, int(cell.level * len(_BELOW)))])
    return line


def _alerts(result: Result, ready: Ready) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("time (UTC)", "alert", "rule", "burn", "reason"):
        table.add_column(title, overflow="fold", no_wrap=title in ("time (UTC)", "rule"))
    for at, _, row, fires in sorted(_rows(result), key=lambda row: row[:2]):
        table.add_row(_when(at), *row, style="bold red" if fires else "")
    for episode in (one for one in result.episodes if one.ended is None):
        name = f"{episode.severity} still fires\n{_name(episode.slo, episode.group)}"
        table.add_row(_when(ready.pace.end), name, "", "", "the series end")
    return table


def _rows(result: Result) -> Iterator[tuple[Timestamp, int, list[str], bool]]:
    """Yield when, which, the row, and whether it is a beginning, for every beginning and end."""
    for number, one in enumerate(result.episodes):
        name, rule = _name(one.slo, one.group), _rule(one.slo, one.burning.rule)
        began = f"{one.why_began}\n{_detected(one)}"
        burn = _burns(one.burning.rule, Measured(one.burning.short_burn), Measured(one.burning.long_burn))
        yield one.began, number, [f"{one.severity} begins\n{name}", rule, burn, began], True
        if one.ended is not None and one.why_ended is not None:
            burn = _burns(one.burning.rule, one.short_at_end, one.long_at_end)
            yield one.ended, number, [f"{one.severity} ends\n{name}", rule, burn, one.why_ended], False


def _detected(episode: Episode) -> str:
    detected = episode.time_to_detect
    return "onset unknown" if detected is None else f"after {clock.duration_text(detected)}"


def _burns(rule: BurnRule, short: Ratio | None, long: Ratio | None) -> str:
    lengths = clock.duration_text(rule.short), clock.duration_text(rule.long)
    return "\n".join(
        f"{length} {_number(ratio)}" for length, ratio in zip(lengths, (short, long), strict=True)
    )


def _number(ratio: Ratio | None) -> str:
    if ratio is None:
        return "-"
    return describe.decimal(ratio.value) if isinstance(ratio, Measured) else ratio.reason.replace("_", " ")


def _sums(result: Result, ready: Ready) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("at the end", "bad", "of all", "budget left", "coverage", "replay measured"):
        table.add_column(title, overflow="fold", justify="left" if title == "at the end" else "right")
    for one in result.evaluations:
        share = f"{measured_share(one, ready.pace) * 100:.6g} %"
        name, coverage = _name(one.slo, one.group), f"{describe.decimal(one.coverage * 100, 3)} %"
        table.add_row(name, f"{one.bad:f}", f"{one.total:f}", _percent(one.budget_remaining), coverage, share)
    return table


def _percent(ratio: Ratio) -> str:
    if isinstance(ratio, Measured):
        # Down, never up: a budget of which something was spent is not whole.
        return f"{describe.decimal(Fraction(math.floor(ratio.value * 10_000), 100))} %"
    return ratio.reason.replace("_", " ")


def _remarks(ready: Ready, result: Result) -> Iterator[str]:
    for name, key in ready.left_out:
        yield f"left out: {name}, because the series have no sample of {key}"
    for name in ready.recording.without_start:
        shown = literals.printable(name)
        yield f"{shown} has no process_start_time_seconds: a restart shows only as counters that fell"
    for (reason, subject), times in sorted(result.notes.items()):
        if reason != "baseline":
            yield f"note: {reason} {literals.printable(subject)}, {times} times"


def _name(slo: SLO, group: Labels) -> str:
    pairs = " ".join(f"{label}={literals.printable(value)}" for label, value in group)
    return f"{slo.name} {pairs}".strip()


def _rule(slo: SLO, rule: BurnRule) -> str:
    short, long = clock.duration_text(rule.short), clock.duration_text(rule.long)
    return f"{short}/{long} x{describe.decimal(rule.factor(slo.window))}"


def _when(at: Timestamp) -> str:
    return clock.rfc3339(at)[:19].replace("T", " ")
