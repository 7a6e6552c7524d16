"""Files that are read again and again: what has not changed is not read, and no change is missed."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from netsre.app.policing.sources import Sources
from netsre.errors import BadInput, EnvironmentUnfit


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Make a directory of policies as Kubernetes mounts one, and a file of endpoints beside it."""
    volume = tmp_path / "policies"
    for generation in ("..1", "..2"):
        (volume / generation).mkdir(parents=True)
        (volume / generation / "a.yaml").write_text(f"a{generation}", encoding="utf-8")
    (volume / "..data").symlink_to("..1")
    (volume / "a.yaml").symlink_to("..data/a.yaml")
    (volume / "b.yaml").write_text("b", encoding="utf-8")
    (tmp_path / "endpoints.yaml").write_text("e", encoding="utf-8")
    return tmp_path


def test_only_what_has_changed_is_read_again(home: Path) -> None:
    """The rest is the same text as before; of the same size, too, a change is seen."""
    sources = Sources([home / "policies"], home / "endpoints.yaml")
    first = sources.read()
    (home / "fresh").write_text("B", encoding="utf-8")
    (home / "fresh").rename(home / "policies" / "b.yaml")
    second = sources.read()

    names = [str(home / "policies" / name) for name in ("a.yaml", "b.yaml")]
    assert [second.policies[name] for name in names] == ["a..1", "B"]
    assert second.policies[names[0]] is first.policies[names[0]]
    assert second.endpoints == {str(home / "endpoints.yaml"): "e"}


def test_relative_paths_of_a_directory_that_is_gone_say_so(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the beginning, and later, when what was watched is still known; whole paths need it not."""
    here = home / "here"
    here.mkdir()
    (home / "policies").rename(here / "policies")
    (home / "endpoints.yaml").rename(here / "endpoints.yaml")
    monkeypatch.chdir(here)
    sources = Sources([Path("policies")], Path("endpoints.yaml"))
    before = {*sources.read().policies}, sources.directories()
    shutil.move(here / "policies", home)
    shutil.move(here / "endpoints.yaml", home)
    here.rmdir()

    assert before[0] == {"policies/a.yaml", "policies/b.yaml"}
    assert here / "policies" in before[1]
    with pytest.raises(EnvironmentUnfit, match=r"policies: the directory in which this was started is gone"):
        sources.read()
    assert here in sources.directories()
    with pytest.raises(EnvironmentUnfit, match="write paths from / on"):
        Sources([Path("policies")], home / "endpoints.yaml")
    assert Sources([home / "policies"], home / "endpoints.yaml").read().policies


def test_a_volume_that_is_switched_has_other_files(home: Path) -> None:
    """One link is renamed over, and no file is touched."""
    sources = Sources([home / "policies"], home / "endpoints.yaml")
    sources.read()
    (home / "policies" / "new").symlink_to("..2")
    (home / "policies" / "new").rename(home / "policies" / "..data")

    assert sources.read().policies[str(home / "policies" / "a.yaml")] == "a..2"


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/dev/null"), os.mkfifo], ids=["null", "pipe"])
def test_what_has_no_end_is_not_read(home: Path, make: Callable[[Path], None]) -> None:
    """Whoever follows would wait for ever for the end of a pipe, and be there for nobody."""
    make(home / "policies" / "c.yaml")

    with pytest.raises(BadInput, match=r"c\.yaml is no regular file"):
        Sources([home / "policies"], home / "endpoints.yaml").read()


def test_what_cannot_be_read_is_said_and_known_again_afterwards(home: Path) -> None:
    """A file that is gone; what was known of the others stays known."""
    sources = Sources([home / "policies"], home / "endpoints.yaml")
    first = sources.read()
    (home / "endpoints.yaml").rename(home / "elsewhere")
    with pytest.raises(BadInput, match=r"endpoints\.yaml"):
        sources.read()
    (home / "elsewhere").rename(home / "endpoints.yaml")

    assert sources.read() == first


def test_every_directory_is_named_in_which_a_change_would_show(home: Path) -> None:
    """Those of files, of links on the way to them, and that in which a named one would be renamed over."""
    (home / "current").symlink_to(home / "policies")
    (home / "policies" / "sub").mkdir()
    found = Sources([home / "current"], home / "endpoints.yaml").directories()

    assert found[home] == {"current", "policies", "endpoints.yaml"}
    assert [found[home / "current" / name] for name in ("", "sub")] == [None, None]
    assert found[home / "policies"] == {"a.yaml", "..data"}
    assert found[home / "policies" / "..1"] == {"a.yaml"}


def test_links_that_lead_nowhere_end(home: Path) -> None:
    """A circle of them is no file; it is not followed for ever."""
    for name, other in (("x.yaml", "y.yaml"), ("y.yaml", "x.yaml")):
        (home / "policies" / name).symlink_to(other)
    sources = Sources([home / "policies"], home / "endpoints.yaml")

    assert home / "policies" in sources.directories()
    with pytest.raises(BadInput, match=os.strerror(40)):
        sources.read()
