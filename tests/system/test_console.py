"""The console in a real browser."""

import html
import pathlib
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Final

import fastapi
import pytest

from tests.system import console_fixture as scenes

pytestmark = [pytest.mark.system, pytest.mark.requires("chromium")]

_QUIET: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--virtual-time-budget=6000",
    "--dump-dom",
)

Browse = Callable[[str], str]

# Runs in the page of /harness: shows one run twice with news in between, as two refreshes would.
_HARNESS: Final = """
const page = new DOMParser().parseFromString(await (await fetch("/")).text(), "text/html");
document.body.append(...page.body.children);
const { showRuns } = await import("/console/runs.js");
const { runs } = await (await fetch("/api/v1/runs")).json();
showRuns(runs, Date.now());
const details = document.querySelector("#runs-list details");
details.open = true;
details.querySelector("summary").focus();
const longer = { ...runs[0], id: 99, started_at: new Date().toISOString() };
showRuns([longer, ...runs], Date.now());
const kept = document.body.contains(details) && details.open;
const focused = document.activeElement === details.querySelector("summary");
const cards = document.querySelectorAll("#runs-list > li").length;
document.title = `kept=${kept} focused=${focused} cards=${cards}`;
"""


@pytest.fixture
def browse(tmp_path: pathlib.Path) -> Iterator[Browse]:
    """Return a function that opens an address and returns the document after a few refreshes."""
    started: list[subprocess.Popen[str]] = []

    def run(address: str) -> str:
        profile = tmp_path / f"profile{len(started)}"
        command = ["chromium", *_QUIET, f"--user-data-dir={profile}", address]
        browser = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
        )
        started.append(browser)
        return browser.communicate(timeout=60)[0]

    yield run
    for browser in started:
        if browser.poll() is None:
            browser.send_signal(signal.SIGKILL)
            browser.wait()


def _element(document: str, identity: str) -> str:
    """Return the text of the first element with an id, up to the next id."""
    _, _, rest = document.partition(f'id="{identity}"')
    body = re.split(r'<[^>]* id="', rest, maxsplit=1)[0]
    return html.unescape(re.sub(r"<[^>]*>", " ", body.partition(">")[2]))


