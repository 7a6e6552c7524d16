"""What `make test` does with a test that failed: once more, alone, and never in silence."""

import os
import pathlib
import subprocess
import sys

import pytest

from tools.run_tests import MOST

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent.parent

FAILS_ONCE = """
import pathlib, random

def test_now_and_then():
    drawn, before = str(random.random()), pathlib.Path({seen!r})
    if not before.exists():
        before.write_text(drawn)
        raise AssertionError("nobody gave me a processor")
    assert before.read_text() == drawn, "other random numbers than before"
"""
ALWAYS = "def test_wrong():\n    raise AssertionError('it is wrong')\n"
FINE = "def test_fine():\n    pass\n"
PASSED = "passed only when run again alone"
FAILED = "failed again when run alone"

shares = pytest.mark.parametrize("workers", ["0", "2"], ids=["alone", "shared"])


def run(directory: pathlib.Path, *options: str, ci: bool = False) -> "subprocess.CompletedProcess[str]":
    """Run the tests of a project as `make test` does, under the rules of this one."""
    (directory / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    added = {"PYTHONPATH": str(CHECKOUT), "PYTEST_PLUGINS": "tests.conftest", "CI": "true" if ci else ""}
    return subprocess.run(
        [sys.executable, "-m", "tools.run_tests", *options],
        cwd=directory,
        env={**os.environ, **added},
        capture_output=True,
        text=True,
        check=False,
    )


def write(directory: pathlib.Path, name: str, source: str) -> None:
    """Add a module of tests to a project."""
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)


@shares
def test_what_passes_alone_is_named_and_the_run_passes(tmp_path: pathlib.Path, workers: str) -> None:
    """With the same random numbers; the first failure stays to be read, and why is said in the list."""
    write(tmp_path, "tests/kernel/test_a.py", FAILS_ONCE.format(seen=str(tmp_path / "seen")))
    write(tmp_path, "tests/kernel/test_b.py", FINE)
    done = run(tmp_path, "-n", workers)

    assert done.returncode == 0, done.stdout
    assert f"{PASSED}: 1\n  tests/kernel/test_a.py::test_now_and_then\n" in done.stdout
    assert "      at first: AssertionError: nobody gave me a processor\n" in done.stdout
    assert 'raise AssertionError("nobody gave me a processor")' in done.stdout
    assert FAILED not in done.stdout


@shares
def test_what_fails_again_fails_the_run(tmp_path: pathlib.Path, workers: str) -> None:
    """Beside one that passed alone: both are named."""
    write(tmp_path, "tests/kernel/test_a.py", FAILS_ONCE.format(seen=str(tmp_path / "seen")))
    write(tmp_path, "tests/system/test_b.py", ALWAYS)
    done = run(tmp_path, "-n", workers)

    assert done.returncode == 1
    assert f"{FAILED}: 1\n  tests/system/test_b.py::test_wrong\n" in done.stdout
    assert f"{PASSED}: 1\n" in done.stdout


SEVERAL = """
import pytest

@pytest.mark.parametrize("number", range({count}))
def test_wrong(number):
    raise AssertionError("it is wrong")
"""


@pytest.mark.parametrize(
    ("name", "source", "options", "why"),
    [
        ("tests/unit/test_a.py", ALWAYS, ("-n", "2"), "depends on nothing that runs beside it"),
        ("tests/kernel/test_a.py", SEVERAL.format(count=MOST + 1), ("-n", "2"), "more than 8"),
        ("tests/kernel/test_a.py", SEVERAL.format(count=2), ("-n", "2", "-x"), "pytest ended with 2"),
        ("tests/kernel/test_a.py", SEVERAL.format(count=2), ("-n", "0", "-x"), "stopping after 1 failures"),
        ("tests/kernel/test_a.py", "import no_such_module\n", ("-n", "2"), "was not collected"),
        (
            "tests/kernel/test_a.py",
            "import no_such_module\n",
            ("-n", "0", "--continue-on-collection-errors"),
            "was not collected",
        ),
        (
            "tests/kernel/test_a.py",
            "import os\n\ndef test_dies():\n    os._exit(3)\n",
            ("-n", "2"),
            "a worker died in tests/kernel/test_a.py::test_dies",
        ),
    ],
    ids=["unit", "many", "cut-shared", "cut-alone", "collection-shared", "collection-alone", "dead-worker"],
)
def test_what_a_second_try_says_nothing_about_fails_at_once(
    tmp_path: pathlib.Path, name: str, source: str, options: tuple[str, ...], why: str
) -> None:
    """In one line with the reason, and no test is run again."""
    write(tmp_path, name, source)
    write(tmp_path, "tests/system/test_z.py", FINE)
    done = run(tmp_path, *options)

    assert done.returncode != 0
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("no second try: ")]
    assert why in line
    assert "=== again, alone" not in done.stdout


NEEDY_LATER = """
import pathlib, pytest

def test_needs_more_later():
    before = pathlib.Path({seen!r})
    if before.exists():
        pytest.skip("not here")
    before.touch()
    raise AssertionError("for now")
"""


def test_in_ci_the_second_try_may_not_skip(tmp_path: pathlib.Path) -> None:
    """The rules are those of the run."""
    write(tmp_path, "tests/kernel/test_a.py", NEEDY_LATER.format(seen=str(tmp_path / "seen")))
    done = run(tmp_path, "-n", "2", ci=True)

    assert done.returncode == 1
    assert f"{FAILED}: 1\n" in done.stdout


def test_a_run_in_which_all_is_well_says_nothing_of_it(tmp_path: pathlib.Path) -> None:
    """No list, no second process."""
    write(tmp_path, "tests/kernel/test_a.py", FINE)
    done = run(tmp_path, "-n", "2")

    assert done.returncode == 0
    assert "again" not in done.stdout
