"""Files of service levels and alerts: which are read, and what is known beside them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Final

from netsre import conventions
from netsre.adapters import time_zones
from netsre.alerting import describe
from netsre.alerting import parsing as alert_parsing
from netsre.app import resources
from netsre.datapath.buckets import COMPILE_BOUNDS, CONNECT_BOUNDS
from netsre.errors import BadInput
from netsre.model import linting
from netsre.model.alert_rules import AlertRule
from netsre.model.levels import SLO
from netsre.slo import parsing
from netsre.slo.policies import PolicySpec

BOUNDS: Final[Mapping[str, Sequence[Decimal]]] = MappingProxyType(
    {
        conventions.FLOW_CONNECT_SECONDS: CONNECT_BOUNDS,
        conventions.POLICY_COMPILE_SECONDS: COMPILE_BOUNDS,
    }
)
"""Bucket bounds of every histogram that a latency SLO may use."""

_SUFFIXES: Final = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class ServiceLevels:
    """What a set of files asks to be watched: service levels, and conditions that are no budget."""

    slos: tuple[SLO, ...]
    policies: tuple[PolicySpec, ...]
    """The burn policies written in these files."""
    alerts: tuple[AlertRule, ...]

    @property
    def alert_names(self) -> frozenset[str]:
        """Return the name of every alert that may come of these, for runbooks to be started by."""
        return frozenset({describe.ALERT_NAME, describe.ABSENT, *(rule.name for rule in self.alerts)})


def load(
    paths: Sequence[Path] = (), policies: Path | None = None, runbooks: Collection[str] | None = None
) -> ServiceLevels:
    """Read service levels and alerts from files and directories, those shipped when there are none.

    Burn policies come from the same files, and from `policies` (those shipped with netsre when None).
    `runbooks` are the names that an SLO or an alert may name, None where nobody asks. Raises `SpecErrors`
    with every finding.
    """
    shipped = resources.directory("slos")
    known = parsing.parse(resources.texts([policies or shipped / "policies"], *_SUFFIXES), BOUNDS)
    findings = linting.Findings()
    documents = parsing.documents(resources.texts(list(paths) or [shipped], *_SUFFIXES), findings)
    about = parsing.Surroundings(BOUNDS, known.policies, runbooks, time_zones.find)
    found = parsing.read(documents, about, findings)
    rules = alert_parsing.read(documents, runbooks, findings)
    findings.raise_if_any()
    return ServiceLevels(found.slos, found.policies, rules)


def required(paths: Sequence[Path], runbooks: Collection[str] | None = None) -> ServiceLevels:
    """Read these files; none at all raises `BadInput`, because every alert would end, asked for by nobody."""
    found = load(paths, runbooks=runbooks)
    if not found.slos and not found.alerts:
        where = ", ".join(map(str, paths))
        raise BadInput(
            f"no SLO and no alert in {where}; name a file with one, or leave --slos out for those shipped"
        )
    return found