@pytest.fixture(scope="module")
def incident_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the document of a node in trouble, opened once for several claims."""
    with scenes.serve(scenes.application(scenes.incident)) as address:
        profile = tmp_path_factory.mktemp("profile")
        command = ["chromium", *_QUIET, f"--user-data-dir={profile}", address]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def test_the_page_shows_a_burning_slo(incident_page: str) -> None:
    """Name, state in words, SLI, objective, budget and burn of an SLO are on the page, worst first."""
    text = " ".join(_element(incident_page, "slos-list").split())
    assert text.index("BURNING page flow-success") < text.index("NO DATA connect-latency")
    for shown in (
        "98.215 %",
        "99.9 % / 30d",
        "-1684.6 %",
        "212\N{MULTIPLICATION SIGN}",
        "no traffic in this window",
        "OK conntrack",
    ):
        assert shown in text


def test_the_page_shows_alerts_by_urgency(incident_page: str) -> None:
    """A firing page comes before a ticket; a resolved alert is in the folded list; the headline counts."""
    text = _element(incident_page, "alerts-list")
    assert text.index("FIRING page") < text.index("FIRING ticket")
    assert "RESOLVED page" in _element(incident_page, "resolved-list")
    assert "1 page and 1 ticket firing" in _element(incident_page, "verdict")
    assert "Firing: page ErrorBudgetBurn flow-success" in _element(incident_page, "announce")


def test_the_page_shows_runs_with_their_journal(incident_page: str) -> None:
    """A run shows its result, its steps and the evidence; a refused one shows the named reason."""
    text = _element(incident_page, "runs-list")
    for shown in (
        "SUCCEEDED",
        "flow-evidence",
        "evidence.collect",
        '"utilization": "0.9311"',
        "REFUSED",
        "cooldown",
    ):
        assert shown in text


def test_hostile_labels_are_text(incident_page: str) -> None:
    """Markup in labels, summaries and evidence is shown as typed; it makes no element and runs nothing."""
    body = incident_page.partition("<body")[2]
    assert scenes.HOSTILE in html.unescape(body)
    assert "<script>" not in body
    assert "<img" not in body
    assert "javascript:" not in incident_page
    assert "<title>owned" not in incident_page


def test_many_groups_that_are_well_are_folded_behind_the_worst(browse: Browse) -> None:
    """Of twelve groups the burning one is a card; the others are counted, and one click away."""
    with scenes.serve(scenes.application(scenes.crowded)) as address:
        document = browse(address)
    shown, more = _element(document, "slos-list"), _element(document, "slos-more-list")

    assert "BURNING ticket conntrack" in " ".join(shown.split())
    assert "pod-busy" in shown
    assert "pod-3" not in shown
    assert "11 more of conntrack-headroom: all OK" in _element(document, "slos-more-title")
    assert all(f"pod-{number}" in more for number in range(11))


def test_a_calm_node_has_no_banner(browse: Browse) -> None:
    """When all is well the headline says so and the banner is hidden."""
    with scenes.serve(scenes.application(scenes.calm)) as address:
        document = browse(address)
    assert "all 2 OK" in _element(document, "verdict")
    assert "No alert fires" in _element(document, "alerts-empty")
    assert "may act" in _element(document, "automation")
    assert re.search(r'id="banner"[^>]*hidden', document)


def test_a_pause_is_shown_where_the_kill_switch_is(browse: Browse) -> None:
    """With what is paused, by whom and why; nothing of it is markup."""
    with scenes.serve(scenes.application(scenes.paused)) as address:
        document = browse(address)
    shown = _element(document, "automation")
    assert "may act" not in shown
    assert "runbook look paused by ada" in shown
    assert scenes.HOSTILE in html.unescape(document)


def test_stale_numbers_are_never_ok(browse: Browse) -> None:
    """A controller that stopped evaluating gets a banner with the reason, and no SLO is called OK."""
    with scenes.serve(scenes.application(scenes.stale)) as address:
        document = browse(address)
    assert "STALE" in _element(document, "verdict")
    assert "connection refused" in _element(document, "banner")
    assert not re.search(r'id="banner"[^>]*hidden', document)
    assert document.count("WAS OK") == 2


def test_who_stands_by_says_who_leads(browse: Browse) -> None:
    """Nothing on its page can be taken for the truth, and nothing is wrong."""
    with scenes.serve(scenes.application(scenes.standing_by)) as address:
        document = browse(address)
    assert "STANDS BY" in _element(document, "verdict")
    assert "other:/var/lib/netsre leads" in _element(document, "banner")
    assert "STALE" not in document


def test_a_failing_evaluation_is_told(browse: Browse) -> None:
    """The controller's own problem is in the headline and, in its words, in the banner."""
    with scenes.serve(scenes.application(scenes.failing)) as address:
        document = browse(address)
    assert "EVALUATION FAILS" in _element(document, "verdict")
    assert "database is locked; stop the other writer" in _element(document, "banner")


def test_a_node_where_nobody_would_act_is_not_called_well(browse: Browse) -> None:
    """A kill switch that is on and an Alertmanager that is down are told loudly; the numbers stay trusted."""
    with scenes.serve(scenes.application(scenes.unarmed)) as address:
        document = browse(address)
    assert "ALERTMANAGER DOWN" in _element(document, "verdict")
    assert "STOPPED" in _element(document, "automation")
    assert "none configured" in _element(document, "slack")
    assert "127.0.0.1:9093 DOWN: connection refused, never told" in _element(document, "alertmanagers")
    banner = _element(document, "banner")
    assert "Automation is stopped by root since" in banner
    assert scenes.HOSTILE in html.unescape(document)
    assert "untrusted" not in document
    assert "WAS OK" not in document


