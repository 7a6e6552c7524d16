"""Build the wheel, install it where the checkout cannot help it, and use it from there."""

import os
import pathlib
import subprocess
import sys
import tempfile
import zipfile
from typing import Final

CHECKOUT: Final = pathlib.Path(__file__).resolve().parent.parent
NO_NETWORK_BUILD: Final = ("--no-deps", "--no-build-isolation")
LOCKED: Final = ("--require-hashes", "--only-binary", ":all:", "-r", str(CHECKOUT / "requirements.lock"))
DATA: Final = (
    ("bpf", "*.[ch]", "bpf"),
    ("bpf", "LICENSE", "bpf"),
    ("slos", "*.yaml", "slos"),
    ("runbooks", "*.yaml", "runbooks"),
    ("docs/runbooks", "*.md", "pages"),
    ("dashboards", "*.j2", "dashboards"),
    ("dashboards/generated", "*.json", "dashboards/generated"),
    ("migrations", "*.py", "migrations"),
    ("migrations", "*.mako", "migrations"),
)
"""What an installed netsre needs beside its modules: where in the checkout, which files, where in `_data`."""
STATIC: Final = "netsre/app/control/console/static"
LICENCES: Final = {"LICENSE", "bpf/LICENSE"}


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
    with zipfile.ZipFile(wheel) as archive:
        check_names(set(archive.namelist()))
    elsewhere = scratch / "elsewhere"
    elsewhere.mkdir()
    use(install(wheel, scratch / "venv"), elsewhere)


def check_names(carried: set[str]) -> None:
    """Compare what the wheel carries with what lies in the checkout: nothing is missing, nothing is added."""
    wanted = {
        f"netsre/_data/{into}/{path.relative_to(CHECKOUT / directory).as_posix()}"
        for directory, pattern, into in DATA
        for path in _found(directory, pattern)
    }
    wanted |= {path.relative_to(CHECKOUT).as_posix() for path in _found(STATIC, "*.*")}
    if missing := sorted(wanted - carried):
        raise CheckFailed(f"carries no {', '.join(missing)}")
    licences = {name.partition("/licenses/")[2] for name in carried if "/licenses/" in name}
    if licences != LICENCES:
        raise CheckFailed(f"carries the licences {sorted(licences)} instead of {sorted(LICENCES)}")
    ours = {name for name in carried if name.startswith("netsre/") and "__pycache__" not in name}
    stray = {name for name in carried - ours if not name.partition("/")[0].endswith(".dist-info")}
    stray |= {name for name in ours if name.endswith((".pyc", ".db"))}
    if stray:
        raise CheckFailed(f"carries what no one installed asked for: {', '.join(sorted(stray))}")


def use(python: str, elsewhere: pathlib.Path) -> None:
    """Run what needs the data files, in a directory that knows nothing of the checkout."""
    where = "import pathlib, netsre; print(pathlib.Path(netsre.__file__).parent / '_data')"
    data = _say(elsewhere, python, "-c", where)
    if pathlib.Path(data).is_relative_to(CHECKOUT):
        raise CheckFailed(f"imported from the checkout, not from the wheel: {data}")
    netsre = str(pathlib.Path(python).parent / "netsre")
    _say(elsewhere, netsre, "--version")
    _say(elsewhere, netsre, "slo", "validate", f"{data}/slos")
    _say(elsewhere, netsre, "runbook", "lint", f"{data}/runbooks")
    _say(elsewhere, netsre, "generate", "dashboards", "--check")
    _say(elsewhere, netsre, "generate", "alertmanager", "--out", str(elsewhere / "routes"))
    _say(elsewhere, netsre, "db", "upgrade", "--data-dir", str(elsewhere / "data"))
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


def _found(directory: str, pattern: str) -> list[pathlib.Path]:
    """Return the files of the checkout that match; without any this check would look in the wrong place."""
    found = [path for path in (CHECKOUT / directory).rglob(pattern) if path.is_file()]
    if not found:
        raise CheckFailed(f"checks for {directory}/{pattern}, of which the checkout has none")
    return found


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
