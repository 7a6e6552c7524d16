"""`netsre incident` asks the API that a controller serves; a draft goes into a new file only."""

import json
import pathlib
from collections.abc import Iterator

import fastapi
import pytest

from netsre.app.control.incidents import api as incident_api
from netsre.app.control.postmortem import api as postmortem_api
from netsre.app.control.snapshot import Board
from netsre.cli.main import run
from tests.system import console_fixture
from tests.unit import burning
from tests.unit.app import incident_story as told
from tests.unit.app.fakes import SetClock, world

pytestmark = pytest.mark.system

NAME = "20260101-7731"


@pytest.fixture
def controller(tmp_path: pathlib.Path) -> Iterator[str]:
    """Serve one whole incident; yield the address."""
    store = burning.store(tmp_path)
    told.whole(store)
    app = fastapi.FastAPI()
    clock = SetClock(told.at(300))
    app.include_router(incident_api.router(world(store, tmp_path, clock)))
    app.include_router(postmortem_api.router(store, Board(burning.T0), clock))
    with console_fixture.serve(app) as address:
        yield address.rstrip("/")
    store.close()


def test_incidents_are_listed_shown_and_drafted(
    controller: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As people read it, and as one document; a draft never goes over what somebody may have written."""
    where = ["--controller", controller]

    assert run(["incident", "list", *where]) == 0
    assert f"{NAME}    closed  page    2026-01-01 00:00:00  Conntrack" in capsys.readouterr().out
    assert run(["incident", "show", NAME, *where]) == 0
    shown = capsys.readouterr().out
    assert "      +0.5 s  effect       drop packets of 10.77.0.12" in shown
    assert "nothing is left to do" in shown
    # A word that has no blank to fold at stays whole.
    assert [line for line in shown.splitlines() if len(line) > 80 and " " in line.strip()] == []
    assert run(["incident", "show", NAME, "--json", *where]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == NAME
    assert run(["incident", "postmortem", NAME, *where]) == 0
    assert capsys.readouterr().out.startswith("# Postmortem: ConntrackUtilization on worker-17")
    out = tmp_path / "draft.html"
    draft = ["incident", "postmortem", NAME, "--format", "html", "--out", str(out), *where]
    assert run(draft) == 0
    assert out.read_text().startswith("<!doctype html>")
    out.write_text("somebody's words")
    assert run(draft) == 2
    assert out.read_text() == "somebody's words"


@pytest.mark.parametrize("name", ["none", "..", "a/b", "../slos", "?format=json", "\udcff", ""])
def test_what_is_no_incident_is_bad_input(
    controller: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told in one line, and no other path is asked for."""
    for verb in ("show", "postmortem"):
        assert run(["incident", verb, name, "--controller", controller]) in (2, 3)
        (line,) = capsys.readouterr().err.splitlines()
        assert "internal error" not in line
