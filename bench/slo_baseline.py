"""The baseline of service levels: slo-generator, of the pinned version, in an environment of its own."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from netsre import clock
from netsre.model.levels import SLO, BurnRule

_HERE: Final = Path(__file__).parent
_LOCK: Final = _HERE / "slo_generator.lock"
_GOOD, _BAD = 35_990, 10


@dataclass(frozen=True, slots=True)
class Reports:
    """What computing the reports of some SLOs took."""

    version: str
    slos: int
    windows: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Baseline:
    """An installed slo-generator."""

    python: Path

    def compute(self, count: int, rules: Sequence[BurnRule], period: int) -> Reports:
        """Compute the reports of so many SLOs whose events are in memory."""
        slos = [_slo(f"slo-{number:05d}", "__main__.Memory", good=_GOOD, bad=_BAD) for number in range(count)]
        return self._run(slos, {"__main__.Memory": {"class": "__main__.Memory"}}, _steps(rules, period))

    def ask(self, url: str, queries: Sequence[tuple[str, str]], like: SLO) -> Reports:
        """Compute the reports of SLOs from a Prometheus, each with the windows of `like`.

        Of each SLO, what selects its good and what selects its bad events.
        """
        slos = [
            _slo(
                f"slo-{number:05d}",
                "prometheus",
                service_level_indicator={"filter_good": good, "filter_bad": bad},
            )
            for number, (good, bad) in enumerate(queries)
        ]
        rules = like.policy.rules if like.policy else ()
        steps = _steps(rules, like.window)
        return self._run(slos, {"prometheus": {"class": "Prometheus", "url": url}}, steps)

    def _run(
        self, slos: list[dict[str, Any]], backends: dict[str, Any], steps: list[dict[str, object]]
    ) -> Reports:
        config = {"backends": backends, "error_budget_policies": {"default": {"steps": steps}}}
        done = subprocess.run(
            [str(self.python), "-P", str(_HERE / "slo_baseline_driver.py")],
            input=json.dumps({"slos": slos, "config": config}),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"slo-generator: {done.stderr}")
        found = json.loads(done.stdout)
        if found["invalid"] or found["reports"] != len(slos) * len(steps):
            raise RuntimeError(
                f"slo-generator made {found['reports']} reports, not valid: {found['invalid']}"
            )
        return Reports(found["version"], len(slos), len(steps), found["seconds"])


@contextmanager
def installed() -> Iterator[Baseline]:
    """Make its environment; it is removed in the end."""
    with tempfile.TemporaryDirectory(prefix="netsre-bench-") as place:
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        python = Path(place, "bin", "python")
        pip = (str(python), "-m", "pip", "--disable-pip-version-check", "--quiet", "install")
        subprocess.run([*pip, "--require-hashes", "--only-binary", ":all:", "-r", str(_LOCK)], check=True)
        yield Baseline(python)


def _slo(name: str, backend: str, **indicator: object) -> dict[str, Any]:
    return {
        "apiVersion": "sre.google.com/v2",
        "kind": "ServiceLevelObjective",
        "metadata": {"name": name, "labels": {}},
        "spec": {
            "description": "",
            "backend": backend,
            "method": "good_bad_ratio",
            "exporters": [],
            "goal": 0.999,
            **indicator,
        },
    }


def _steps(rules: Sequence[BurnRule], period: int) -> list[dict[str, object]]:
    """Return a step for each window that netsre evaluates: those of the rules, and the period."""
    factors = {period: 1.0}
    for rule in rules:
        for window in (rule.long, rule.short):
            factors.setdefault(window, float(rule.factor(period)))
    return [
        {
            "name": clock.duration_text(window),
            "window": window // clock.SECOND,
            "burn_rate_threshold": factor,
            "alert": True,
            "message_alert": "burns",
            "message_ok": "ok",
        }
        for window, factor in sorted(factors.items())
    ]
