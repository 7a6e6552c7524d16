"""A program that the kernel refuses, and a map that is nearly full: alerted with their owner, looked at."""

import pathlib
import shutil
from typing import Final

import pytest

from netsre.app.resources import directory
from tests.kernel import program_loader
from tests.kernel.automated import automated
from tests.kernel.map_holder import holding
from tests.machine import open_directory

pytestmark = [pytest.mark.requires("root", "bpf", "bcc", "netns")]

_OWNER: Final = "runbook-test"
_HASH, _LRU = 1, 9


def levels(home: pathlib.Path) -> pathlib.Path:
    """Return a copy of what ships, in which a load fails at once, and that of this test's process alone."""
    made = home / "slos"
    shutil.copytree(directory("slos"), made)
    file = made / "program-loads.yaml"
    text = file.read_text(encoding="utf-8")
    assert text.count("for: 30s") == 2
    mine = text.replace("for: 30s", "for: 0s", 1).replace("for: 30s", "for: 1s")
    file.write_text(mine.replace('reason!="EPERM"', f'owner="{_OWNER}",reason!="EPERM"'), encoding="utf-8")
    return made


def test_a_program_that_the_verifier_refuses_pages_until_its_owner_loads_one() -> None:
    """With the verifier's words and what the kernel lacks in the journal of the run; EPERM is no page."""
    with open_directory() as home:
        given = ("--slos", str(levels(home)))
        with automated(home, "program-load-failure", (), *given) as automation:
            program_loader.run(_OWNER.encode(), "good:1", "beyond:1", "refused:1")
            run = automation.ended()
            [alert] = automation.alerts("ProgramLoadFailing")
            program_loader.run(_OWNER.encode(), "xdp:1")
            automation.controller.until(lambda _: not automation.alerts("ProgramLoadFailing"))

    assert (run["result"], alert["labels"]["owner"], alert["labels"]["severity"]) == (
        "succeeded",
        _OWNER,
        "page",
    )
    assert alert["annotations"]["runbook_url"].endswith("/runbooks/program-load-failure")
    assert "R2 !read_ok" in str(run), run
    assert "t_refused" in str(run)
    assert "'missing': 'helper 9999'" in str(run), run


def test_a_map_that_will_refuse_entries_is_a_ticket_and_one_that_evicts_is_none() -> None:
    """With its owner and its name; both are as full."""
    maps = (f"t_refuses:{_HASH}:100:95", f"t_evicts:{_LRU}:100:100")
    with (
        open_directory() as home,
        automated(home, "map-pressure", ("--without", "loads")) as automation,
        holding(_OWNER.encode(), *maps),
    ):
        run = automation.until(lambda run: bool(run["result"]) and "t_refuses" in run["target"])
        found = [one["labels"] for one in automation.alerts("MapExhaustion")]

    assert [one["map"] for one in found if one["owner"] == _OWNER] == ["t_refuses"]
    assert run["result"] == "succeeded"
    assert run["target"] == f"map-pressure/a/{_OWNER}/t_refuses"
    assert "'entries': 95" in str(run), run
