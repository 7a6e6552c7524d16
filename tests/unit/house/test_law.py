"""Laws of the source that neither the linter nor the import law can see."""

import ast
import functools
import pathlib
import re
from collections.abc import Callable, Container
from typing import Final

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


@functools.cache
def tree_of(module: str) -> ast.Module:
    """Parse one module of the package."""
    return ast.parse((CHECKOUT / module).read_text(encoding="utf-8"))


def broken(found: Callable[[str], object], spared: Container[str] = ()) -> dict[str, object]:
    """Return what was found of each module in which something was, but for those that a law spares."""
    return {module: what for module in MODULES if module not in spared and (what := found(module))}


def raised(module: str) -> set[str]:
    """Return the names of the errors that a module makes."""
    calls = (node.func for node in ast.walk(tree_of(module)) if isinstance(node, ast.Call))
    return {ast.unparse(call).rpartition(".")[2] for call in calls}


def dotted_names(tree: ast.Module) -> set[str]:
    """Return every `a.b` and `a.b.c` that a module mentions."""
    return {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def test_functions_fit_on_a_screen() -> None:
    """A function that does not is two functions."""

    def long(module: str) -> list[str]:
        return [
            f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
            for node in ast.walk(tree_of(module))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.end_lineno is not None
            and node.end_lineno - node.lineno >= LONGEST_FUNCTION
        ]

    assert broken(long) == {}


def test_modules_stay_readable_in_one_sitting() -> None:
    """A module that does not is two modules."""

    def lines(module: str) -> int:
        return len((CHECKOUT / module).read_text(encoding="utf-8").splitlines())

    assert broken(lambda module: lines(module) > LONGEST_MODULE and lines(module)) == {}


def test_only_the_composition_root_reads_the_environment() -> None:
    """Settings enter in one place and travel as arguments from there."""
    root = [module for module in MODULES if module.startswith("netsre/app/")]
    environment = {"os.environ", "os.getenv", "os.environb"}

    assert broken(lambda module: dotted_names(tree_of(module)) & environment, root) == {}


def test_only_the_clock_knows_the_time_of_day() -> None:
    """Adapters may wait and measure; what time it is comes from the clock they are given."""
    assert broken(lambda module: dotted_names(tree_of(module)) & WALL_CLOCKS, ["netsre/clock.py"]) == {}


def test_emitted_names_live_in_the_conventions() -> None:
    """A metric's name is written down once, so that no two places can disagree on it."""
    metrics = {
        value
        for value in vars(conventions).values()
        if isinstance(value, str) and re.fullmatch(r"netsre_\w+", value)
    }

    def repeated(module: str) -> set[str]:
        return metrics & {
            node.value
            for node in ast.walk(tree_of(module))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }

    assert broken(repeated, ["netsre/conventions.py"]) == {}


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
