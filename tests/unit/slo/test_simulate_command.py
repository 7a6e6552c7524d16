"""Claims about `netsre slo simulate`."""

import json
import re
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from netsre import clock, conventions
from netsre.alerting import decide
from netsre.app import resources, service_levels
from netsre.cli import main
from netsre.clock import Timestamp
from netsre.model.alerts import Alert, AlertState
from netsre.model.samples import Scrape
from netsre.slo.engine import Engine
from tests.unit.slo.given import series
from tests.unit.slo.recordings import T0, flows, lines, outage, write


def simulated(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    """Return the document of a replay."""
    assert main.run(["slo", "simulate", "--json", *map(str, arguments)]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Return the one line with which bad input is refused."""
    assert main.run(["slo", "simulate", *map(str, arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


def test_an_outage_is_told_with_its_alerts_and_its_budget(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One hour at 10/s, ten minutes of which nothing succeeds, and an hour at 10/s, by hand.

    | moment      | in the hour, of the day                      | burn at 0.1 %    | factor | fires  |
    |-------------|----------------------------------------------|------------------|--------|--------|
    | 15 s, 1d    | 150 of 36150                                 | 4.149            | 3      | ticket |
    | 15 s, 6h    | 150 of 36150                                 | 4.149            | 6      |        |
    | 30 s, 6h    | 300 of 36300                                 | 8.264            | 6      | page   |
    | 40 min, 30m | none in the 30 min since 1:10, held for 2 min| 0                | 6      | ends   |
    | the end     | 6000 of 72000                                | budget 1-83.33   |        |        |
    """
    found = simulated(capsys, outage(tmp_path / "a.om"), "--slo", "flow-success")

    told = [
        (
            one["severity"],
            one["rule"]["long"],
            one["began"][11:19],
            one["time_to_detect_seconds"],
            one["ended"],
        )
        for one in found["alerts"]
    ]
    assert told == [
        ("ticket", "1d", "01:00:15", 15, None),
        ("page", "6h", "01:00:30", 30, "2026-01-01T01:42:00.000Z"),
    ]
    page = found["alerts"][1]
    assert page["burn_at_begin"] == {"short": 16.806722689, "long": 8.26446280991}
    assert page["burn_at_end"] == {"short": 0, "long": 98.0392156862}
    assert (page["why_began"], page["why_ended"]) == ("burn_started", "burn_stopped")
    (level,) = found["slos"]
    assert (level["bad"], level["total"], level["budget_remaining"]) == (6000, 72000, -82.3333333334)
    assert (level["replay_coverage"], level["coverage"]) == (1, 0.00280475649614)
    assert (found["scrapes"], found["evaluations"]) == (481, 481)


def test_what_fires_is_what_the_controller_would_decide(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same scrapes, given to the engine and the decisions by hand, begin and end the same alerts."""
    (level,) = (slo for slo in service_levels.load().slos if slo.name == "flow-success")
    engine, active = Engine([level]), dict[str, Alert]()
    by_hand: list[tuple[str, str, str]] = []
    for at in range(0, 7201, 15):
        now, bad = Timestamp((T0 + at) * clock.SECOND), 10 * (min(max(at, 3600), 4200) - 3600)
        counted = {"failed": bad, "delivered": 1_000 + 10 * at - bad}
        values = {
            series(conventions.FLOWS, outcome=how, direction="egress", protocol="tcp"): Decimal(n)
            for how, n in counted.items()
        }
        engine.observe(Scrape(now, "n1", Timestamp(0), values))
        for one in decide.decide(engine.evaluate(now), active, now, decide.HOLD):
            active[one.alert.fingerprint] = one.alert
            if one.announced:
                by_hand.append((clock.rfc3339(now), dict(one.alert.labels)["severity"], one.reason.value))
        active = {name: alert for name, alert in active.items() if alert.state is AlertState.FIRING}

    found = simulated(capsys, outage(tmp_path / "a.om"), "--slo", "flow-success")

    moments = (("began", "why_began"), ("ended", "why_ended"))
    told = [(one[at], one["severity"], one[why]) for one in found["alerts"] for at, why in moments if one[at]]
    assert sorted(told) == sorted(by_hand)
    assert len(by_hand) == 3


@pytest.mark.requires("promtool")
def test_what_prometheus_keeps_of_a_recording_replays_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Backfilled into blocks by promtool and dumped again, series by series, digits in its own way."""
    path = outage(tmp_path / "a.om")
    backfill = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(path), str(tmp_path / "tsdb")]
    subprocess.run(backfill, check=True, capture_output=True)
    (tmp_path / "tsdb" / "wal").mkdir()
    said = subprocess.run(
        ["promtool", "tsdb", "dump", str(tmp_path / "tsdb")], check=True, capture_output=True
    )
    # Debian's promtool has no dump-openmetrics yet; it is the same with the name and the time written so.
    line = re.compile(r'\{__name__="(?P<name>[^"]+)", (?P<labels>.*)\} (?P<value>\S+) (?P<at>\d+)')
    found = [match for text in said.stdout.decode().splitlines() if (match := line.fullmatch(text))]
    dump = write(
        tmp_path / "b.om",
        (f"{m['name']}{{{m['labels']}}} {m['value']} {int(m['at']) / 1000:.3f}" for m in found),
    )

    assert len(found) == 2 * 481
    assert simulated(capsys, dump) == simulated(capsys, path)


def test_a_total_outage_after_a_night_pages_within_a_minute(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """99.9 %: 1.44 % of the hour is 52 s; the fourth scrape of 15 s is the first beyond it."""
    path = outage(tmp_path / "a.om", begins=28_800, ends=28_800 + 600, last=28_800 + 120)

    found = simulated(capsys, path, "--slo", "flow-success", "--interval", "15s")

    (page,) = (one for one in found["alerts"] if one["severity"] == "page")
    assert (page["rule"]["long"], page["time_to_detect_seconds"]) == ("1h", 60)


def test_the_onset_is_where_errors_went_ahead_and_not_where_a_window_filled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error now and then is within the budget; 2 % from 6:00 on burns at 20, and pages 43 min later.

    At 10/s and 20 times the budget of 0.1 %, the hour is above 14.4 after 43.2 min, at 0:43:15.
    """
    seconds = range(0, 10 * 3600, 15)

    def failed(at: int) -> int:
        return at // 3600 + max(0, at - 6 * 3600) // 5

    path = write(
        tmp_path / "a.om",
        lines(flows("delivered"), seconds, lambda at: 10 * at - failed(at)),
        lines(flows("failed"), seconds, failed),
    )

    found = simulated(capsys, path, "--slo", "flow-success")

    page = next(one for one in found["alerts"] if one["severity"] == "page")
    assert page["burning_since"] == "2026-01-01T06:00:00.000Z"
    assert 2540 < page["time_to_detect_seconds"] <= 2595


def test_one_failure_in_an_hour_pages_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """60 connections an hour: one is a burn of 16.7 in its hour, and no reason to wake anybody."""
    seconds = range(0, 6 * 3600, 60)
    path = write(
        tmp_path / "a.om",
        lines(flows("delivered"), seconds, lambda at: at // 60 - (at >= 7200)),
        lines(flows("failed"), seconds, lambda at: int(at >= 7200)),
    )

    found = simulated(capsys, path, "--slo", "flow-success")

    assert found["alerts"] == []
    assert found["slos"][0]["bad"] == 1


def test_while_nothing_is_read_an_alert_neither_ends_nor_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The recording has nothing for an hour in the middle of an outage: the page stays, as it would have."""
    seconds = (*range(0, 3661, 15), *range(7200, 7800, 15))
    path = write(
        tmp_path / "a.om",
        lines(flows("delivered"), seconds, lambda at: min(at, 3600)),
        lines(flows("failed"), seconds, lambda at: max(0, at - 3600)),
    )

    found = simulated(capsys, path, "--slo", "flow-success")

    (page,) = (one for one in found["alerts"] if one["severity"] == "page")
    assert (page["began"][11:19], page["ended"]) == ("01:00:30", None)
    assert found["slos"][0]["replay_coverage"] == pytest.approx(72 / 130)


ONE_RULE = """\
apiVersion: netsre.dev/v1
kind: BurnPolicy
metadata: {name: one}
spec:
  minimumBadEvents: 5
  rules: [{severity: page, short: 5m, long: 1h, budget: 2%}]
---
apiVersion: netsre.dev/v1
kind: SLO
metadata: {name: flow}
spec:
  service: s
  objective: 99.9
  window: 30d
  groupBy: [node]
  indicator:
    ratio:
      bad:   {metric: netsre_flows_total, match: 'outcome="failed"'}
      total: {metric: netsre_flows_total}
  alerting: {policy: one}
"""


def test_what_only_leaves_the_window_begins_no_alert(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The series have nothing for an hour, in which good minutes leave the window: nobody looked.

    | minutes | all                  | failed     | burn over 1h, at the end and while its minutes leave it |
    |---------|----------------------|------------|---------------------------------------------------------|
    | 1 to 4  | 4 * 6000             | 0          | 672 of 57600: 11.7, of 51600: 13.0, of 45600: 14.7      |
    | 5 to 60 | 56 * 600             | 56 * 12    | and 20 over 5m, for five minutes more                   |
    """
    spec = tmp_path / "one.yaml"
    spec.write_text(ONE_RULE)
    seconds = (*range(0, 3601, 15), 7200)

    def failed(at: int) -> int:
        return max(0, min(at, 3600) - 240) // 5

    def every(at: int) -> int:
        return 100 * min(at, 240) + 10 * max(0, min(at, 3600) - 240)

    path = write(
        tmp_path / "a.om",
        lines(flows("delivered"), seconds, lambda at: every(at) - failed(at)),
        lines(flows("failed"), seconds, failed),
    )

    found = simulated(capsys, path, "--slos", spec)

    assert (found["slos"][0]["bad"], found["slos"][0]["total"]) == (672, 57_600)
    assert found["alerts"] == []


def test_a_second_outage_is_detected_from_its_own_beginning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page of the first has ended; what it burned is no part of the second."""
    spec, seconds = tmp_path / "one.yaml", range(0, 4 * 3600, 15)
    spec.write_text(ONE_RULE)

    def failed(at: int) -> int:
        return 10 * sum(min(max(at, begins), begins + 300) - begins for begins in (3600, 3 * 3600))

    path = write(
        tmp_path / "a.om",
        lines(flows("delivered"), seconds, lambda at: 10 * at - failed(at)),
        lines(flows("failed"), seconds, failed),
    )

    found = simulated(capsys, path, "--slos", spec)

    assert [(one["burning_since"][11:19], one["time_to_detect_seconds"]) for one in found["alerts"]] == [
        ("01:00:00", 60),
        ("03:00:00", 60),
    ]


def test_an_onset_is_no_older_than_what_the_rule_sees(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Four failures an hour are too few, for hours; the fifth in an hour pages, for its hour and no more."""
    spec, seconds = tmp_path / "one.yaml", range(0, 4 * 3600 + 600, 60)
    spec.write_text(ONE_RULE)

    def failed(at: int) -> int:
        return at // 900 + (at >= 4 * 3600 + 300)

    path = write(
        tmp_path / "a.om",
        lines(flows("delivered"), seconds, lambda at: at // 60 - failed(at)),
        lines(flows("failed"), seconds, failed),
    )

    found = simulated(capsys, path, "--slos", spec)

    assert [(one["began"][11:19], one["burning_since"][11:19]) for one in found["alerts"]] == [
        ("04:05:00", "03:05:00")
    ]


def test_a_source_that_may_be_another_process_counts_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing says that the 500 of the new instance are the 10 of the old one: 10 + 7 failures, not 507."""
    path = write(
        tmp_path / "a.om",
        lines(flows("failed", instance="old"), (0, 15), lambda at: 10 * at // 15),
        lines(flows("failed", instance="new"), (30, 45), lambda at: 500 + 7 * (at // 45)),
    )

    found = simulated(capsys, path, "--slo", "flow-success")

    assert (found["slos"][0]["bad"], found["slos"][0]["total"]) == (17, 17)


def test_periods_of_the_calendar_and_slices_of_time_replay_as_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten minutes of outage are two bad slices of 24; in Berlin the month began an hour before."""
    spec = tmp_path / "one.yaml"
    month = ONE_RULE.replace("window: 30d", "window: {calendar: month, timezone: Europe/Berlin}")
    spec.write_text(month + "  budgeting: {method: timeslices, slice: 5m, target: 95%}\n")

    found = simulated(capsys, outage(tmp_path / "a.om"), "--slos", spec)

    (level,) = found["slos"]
    assert (level["window"], level["bad"], level["total"]) == ("month Europe/Berlin", 2, 24)
    assert level["coverage"] == pytest.approx(120 / 181)
    assert level["replay_coverage"] == pytest.approx(120 / 121)


def test_samples_farther_apart_than_the_interval_still_end_an_alert(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sample a minute and four evaluations: nobody was blind in between."""
    found = simulated(capsys, outage(tmp_path / "a.om", step=60), "--slo", "flow-success")

    (page,) = (one for one in found["alerts"] if one["severity"] == "page")
    assert (page["began"][11:19], page["ended"][11:19]) == ("01:01:00", "01:42:00")


def test_a_source_that_is_read_less_often_later_still_ends_its_alert(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Most steps are of 15 s; those of 60 s in the second hour are no hour of blindness."""
    seconds = (*range(0, 3600, 15), *range(3600, 7201, 60))
    path = write(
        tmp_path / "a.om",
        lines(flows("delivered"), seconds, lambda at: 10 * (at - min(max(0, at - 1800), 600))),
        lines(flows("failed"), seconds, lambda at: 10 * min(max(0, at - 1800), 600)),
    )

    found = simulated(capsys, path, "--slo", "flow-success")

    (page,) = (one for one in found["alerts"] if one["severity"] == "page")
    assert (page["ended"][11:19], page["why_ended"]) == ("01:12:00", "burn_stopped")


def test_a_policy_may_be_tried_in_place_of_the_one_that_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The guide has two slow pages beside the workbook's."""
    found = simulated(capsys, outage(tmp_path / "a.om"), "--slo", "flow-success", "--policy", "guide")

    (level,) = found["slos"]
    assert (level["policy"], "14d" in level["burn"]) == ("guide", True)


@pytest.mark.parametrize(
    ("policy", "began", "rule", "events"),
    [
        ("low-traffic", "01:40:00", "1h", {"bad": 2, "total": 3}),
        ("workbook", "02:40:00", "6h", {"bad": 5, "total": 8}),
    ],
)
def test_a_policy_for_little_traffic_pages_by_two_failures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], policy: str, began: str, rule: str, events: object
) -> None:
    """A request every 20 minutes; from 1:20 on all fail. Five failures take an hour more."""
    seconds = range(0, 3 * 3600 + 1, 60)
    path = write(
        tmp_path / "a.om",
        lines(flows("delivered"), seconds, lambda at: min(at, 4799) // 1200),
        lines(flows("failed"), seconds, lambda at: (max(at, 4799) - 3600) // 1200),
    )

    found = simulated(capsys, path, "--slo", "flow-success", "--policy", policy, "--interval", "1m")

    (page,) = (one for one in found["alerts"] if one["severity"] == "page")
    assert (page["began"][11:19], page["rule"]["long"]) == (began, rule)
    assert page["events_at_begin"] == events


def test_a_policy_that_does_not_fit_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As the file of the service level would be: it would look further back than is kept."""
    spec = tmp_path / "short.yaml"
    shipped = Path(__file__).parents[3] / "slos" / "flow-success.yaml"
    spec.write_text(shipped.read_text().replace("window: 30d", "window: 7d").replace("workbook", "none"))

    said = refused(capsys, outage(tmp_path / "a.om"), "--slos", spec, "--policy", "guide")

    assert "guide: its rule page 1d4h/14d looks further back than the window of 7d" in said
    assert f"(in flow-success, {spec}:" in said


def test_what_does_not_exist_is_named_with_the_nearest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A service level, a policy, a length of time."""
    path = outage(tmp_path / "a.om")

    assert "--slo 'flow-sucess' does not exist; did you mean 'flow-success'?" in refused(
        capsys, path, "--slo", "flow-sucess"
    )
    assert "--policy 'workbok' does not exist; did you mean 'workbook'?" in refused(
        capsys, path, "--policy", "workbok"
    )
    assert "--interval '15' has no unit; write 15s" in refused(capsys, path, "--interval", "15")
    assert "--interval 1ms makes 7200001 evaluations of 2h of series" in refused(
        capsys, path, "--interval", "1ms"
    )


def test_a_service_level_without_its_series_is_refused_or_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Asked for by name it is an error at the place of the file, otherwise it is said."""
    path = outage(tmp_path / "a.om")

    said = refused(capsys, path, "--slo", "conntrack-headroom")
    found = simulated(capsys, path)

    assert (
        "conntrack-headroom.yaml:3: conntrack-headroom is made of netsre_conntrack_utilization_ratio, "
        in said
    )
    assert [(one["name"], one["missing"]) for one in found["left_out"]] == [
        ("agent-cpu", "netsre_agent_cpu_ratio"),
        ("bpf-load-balancing", "netsre_lb_connections_total"),
        ("connect-latency", "netsre_flow_connect_seconds_bucket{le=0.25}"),
        ("conntrack-headroom", "netsre_conntrack_utilization_ratio"),
        ("drops", "netsre_drops_total"),
        ("flow-log", "netsre_flow_log_events_total"),
        ("policy-compile", "netsre_policy_compile_seconds_bucket{le=5}"),
        ("policy-correctness", "netsre_policy_verdicts_total"),
        ("policy-headroom", "netsre_conntrack_utilization_ratio"),
        ("prefilter-drops", "netsre_prefilter_missed_packets_total"),
        ("probes-up", "netsre_agent_probe_up"),
    ]


def test_what_a_kernel_can_never_do_burns_nothing_and_what_fails_to_load_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two probes up, one refused by the verifier, two that need another kernel: 1 bad of 3, not 3 of 5."""
    states = {
        "flows": ("", 1),
        "tcp": ("", 1),
        "loads": ("load_failed", 0),
        "drops": ("unknown_layout", 0),
        "services": ("no_cgroup_order", 0),
    }
    recorded = [
        lines(f'netsre_agent_probe_up{{probe="{name}",reason="{reason}"}}', range(0, 601, 15), str(up).format)
        for name, (reason, up) in states.items()
    ]
    (level,) = simulated(capsys, write(tmp_path / "a.om", *recorded), "--slo", "probes-up")["slos"]

    assert level["bad"] > 0
    assert level["bad"] * 3 == level["total"]


def test_what_only_a_prometheus_answers_is_refused_or_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Series are no answers to an expression, and no data is never a healthy replay."""
    path, asked = outage(tmp_path / "a.om"), tmp_path / "asked.yaml"
    flow = (resources.directory("slos") / "flow-success.yaml").read_text()
    (tmp_path / "flow.yaml").write_text(flow)
    asked.write_text(
        "{apiVersion: netsre.dev/v1, kind: SLO, metadata: {name: asked}, spec: {service: shop, "
        "objective: 99, window: 30d, alerting: {policy: none}, "
        "indicator: {promql: {bad: 'sum(rate(y[$window]))', total: 'sum(rate(x[$window]))'}}}}"
    )

    said = refused(capsys, path, "--slos", str(asked))
    found = simulated(capsys, path, "--slos", str(tmp_path))

    assert (
        "asked.yaml:1: asked is made of what a Prometheus answers, which no series are; name another SLO "
        "with --slo" in said
    )
    assert [(one["name"], one["missing"]) for one in found["left_out"]] == [
        ("asked", "what a Prometheus answers")
    ]
    assert [one["name"] for one in found["slos"]] == ["flow-success"]


def test_series_of_something_else_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing to replay is no healthy replay."""
    path = write(tmp_path / "a.om", lines("up", range(3), lambda _: 1))

    assert "of which the series have no sample" in refused(capsys, path)


def test_a_wrong_line_is_refused_where_it_stands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the second of two files."""
    one = outage(tmp_path / "a.om")
    two = write(tmp_path / "b.om", lines(flows("failed"), [9_000], lambda _: "NaN"))

    assert refused(capsys, one, two).startswith(f"error: {two}:1: value NaN is no count")


def test_a_person_sees_it_all_in_80_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every column is whole, and without colour it says the same."""
    monkeypatch.setenv("COLUMNS", "80")
    path = outage(tmp_path / "a.om")

    assert main.run(["slo", "simulate", str(path), "--slo", "flow-success"]) == 0

    printed = capsys.readouterr().out
    assert max(len(line) for line in printed.splitlines()) <= 80
    for whole in (
        "5m/1h x14.4",
        "▁██████▁",
        "2026-01-01 01:00:30",
        "page begins",
        "burn_started",
        "after 30s",
        "page ends",
        "burn_stopped",
        "ticket still fires",
        "-8233.34 %",
        "n1 has no process_start_time_seconds",
    ):
        assert whole in printed, whole


def test_groups_that_are_gone_end_their_alerts_in_the_replay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A network namespace that ends takes its alert along, an hour after it was seen last."""
    table = 'netsre_conntrack_utilization_ratio{{node="n1", netns="{}", table="kernel"}}'
    path = write(
        tmp_path / "a.om",
        lines(table.format("stays"), range(0, 9000, 60), lambda _: 0.1),
        lines(table.format("ends"), range(0, 1800, 60), lambda _: 0.9),
    )

    found = simulated(capsys, path, "--slo", "conntrack-headroom")

    assert {(one["group"]["netns"], one["why_ended"]) for one in found["alerts"]} == {
        ("ends", "group_removed")
    }
    assert {one["burn_at_end"]["long"] for one in found["alerts"]} == {None}
    assert [one["group"]["netns"] for one in found["slos"]] == ["stays"]
