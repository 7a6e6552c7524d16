"""The run of tests itself: it names what it skips, skips nothing in CI, and leaves no namespace behind."""

import os
import pathlib
import subprocess
import sys

import pytest

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent.parent

# No process has this id: it is above the highest that Linux hands out.
ORPHAN = "netsre-gate-4194305-1-probe"


# As `make test` does; two, also where there is one processor only.
SHARED = ("-n", "2")

shares = pytest.mark.parametrize("options", [(), SHARED], ids=["alone", "shared"])
"""A run in one process, and one that two workers share."""


def run_tests(
    directory: pathlib.Path, source: str, *options: str, ci: bool
) -> "subprocess.CompletedProcess[str]":
    """Run one test module of its own as `make test` does, under the rules of this project."""
    module = directory / "test_inner.py"
    module.write_text(source)
    rules = ["-p", "tests.conftest", "-p", "no:cacheprovider", "-c", str(CHECKOUT / "pyproject.toml")]
    return subprocess.run(
        [sys.executable, "-m", "tools.run_tests", *rules, "--rootdir", str(directory), *options, str(module)],
        cwd=CHECKOUT,
        env={**os.environ, "CI": "true" if ci else "", "PATH": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )


NEEDY = """
import pytest

@pytest.mark.requires("promtool")
def test_needs_a_program():
    raise AssertionError("ran without what it needs")
"""


@shares
def test_a_test_whose_need_is_not_met_is_skipped_with_the_reason(
    tmp_path: pathlib.Path, options: tuple[str, ...]
) -> None:
    """On a person's machine the run passes, and its end says what was not tested and why."""
    done = run_tests(tmp_path, NEEDY, *options, ci=False)

    assert done.returncode == 0
    assert done.stdout.count("skipped: 1 (no `promtool` on this machine)") == 1


@shares
def test_in_ci_a_need_that_is_not_met_is_a_failure(tmp_path: pathlib.Path, options: tuple[str, ...]) -> None:
    """Where everything must be there, nothing goes untested unnoticed."""
    done = run_tests(tmp_path, NEEDY, *options, ci=True)

    assert done.returncode == 1
    assert "1 error" in done.stdout
    assert "no `promtool` on this machine" in done.stdout


@shares
def test_in_ci_a_module_cannot_skip_itself(tmp_path: pathlib.Path, options: tuple[str, ...]) -> None:
    """A skip at import is no way around the rule."""
    done = run_tests(tmp_path, 'import pytest\npytest.importorskip("no_such_library")\n', *options, ci=True)

    assert done.returncode != 0
    assert "no_such_library" in done.stdout


def test_a_run_without_skips_says_so(tmp_path: pathlib.Path) -> None:
    """The absence of skips is a statement, not a silence."""
    done = run_tests(tmp_path, "def test_nothing():\n    pass\n", ci=True)

    assert done.returncode == 0
    assert "skipped: none" in done.stdout


def test_a_need_that_nobody_can_check_is_an_error(tmp_path: pathlib.Path) -> None:
    """A misspelt need does not turn a test off for ever."""
    done = run_tests(tmp_path, NEEDY.replace("promtool", "promtol"), ci=False)

    assert done.returncode != 0
    assert "unknown need 'promtol'" in done.stderr + done.stdout


FORGETFUL = """
import subprocess

def test_forgets():
    subprocess.run(["{ip}", "netns", "add", "{name}"], check=True)
"""


@pytest.mark.requires("root", "ip", "netns")
@shares
def test_a_namespace_that_a_test_leaves_behind_fails_the_run(
    tmp_path: pathlib.Path, options: tuple[str, ...]
) -> None:
    """The run names what is left, whoever made it forgot."""
    ip = next(path for path in ("/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip") if pathlib.Path(path).exists())
    try:
        # Nobody is there who might still take it down.
        given = (*options, "-o", "namespaces_within=1")
        done = run_tests(tmp_path, FORGETFUL.format(ip=ip, name=ORPHAN), *given, ci=False)
    finally:
        subprocess.run([ip, "netns", "delete", ORPHAN], check=True)

    assert done.returncode == 1
    assert done.stdout.count(f"tests left network namespaces behind: {ORPHAN}") == 1
    assert "no second try: tests left network namespaces behind" in done.stdout


SEEN = """
import os
import pathlib

import pytest

@pytest.mark.parametrize("number", range(4))
def test_seen(number):
    with pathlib.Path("{seen}").open("a") as seen:
        print(os.getpid(), file=seen)
"""


def test_what_can_change_the_host_runs_in_one_worker(tmp_path: pathlib.Path) -> None:
    """One after the other, from whatever module."""
    seen, kernel = tmp_path / "seen", tmp_path / "tests" / "kernel"
    kernel.mkdir(parents=True)
    for name in ("test_one.py", "test_other.py"):
        (kernel / name).write_text(SEEN.format(seen=seen))
    done = run_tests(tmp_path, "def test_nothing():\n    pass\n", *SHARED, str(kernel), ci=False)

    workers = seen.read_text().split()
    assert (done.returncode, len(workers), len(set(workers))) == (0, 8, 1)
    assert done.stdout.count("skipped: none") == 1


def test_a_test_that_can_change_the_host_must_be_known_as_such(tmp_path: pathlib.Path) -> None:
    """It would run beside others that do."""
    done = run_tests(tmp_path, NEEDY.replace("promtool", "netns"), ci=False)

    assert done.returncode != 0
    assert "can change the host; name it in tests/queues.py" in done.stderr + done.stdout
