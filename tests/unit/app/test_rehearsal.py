"""What a runbook would do is told exactly, to whoever shows the token, and nothing is done."""

import asyncio
import json
import pathlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from netsre import clock
from netsre.app import given_alert, request
from netsre.app.control import plan_api
from netsre.cli import runbook_plan
from netsre.cli.main import run
from netsre.clock import Timestamp
from netsre.errors import BadInput
from netsre.model.documents import Document
from netsre.model.runbooks import Manner, Step
from netsre.runbook.actions.contract import ActionFailed, Subject, Views
from netsre.runbook.actions.evidence import Collect
from tests.unit.app.crashing import Lab, begun_lab
from tests.unit.app.test_crash_harness import LOOP

SHOWN = "what-the-tests-show"
LABELS = {
    "alertname": "ConntrackUtilization",
    "severity": "page",
    "service": "node-conntrack",
    "node": "a",
    "netns": "lab",
}
ALERT: dict[str, Any] = {"labels": LABELS, "startsAt": "2026-01-01T00:00:00Z", "status": "firing"}


@pytest.fixture
def lab(tmp_path: pathlib.Path) -> Iterator[Lab]:
    """Return a lab with a controller that took one reading."""
    with begun_lab(tmp_path) as made:
        yield made


def ask(
    lab: Lab, alert: object = ALERT, name: str = "conntrack-exhaustion", token: str = SHOWN, query: str = ""
) -> Any:  # noqa: ANN401 - JSON
    """Return status and JSON of the answer."""
    assert lab.current is not None
    app = FastAPI()
    app.include_router(plan_api.router(lab.current.world, SHOWN))

    async def post() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            headers = {"Authorization": f"Bearer {token}"}
            return await client.post(f"/api/v1/runbooks/{name}/plan{query}", json=alert, headers=headers)

    answer = asyncio.run(post())
    return answer.status_code, answer.json()


def test_a_plan_names_every_gate_and_the_exact_effects(lab: Lab) -> None:
    """And the node is as it was: looked at, never changed, with no run on record."""
    status, plan = ask(lab)

    assert (status, plan["accepted"], plan["reason"]) == (200, True, "accepted")
    assert all(gate["passed"] and gate["detail"] for gate in plan["gates"])
    assert {"cooldown", "common_cause", "kill_switch_on"} <= {gate["gate"] for gate in plan["gates"]}
    assert plan["evidence"]["0"]["top_source"] == "10.0.0.9"
    effects = [step["effect"] for step in plan["plan"]["steps"]]
    assert effects[1:] == [
        {"kind": "block", "netns": "lab", "interface": "eth0", "source": "10.0.0.9", "ttl": 600_000},
        {"kind": "flush", "netns": "lab", "source": "10.0.0.9"},
        {"kind": "limit", "before": 1000, "after": 2000, "ttl": 3_600_000},
    ]
    assert len(plan["plan"]["hash"]) == 64
    assert ask(lab)[1]["plan"]["hash"] == plan["plan"]["hash"]
    assert (lab.runs(), lab.host.applied) == ([], [])
    assert set(lab.wire.calls) <= {"table", "route", "limit"}


def test_a_gate_that_says_no_is_named_and_the_effects_are_told_all_the_same(lab: Lab) -> None:
    """The kill switch is on."""
    lab.switch(on=True)

    _, plan = ask(lab)

    assert (plan["accepted"], plan["reason"]) == (False, "kill_switch_on")
    assert plan["plan"]["steps"][1]["effect"]["source"] == "10.0.0.9"


def test_without_a_source_to_block_the_plan_is_refused(lab: Lab) -> None:
    """Every gate says yes, and there is nothing to act upon."""
    lab.host.noisy = lab.host.held = 0

    _, plan = ask(lab)

    assert (plan["accepted"], plan["reason"]) == (False, "no_source")


