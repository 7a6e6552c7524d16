"""Tests of what depends on nothing outside, with all cases of which a run of the tests tries a part."""

import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from bench.lab_process import Broken
from tests.thorough import VARIABLE

ABOUT: Final = """\
Each round runs all of `tests/unit`, and tries there all that a run of the tests tries a part of: every point
at which a run or a controller can be killed, every answer that can be lost, every wrong value in every place
of a file, and ten times as many cases made by chance. It holds when all tests pass."""
_CHECKOUT: Final = Path(__file__).parent.parent
_PASSED: Final = re.compile(r"^(\d+) passed in ", re.MULTILINE)


def one_round(_directory: Path, dice: random.Random) -> str:
    """Run them all once, and return how many they were."""
    seed = dice.randrange(2**32)
    command = (sys.executable, "-m", "pytest", "-q", "-n", "auto", "--timeout=0", f"--randomly-seed={seed}")
    done = subprocess.run(
        (*command, "tests/unit"),
        cwd=_CHECKOUT,
        env={**os.environ, VARIABLE: "true"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    passed = _PASSED.search(done.stdout)
    if done.returncode or passed is None:
        said = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        raise Broken(f"tests with seed {seed}: {'; '.join(said) or done.stdout[-500:]}")
    return f"{passed[1]} tests"
