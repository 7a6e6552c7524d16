"""What revisions were made of, beside the state of the policies of a node."""

from pathlib import Path

import pytest

from netsre.app.policing.recipes import Recipe, Recipes
from netsre.datapath.policy.modes import Mode
from netsre.datapath.policy.reference import Staged
from netsre.errors import EnvironmentUnfit

RECIPE = Recipe(
    {"p.yaml": "kind: …"}, {"e.yaml": "- {}"}, {"x/p": Mode.MONITOR, "x/q": Mode.OFF}, ("x/own", "x/other")
)


def test_what_is_written_is_read_again_and_kept_from_others(tmp_path: Path) -> None:
    """All of it, in a file of its own that is nobody else's to read; of another number nobody knows."""
    recipes = Recipes(tmp_path)
    recipes.write(7, RECIPE)

    assert Recipes(tmp_path).read(7) == RECIPE
    assert recipes.read(8) is None
    assert [one.stat().st_mode & 0o777 for one in tmp_path.rglob("*")] == [0o700, 0o600]
    assert RECIPE.staged == Staged(frozenset({"x/p"}), frozenset({"x/q"}))


def test_only_what_is_kept_stays_whatever_a_kill_left_behind(tmp_path: Path) -> None:
    """Files of other numbers, and one that was being written."""
    recipes = Recipes(tmp_path)
    for number in range(1, 5):
        recipes.write(number, RECIPE)
    (tmp_path / "revisions" / "9.json.new").write_text("{", encoding="utf-8")
    recipes.keep({2, 4, 6})

    assert sorted(one.name for one in (tmp_path / "revisions").iterdir()) == ["2.json", "4.json"]


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"version": 2}', '{"version": 1, "policies": []}', "\x00", "[" * 100_000],
    ids=["empty", "list", "version", "types", "nul", "deep"],
)
def test_what_cannot_be_read_is_said_in_one_line_with_the_next_step(tmp_path: Path, text: str) -> None:
    """Verdicts do not rest on it."""
    (tmp_path / "revisions").mkdir()
    (tmp_path / "revisions" / "3.json").write_text(text, encoding="utf-8")

    with pytest.raises(
        EnvironmentUnfit, match=r"3\.json cannot be read .*move it away and apply again"
    ) as told:
        Recipes(tmp_path).read(3)
    assert "\n" not in str(told.value)
