"""Every action by the name that a step uses; a new action is one module here and one line below."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from netsre.runbook.actions import evidence
from netsre.runbook.actions.contract import Action

_ALL: Final[tuple[Action, ...]] = (evidence.Collect(),)

ACTIONS: Final[Mapping[str, Action]] = MappingProxyType({action.name: action for action in _ALL})
