"""Every action by the name that a step uses; a new action is one module here and one line below."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from netsre.runbook.actions.block_source import BlockSource
from netsre.runbook.actions.contract import Action
from netsre.runbook.actions.evidence import Collect
from netsre.runbook.actions.flush import Flush
from netsre.runbook.actions.http_call import HttpCall
from netsre.runbook.actions.limit_source import LimitSource
from netsre.runbook.actions.notify import Notify
from netsre.runbook.actions.policy_mode import SetPolicyMode
from netsre.runbook.actions.policy_program_rollback import RollBackPrograms
from netsre.runbook.actions.policy_rollback import RollBack
from netsre.runbook.actions.prefilter_mode import SetPrefilterMode
from netsre.runbook.actions.resize import Resize
from netsre.runbook.actions.silence import SilenceAlerts
from netsre.runbook.actions.stagger import Stagger
from netsre.runbook.actions.timeouts import Timeouts
from netsre.runbook.actions.tune import Tune

_ALL: Final[tuple[Action, ...]] = (
    Collect(),
    BlockSource(),
    Flush(),
    Tune(),
    SetPolicyMode(),
    RollBack(),
    RollBackPrograms(),
    SetPrefilterMode(),
    LimitSource(),
    Timeouts(),
    Resize(),
    Stagger(),
    SilenceAlerts(),
    HttpCall(),
    Notify(),
)

ACTIONS: Final[Mapping[str, Action]] = MappingProxyType({action.name: action for action in _ALL})


def allowing(prefixes: tuple[str, ...]) -> Mapping[str, Action]:
    """Return every action; addresses below these prefixes can be called."""
    call = HttpCall(prefixes)
    return MappingProxyType({**ACTIONS, call.name: call})