def test_a_node_without_an_answer_leaves_no_plan(lab: Lab) -> None:
    """One word and one sentence."""
    lab.wire.silent = True

    _, plan = ask(lab)

    assert (plan["accepted"], plan["reason"], plan["plan"]) == (False, "node_unreachable", None)
    assert plan["problem"] == "no answer"


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ({**LABELS, "severity": "ticket"}, "condition_false"),
        ({**LABELS, "alertname": "Other"}, "not_matched"),
        ({"alertname": "ConntrackUtilization", "severity": "page"}, "no_target"),
    ],
)
def test_an_alert_of_another_kind_is_not_acted_upon(lab: Lab, labels: dict[str, str], reason: str) -> None:
    """With the word of the first gate that says no."""
    _, plan = ask(lab, ALERT | {"labels": labels})

    assert (plan["accepted"], plan["reason"]) == (False, reason)


@pytest.mark.parametrize(
    ("alert", "name", "token", "status"),
    [
        (ALERT, "conntrack-exhaustion", "another-token-of-someone", 401),
        (ALERT, "conntrack-exhaustoin", SHOWN, 404),
        ({"labels": {}}, "conntrack-exhaustion", SHOWN, 400),
        ({"labels": {"alertname": 1}}, "conntrack-exhaustion", SHOWN, 400),
        ([], "conntrack-exhaustion", SHOWN, 422),
    ],
)
def test_what_is_wrong_with_a_request_is_its_status(
    lab: Lab, alert: object, name: str, token: str, status: int
) -> None:
    """No token, no such runbook, no alert."""
    assert ask(lab, alert, name, token)[0] == status
    assert lab.wire.calls == []


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"labels": LABELS}),
        json.dumps({"labels": LABELS, "status": {"state": "active"}, "endsAt": "2030-01-01T00:00:00Z"}),
        json.dumps({"version": "4", "alerts": [ALERT]}),
    ],
)
def test_an_alert_is_read_in_either_form(text: str) -> None:
    """As Alertmanager's API has it, with less, and as the webhook of one."""
    notice = given_alert.notice(given_alert.read(text, Timestamp(1_767_225_600_000)))

    assert (dict(notice.labels), notice.status) == (LABELS, "firing")
    assert clock.rfc3339(notice.starts_at) == "2026-01-01T00:00:00.000Z"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "alert is no JSON"),
        ("[]", "alert is no JSON object"),
        ("{}", "alert.labels is empty"),
        (json.dumps({"alerts": [ALERT, ALERT]}), "has 2 alerts; hand in one"),
        (json.dumps({"labels": LABELS, "startsAt": "yesterday"}), "alert.startsAt 'yesterday' is no time"),
    ],
)
def test_what_is_no_alert_is_refused_with_what_is_wrong(text: str, said: str) -> None:
    """Before anybody is asked."""
    with pytest.raises(BadInput, match=said):
        given_alert.read(text, Timestamp(0))


