"""A run that sends a secret leaves its handle on record, and the secret nowhere."""

import json
import logging
import pathlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from netsre.adapters.secrets import Secrets
from netsre.app import run_lines
from netsre.app.control import wire
from netsre.app.control.rehearsal import rehearse
from netsre.model.documents import Document
from netsre.runbook import parsing
from netsre.runbook.actions.catalogue import ACTIONS
from netsre.runbook.actions.contract import Subject, Views
from tests.unit.app.crashing import Controller, Lab, begun_lab
from tests.unit.runbook import test_handles

VALUE = "s3cr3t-of-the-pager"
TEXT = """\
apiVersion: netsre.dev/v1
kind: Runbook
metadata: {name: rings}
spec:
  on: [{alert: ConntrackUtilization, transition: firing}]
  lock: 'conntrack/{node}'
  steps: [{action: test.ring, with: {headers: {Authorization: 'Bearer ${secret.pager}'}, body: full}}]
"""


@dataclass
class Rings(test_handles.Ring):
    """An action that sends a header, filled in last."""

    kept: Secrets
    sent: list[str] = field(default_factory=list)

    def observe(self, subject: Subject, parameters: Document, views: Views) -> Document:
        """Send the header, and tell that it was sent."""
        del subject, views
        headers = parameters["headers"]
        assert isinstance(headers, dict)
        self.sent.append(self.kept.fill(str(headers["Authorization"])))
        return {"status": 200}


@pytest.fixture
def lab(tmp_path: pathlib.Path) -> Iterator[Lab]:
    """Return a lab whose directory of secrets has one."""
    directory = tmp_path / "secrets"
    directory.mkdir(0o700)
    (directory / "pager").write_text(VALUE)
    (directory / "pager").chmod(0o600)
    with begun_lab(tmp_path) as made:
        yield made


def play(lab: Lab, caplog: pytest.LogCaptureFixture) -> tuple[Rings, str]:
    """Let a controller run; return what was sent, and everything that it wrote, logged and tells."""
    caplog.set_level(logging.DEBUG)
    rings = Rings(Secrets(lab.directory.parent / "secrets"))
    actions = {**ACTIONS, rings.name: rings}
    lab.books = parsing.parse({"x.yaml": TEXT}, actions, parsing.Known({"ConntrackUtilization"}))
    controller = Controller(lab)
    controller.world = replace(controller.world, actions=actions)
    for _ in range(4):
        controller.turn()
        lab.pass_time(5_000)
    (found,) = lab.runs()
    told = wire.run(*found).model_dump(mode="json")
    with lab.store.read() as transaction:
        (alert,) = transaction.alerts.newest(1)
        audit = "".join(map(str, transaction.audit.rows()))
    planned = rehearse(controller.world, lab.books[0], alert)
    files = b"".join(file.read_bytes() for file in sorted(lab.directory.iterdir()) if file.is_file())
    lines = "\n".join(run_lines.read_runs({"runs": [told]}))
    written = (
        json.dumps(told),
        json.dumps(planned),
        lines,
        audit,
        caplog.text,
        files.decode(errors="replace"),
    )
    return rings, "".join(written)


def test_the_secret_is_sent_and_is_in_nothing_that_is_kept(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in the database, the log, the audit, the plan, nor in any answer; its handle is."""
    rings, written = play(lab, caplog)

    assert rings.sent[0] == f"Bearer {VALUE}"
    assert VALUE not in written
    assert "${secret.pager}" in written
    ((run, _),) = lab.runs()
    assert (run.state.value, run.reason) == ("succeeded", "steps_done")


def test_a_secret_that_is_missing_fails_the_step_by_its_word(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    """And nothing is sent."""
    (lab.directory.parent / "secrets" / "pager").chmod(0o644)
    rings, written = play(lab, caplog)

    assert (rings.sent, VALUE in written) == ([], False)
    ((run, _),) = lab.runs()
    assert (run.state.value, run.reason) == ("failed", "secret_unsafe")
