"""What make installs: only what is missing, said before it is done, and a next step where it cannot."""

import pathlib
import shutil
import subprocess

import pytest

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent.parent
SCRIPT = CHECKOUT / "tools" / "debian_packages.sh"

DPKG_QUERY = """#!/bin/bash
grep -qx -- "${{@: -1}}" "{missing}" && exit 1
printf installed
"""


@pytest.fixture
def machine(tmp_path: pathlib.Path) -> pathlib.Path:
    """Return the search path of a machine that has every package but those in `missing`, and no apt-get."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "dirname", "id", "grep"):
        original = shutil.which(name)
        assert original
        (programs / name).symlink_to(original)
    (tmp_path / "missing").write_text("")
    dpkg_query = programs / "dpkg-query"
    dpkg_query.write_text(DPKG_QUERY.format(missing=tmp_path / "missing"))
    dpkg_query.chmod(0o755)
    return programs


def look(machine: pathlib.Path, *groups: str, ci: bool = False) -> "subprocess.CompletedProcess[str]":
    """Run the script on the pretended machine."""
    environment = {"PATH": str(machine), "CI": "true" if ci else ""}
    return subprocess.run(
        [str(machine / "bash"), str(SCRIPT), *groups],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_machine_that_has_everything_hears_nothing(machine: pathlib.Path) -> None:
    """The usual case costs no time and no lines."""
    done = look(machine, "run", "test")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_is_missing_is_named_with_its_reason_and_the_next_step(machine: pathlib.Path) -> None:
    """Where nothing can be installed, the person is told what to type."""
    (machine.parent / "missing").write_text("python3-bpfcc\n")
    done = look(machine, "run")

    assert done.returncode == 3
    assert "missing: python3-bpfcc" in done.stdout
    assert "compiles and loads the eBPF programs" in done.stdout
    assert "apt-get install --no-install-recommends python3-bpfcc" in done.stderr


def test_what_only_tests_want_is_not_asked_for_by_run(machine: pathlib.Path) -> None:
    """A person who wants to see netsre needs no browser of ours."""
    (machine.parent / "missing").write_text("chromium\n")

    assert look(machine, "run").returncode == 0


@pytest.mark.parametrize(("ci", "code"), [(False, 0), (True, 3)])
def test_tests_go_on_without_a_package_except_in_ci(machine: pathlib.Path, ci: bool, code: int) -> None:
    """On a person's machine the tests skip what they cannot do; in CI the package must be there."""
    (machine.parent / "missing").write_text("chromium\n")

    assert look(machine, "run", "test", ci=ci).returncode == code
