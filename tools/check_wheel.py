"""Build the wheel, install it where the checkout cannot help it, and use it from there."""

import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Final

CHECKOUT: Final = pathlib.Path(__file__).resolve().parent.parent
NO_NETWORK_BUILD: Final = ("--no-deps", "--no-build-isolation")
LOCKED: Final = ("--require-hashes", "--only-binary", ":all:", "-r", str(CHECKOUT / "requirements.lock"))
DATA: Final = ("bpf/flows.c", "slos", "runbooks", "dashboards", "migrations", "pages")
"""What an installed netsre needs beside its modules; a directory must hold at least one file."""


class CheckFailed(Exception):
    """The wheel is not what an operator needs; the message says what is wrong."""


def main() -> int:
    """Check the wheel and return an exit code."""
    with tempfile.TemporaryDirectory(prefix="netsre-wheel-") as scratch:
        try:
            check(pathlib.Path(scratch))
        except CheckFailed as failure:
            print(f"wheel: {failure}", file=sys.stderr)
            return 1
    return 0


def check(scratch: pathlib.Path) -> None:
    """Build, install and use the wheel inside a scratch directory."""
    wheel = build(scratch / "dist")
    python = install(wheel, scratch / "venv")
    elsewhere = scratch / "elsewhere"
    elsewhere.mkdir()
    where = "import pathlib, netsre; print(pathlib.Path(netsre.__file__).parent / '_data')"
    data = _say(elsewhere, python, "-c", where)
    if pathlib.Path(data).is_relative_to(CHECKOUT):
        raise CheckFailed(f"imported from the checkout, not from the wheel: {data}")
    for name in DATA:
        if not _holds_something(pathlib.Path(data) / name):
            raise CheckFailed(f"carries no {name}")
    netsre = str(pathlib.Path(python).parent / "netsre")
    _say(elsewhere, netsre, "--version")
    _say(elsewhere, netsre, "slo", "validate", f"{data}/slos")
    # What this machine cannot do is not the wheel's fault (1 and 3); that doctor can say so is.
    if not _say(elsewhere, netsre, "doctor", accepted=(0, 1, 3)):
        raise CheckFailed("netsre doctor says nothing")


def build(directory: pathlib.Path) -> pathlib.Path:
    """Build the wheel with the locked hatchling; fetches nothing."""
    _pip(sys.executable, "wheel", *NO_NETWORK_BUILD, "--wheel-dir", str(directory), str(CHECKOUT))
    (wheel,) = directory.glob("*.whl")
    return wheel


def install(wheel: pathlib.Path, directory: pathlib.Path) -> str:
    """Install the wheel and its locked dependencies into their own environment; return its Python."""
    subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
    python = str(directory / "bin" / "python")
    _pip(python, "install", *LOCKED)
    _pip(python, "install", "--no-deps", str(wheel))
    return python


def _pip(python: str, *arguments: str) -> None:
    subprocess.run([python, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments], check=True)


def _holds_something(path: pathlib.Path) -> bool:
    return path.is_file() or any(part.is_file() for part in path.rglob("*"))


def _say(directory: pathlib.Path, *command: str, accepted: tuple[int, ...] = (0,)) -> str:
    """Run a command away from the checkout and return what it prints; any other exit code raises."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode not in accepted or "internal error" in done.stderr:
        raise CheckFailed(f"{' '.join(command[-2:])} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
