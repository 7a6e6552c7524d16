"""The lock files: whole, hashed, in step with pyproject.toml, and silent about where packages come from."""

import pathlib
import re
import tomllib
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT: Final = pathlib.Path(__file__).resolve().parents[3]
BASELINE: Final = "bench/slo_generator.lock"
LOCKS: Final = ("requirements.lock", "requirements-dev.lock", BASELINE)
PROJECT: Final = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))

Pins = dict[str, tuple[str, int]]
"""Version and number of hashes, by canonical name."""


def pins_of(lock: str) -> Pins:
    """Read a lock file; every line that is not a comment belongs to exactly one pinned package."""
    logical = (CHECKOUT / lock).read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    pins: Pins = {}
    for line in logical:
        if not line.strip() or line.strip().startswith("#"):
            continue
        pin = re.match(r"([\w.-]+)==([\w.]+)(?: ;[^-]*)?((?: +--hash=sha256:[0-9a-f]{64})*) *$", line)
        assert pin, f"not a pinned package: {line!r}"
        pins[canonicalize_name(pin[1])] = (pin[2], pin[3].count("--hash"))
    return pins


def asked_for(lock: str) -> list[Requirement]:
    """Return what a lock file has to satisfy: what pyproject.toml asks for, or the list of the baseline."""
    if lock == BASELINE:
        lines = (CHECKOUT / lock).with_suffix(".in").read_text(encoding="utf-8").splitlines()
        return [Requirement(line) for line in lines if line and not line.startswith("#")]
    groups = PROJECT["dependency-groups"]
    plain = [*groups["build"], *(groups["dev"] if lock == "requirements-dev.lock" else ())]
    return [
        Requirement(text) for text in (*PROJECT["project"]["dependencies"], *plain) if isinstance(text, str)
    ]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_is_pinned_with_a_hash(lock: str) -> None:
    """What is installed tomorrow is what was tested today."""
    pins = pins_of(lock)

    assert pins
    assert not [name for name, (_, hashes) in pins.items() if hashes == 0]


@pytest.mark.parametrize("lock", LOCKS)
def test_no_lock_names_an_index_or_a_host(lock: str) -> None:
    """Where packages come from is the business of the machine that installs them."""
    text = (CHECKOUT / lock).read_text(encoding="utf-8")

    assert not re.findall(r"https?:|--\w*index|--find-links|--trusted-host|^-", text, re.MULTILINE)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_dependency_is_locked_at_a_version_that_satisfies_it(lock: str) -> None:
    """A dependency that was added or raised without `make lock` is noticed here."""
    pins = pins_of(lock)
    unmet = [
        str(wish)
        for wish in asked_for(lock)
        if canonicalize_name(wish.name) not in pins
        or pins[canonicalize_name(wish.name)][0] not in wish.specifier
    ]

    assert not unmet


def test_what_is_tested_is_what_runs() -> None:
    """The development lock holds every package of the other one, at the same version."""
    running, testing = pins_of("requirements.lock"), pins_of("requirements-dev.lock")

    assert {name: testing.get(name) for name in running} == running
