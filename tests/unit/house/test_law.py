"""Laws of the source that neither the linter nor the import law can see."""

import ast
import pathlib
import re
from typing import Final

import pytest

from netsre import conventions, errors

CHECKOUT: Final = pathlib.Path(__file__).resolve().parents[3]
PACKAGE: Final = CHECKOUT / "netsre"
MODULES: Final = sorted(path.relative_to(CHECKOUT).as_posix() for path in PACKAGE.rglob("*.py"))

LONGEST_FUNCTION: Final = 40
LONGEST_MODULE: Final = 400
WALL_CLOCKS: Final = {
    "time.time",
    "time.time_ns",
    "datetime.now",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.date.today",
}


def tree_of(module: str) -> ast.Module:
    """Parse one module of the package."""
    return ast.parse((CHECKOUT / module).read_text(encoding="utf-8"))


def raised(module: str) -> set[str]:
    """Return the names of the errors that a module makes."""
    calls = (node.func for node in ast.walk(tree_of(module)) if isinstance(node, ast.Call))
    return {ast.unparse(call).rpartition(".")[2] for call in calls}


def dotted_names(tree: ast.Module) -> set[str]:
    """Return every `a.b` and `a.b.c` that a module mentions."""
    return {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


@pytest.mark.parametrize("module", MODULES)
def test_functions_fit_on_a_screen(module: str) -> None:
    """A function that does not is two functions."""
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= LONGEST_FUNCTION
    ]

    assert not long


@pytest.mark.parametrize("module", MODULES)
def test_modules_stay_readable_in_one_sitting(module: str) -> None:
    """A module that does not is two modules."""
    assert len((CHECKOUT / module).read_text(encoding="utf-8").splitlines()) <= LONGEST_MODULE


@pytest.mark.parametrize("module", [name for name in MODULES if not name.startswith("netsre/app/")])
def test_only_the_composition_root_reads_the_environment(module: str) -> None:
    """Settings enter in one place and travel as arguments from there."""
    read = dotted_names(tree_of(module)) & {"os.environ", "os.getenv", "os.environb"}

    assert not read


@pytest.mark.parametrize("module", [name for name in MODULES if name != "netsre/clock.py"])
def test_only_the_clock_knows_the_time_of_day(module: str) -> None:
    """Adapters may wait and measure; what time it is comes from the clock they are given."""
    asked = dotted_names(tree_of(module)) & WALL_CLOCKS

    assert not asked


@pytest.mark.parametrize("module", [name for name in MODULES if name != "netsre/conventions.py"])
def test_emitted_names_live_in_the_conventions(module: str) -> None:
    """A metric's name is written down once, so that no two places can disagree on it."""
    metrics = {
        value
        for value in vars(conventions).values()
        if isinstance(value, str) and re.fullmatch(r"netsre_\w+", value)
    }
    literals = {
        node.value
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }

    repeated = metrics & literals

    assert not repeated


def test_the_errors_are_drawn_as_they_are() -> None:
    """The tree in the docstring of `netsre.errors` holds every error of ours, wherever its class stands."""
    drawn: dict[str, str] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"([ │├└─]*)([A-Z]\w+) {2,}\S", line):
            depth = len(found[1]) // 4
            above[depth:] = [found[2]]
            drawn[found[2]] = above[depth - 1] if depth else "Exception"
    bases = {
        node.name: ast.unparse(node.bases[0]).rpartition(".")[2]
        for module in MODULES
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.ClassDef) and node.bases
    }
    ours = {"NetsreError"}
    while more := {name for name, base in bases.items() if base in ours} - ours:
        ours |= more

    assert drawn == {name: bases[name] for name in ours}


def test_every_error_is_raised_somewhere() -> None:
    """An error that nothing raises misleads whoever reads the tree."""
    made = set[str]().union(*map(raised, MODULES))
    names = {name for name, value in vars(errors).items() if isinstance(value, type)}
    kinds = {name for name in names if issubclass(getattr(errors, name), errors.NetsreError)}

    assert kinds - made == {"NetsreError"}


def test_the_layers_of_the_architecture_page_are_those_of_the_law() -> None:
    """A layer that is drawn is enforced, and one that is enforced is drawn."""
    law = (CHECKOUT / ".importlinter").read_text(encoding="utf-8")
    page = (CHECKOUT / "docs" / "architecture.md").read_text(encoding="utf-8")
    enforced = re.search(r"^layers =\n((?: +.+\n)+)", law, re.MULTILINE)
    assert enforced
    for layer in enforced[1].replace("(", "").replace(")", "").splitlines():
        names = [name.strip() for name in layer.split("|")]

        assert re.search(r"^ +" + r" +\| +".join(map(re.escape, names)) + r"\b", page, re.MULTILINE), layer