def test_a_person_reads_gates_and_effects_in_80_columns(
    lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every gate with its reason, every effect with its figures; a label is never markup."""
    monkeypatch.setenv("COLUMNS", "80")
    lab.switch(on=True)
    _, plan = ask(lab, ALERT | {"labels": {**LABELS, "node": "[bold]a[/bold]"}})

    runbook_plan.show(plan)

    said = capsys.readouterr().out
    assert "conntrack-exhaustion would not act on conntrack/[bold]a[/bold] (not_matched)" in said
    assert "kill_switch_on" in said
    assert "REFUSES" in said
    assert all(len(line) <= 80 for line in said.splitlines())
    assert plan["plan"]["hash"] in said.replace("\n", "")


def test_the_command_prints_the_answer_and_its_exit_code_is_asked_for(
    lab: Lab,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """0 for an answer, 1 with `--exit-code` where the answer is no, 2 for a file that is no alert."""
    lab.switch(on=True)
    asked: list[str] = []

    def send(_controller: object, _data_dir: object, path: str, document: object) -> object:
        asked.append(path)
        return ask(lab, document)[1]

    monkeypatch.setattr(request, "send", send)
    file, none = tmp_path / "alert.json", tmp_path / "none.json"
    file.write_text(json.dumps(ALERT))
    none.write_text("{}")
    command = ["runbook", "plan", "conntrack-exhaustion", "--json", "--alert"]

    assert run([*command, str(file)]) == 0
    assert json.loads(capsys.readouterr().out)["reason"] == "kill_switch_on"
    assert run([*command, str(file), "--exit-code"]) == 1
    assert run([*command, str(none)]) == 2
    assert asked == ["/api/v1/runbooks/conntrack-exhaustion/plan"] * 2
    assert run([*command, str(file), "--set", "ttl=5m", "--set", "whom=a&b=c"]) == 0
    assert asked[2] == "/api/v1/runbooks/conntrack-exhaustion/plan?set=ttl%3D5m&set=whom%3Da%26b%3Dc"
    assert run([*command, str(file), "--set", "ttl"]) == 2
    assert run([*command, str(file), "--set", "ttl=1m", "--set", "ttl=2m"]) == 2


def test_a_plan_is_made_with_the_parameters_that_are_asked_for(lab: Lab) -> None:
    """One that the runbook does not have is a bad request."""
    status, said = ask(lab, query="?set=ttl%3D5m")
    assert (status, said["detail"]) == (400, "runbook conntrack-exhaustion has no parameter 'ttl'")


@pytest.mark.parametrize("query", ["?set=a%3D1&set=a%3D2", "?set=a", "?set=%3D1", "?set="])
def test_a_parameter_is_given_once_and_whole(lab: Lab, query: str) -> None:
    """No value wins in silence; what the command line refuses is refused here."""
    status, said = ask(lab, query=query)
    assert (status, said["detail"].partition(": ")[2]) == (400, "write each parameter once, as NAME=VALUE")


def test_without_a_controller_the_command_ends_with_3(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line."""
    file = tmp_path / "alert.json"
    file.write_text(json.dumps(ALERT))

    code = run(
        ["runbook", "plan", "look", "--alert", str(file), "--controller", "http://127.0.0.1:9", "--json"]
    )

    assert code == 3
    assert capsys.readouterr().err.count("\n") == 1


class _Fails(Collect):
    """Sees nothing, ever."""

    def observe(self, subject: Subject, parameters: Document, views: Views) -> Document:  # noqa: ARG002
        """Fail."""
        raise ActionFailed("nothing can be seen")


def test_a_plan_tells_the_rounds_of_a_loop_and_goes_on_without_what_may_fail(
    lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the first round does, exactly, and that others may follow; in 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    assert lab.current is not None
    fails = Step("evidence.collect", {"what": ("slo",)}, manner=Manner(on_failure="continue"))
    book = replace(LOOP, steps=(*LOOP.steps, fails))
    world = lab.current.world
    lab.current.world = replace(world, runbooks={LOOP.name: book})
    _, plan = ask(lab)
    lab.current.world = replace(
        world,
        runbooks={LOOP.name: replace(book, steps=(fails,))},
        actions={**world.actions, fails.action: _Fails()},
    )
    _, goes_on = ask(lab)

    assert (plan["accepted"], goes_on["problem"], goes_on["evidence"]) == (True, None, {})
    assert [step["kind"] for step in plan["plan"]["steps"]] == [
        "observe", "apply", "apply", *["observe", "later", "later"] * 2, "observe",
    ]  # fmt: skip
    runbook_plan.show(plan)
    said = capsys.readouterr().out
    assert said.count("by what is seen then") == 4
    assert "round 2 of 3" in said
    assert max(map(len, said.splitlines())) <= 80


def test_a_plan_says_of_each_change_whether_it_can_be_undone(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is deleted stays deleted: whoever approves reads that before, not in a table of the docs."""
    _, plan = ask(lab)

    runbook_plan.show(plan)

    # However it is folded.
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("(cannot be undone)") == 1
    assert "source=10.0.0.9 (cannot be undone)" in said
