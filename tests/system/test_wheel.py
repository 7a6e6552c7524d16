"""The wheel carries all that an installed netsre needs, and nothing that only a checkout needs."""

import pathlib
import subprocess
import sys
import zipfile

import pytest

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Return the wheel of this checkout, built without fetching anything."""
    directory = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(directory), str(CHECKOUT)], check=True)
    (path,) = directory.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.mark.parametrize(
    ("directory", "pattern"),
    [
        ("bpf", "*.c"),
        ("bpf/include", "*.h"),
        ("slos", "*.yaml"),
        ("runbooks", "*.yaml"),
        ("dashboards", "*.json"),
        ("dashboards/templates", "*.j2"),
        ("migrations", "*.py"),
    ],
)
def test_the_wheel_carries_every_data_file_of_the_checkout(
    wheel: zipfile.ZipFile, directory: str, pattern: str
) -> None:
    """What lies in the checkout's data directories lies in the wheel, under one roof."""
    here = {path.relative_to(CHECKOUT).as_posix() for path in (CHECKOUT / directory).rglob(pattern)}
    carried = {name.removeprefix("netsre/_data/") for name in wheel.namelist()}

    assert here, f"the checkout has no {pattern} below {directory}"
    assert here <= carried


def test_the_wheel_carries_the_page_of_every_runbook(wheel: zipfile.ZipFile) -> None:
    """An alert's link to its runbook leads somewhere without a checkout."""
    here = {f"netsre/_data/pages/{path.name}" for path in (CHECKOUT / "docs" / "runbooks").glob("*.md")}

    assert here
    assert here <= set(wheel.namelist())


def test_the_wheel_carries_both_licences(wheel: zipfile.ZipFile) -> None:
    """The Apache licence covers the Python, the dual one the C."""
    licences = {name.partition("/licenses/")[2] for name in wheel.namelist() if "/licenses/" in name}

    assert licences == {"LICENSE", "bpf/LICENSE"}


def test_the_wheel_carries_no_tests_and_no_tools(wheel: zipfile.ZipFile) -> None:
    """Only the package and its metadata are installed."""
    roots = {name.split("/")[0] for name in wheel.namelist()}

    assert {root for root in roots if not root.endswith(".dist-info")} == {"netsre"}


def test_the_wheel_has_no_stray_files(wheel: zipfile.ZipFile) -> None:
    """Neither compiled modules nor caches slip in."""
    assert not [name for name in wheel.namelist() if "__pycache__" in name or name.endswith((".pyc", ".db"))]