@pytest.mark.parametrize(
    ("fields", "shown", "word"),
    [
        ({}, "✓ channel C0123 up", ""),
        ({"waiting": 2}, "… channel C0123 up, 2 messages wait, last told", ""),
        ({"hears": None, "mode": "http"}, "✓ channel C0123 up", ""),
        ({"hears": False}, "▲ channel C0123 DOWN: buttons are not heard, last told", "SLACK DEAF"),
        (
            {"problem": f"ratelimited {scenes.HOSTILE}", "waiting": 1, "last_success_at": None},
            "▲ channel C0123 DOWN: ratelimited",
            "SLACK DOWN",
        ),
    ],
)
def test_the_page_tells_how_slack_fares(
    browse: Browse, fields: dict[str, object], shown: str, word: str
) -> None:
    """Whether it is told, what waits, and whether clicks are heard; where there is none, that is said."""
    with scenes.serve(scenes.application(lambda: scenes.in_slack(**fields))) as address:
        document = browse(address)
    assert shown in _element(document, "slack")
    if word:
        assert word in _element(document, "verdict")
    else:
        assert "SLACK" not in _element(document, "verdict")
    assert "untrusted" not in document


def test_what_does_not_count_of_a_source_is_told(browse: Browse) -> None:
    """The source is read, and the numbers of the rest stay trusted."""
    with scenes.serve(scenes.application(scenes.doubted)) as address:
        document = browse(address)
    assert "PARTLY UNKNOWN" in _element(document, "verdict")
    assert "ambiguous_target" in _element(document, "banner")
    assert "past of 12 service levels: 42 % read, not in the numbers yet" in _element(document, "sources")
    assert scenes.HOSTILE in html.unescape(document)
    assert "WAS OK" not in document
    assert "which no node has: policy-correctness." in _element(document, "slos-waiting")
    assert "policy-correctness" not in _element(document, "slos-list")
    assert "NO DATA" not in document


def test_a_new_controller_says_that_nothing_is_measured(browse: Browse) -> None:
    """No SLOs and no evaluation yet is neither OK nor an error."""
    with scenes.serve(scenes.application(scenes.newborn)) as address:
        document = browse(address)
    assert "nothing measured yet" in _element(document, "verdict")
    assert "never" in _element(document, "evaluated")


def test_a_dead_api_shows_the_banner(browse: Browse) -> None:
    """When no part of the API answers, headline, title and banner say that it is unreachable."""
    everything = frozenset({"slos", "alerts", "incidents", "runs", "status"})
    with scenes.serve(scenes.application(scenes.calm, dead=everything)) as address:
        document = browse(address)
    assert "API UNREACHABLE" in _element(document, "verdict")
    assert "HTTP 500" in _element(document, "banner")
    assert "<title>▲ API UNREACHABLE" in document


def test_one_dead_part_does_not_hide_the_others(browse: Browse) -> None:
    """A broken list of runs is named in the banner; the firing page is still there."""
    with scenes.serve(scenes.application(scenes.incident, dead=frozenset({"runs"}))) as address:
        document = browse(address)
    assert "/api/v1/runs failed" in _element(document, "banner")
    assert "ErrorBudgetBurn" in _element(document, "alerts-list")


def test_a_refresh_keeps_what_is_open_and_focused(browse: Browse) -> None:
    """News neither folds an open journal nor takes the keyboard focus away."""
    app = scenes.application(scenes.incident)

    @app.get("/harness")
    def harness() -> fastapi.Response:
        page = f'<!doctype html><title>wait</title><script type="module">{_HARNESS}</script>'
        return fastapi.Response(page, media_type="text/html")

    with scenes.serve(app) as address:
        document = browse(f"{address}harness")
    assert "<title>kept=true focused=true cards=3</title>" in document
