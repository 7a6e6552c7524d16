"""Effects on the prefilter: whether its rules drop, and how much one source may send.

Every change is made under the lock that commands take, and by what is there then.
"""

import ipaddress
from dataclasses import replace
from typing import Final

from netsre.adapters.bpf.prefilter import Refused
from netsre.adapters.bpf.prefilter_pins import Pins
from netsre.adapters.control import ControlRefused
from netsre.app import prefiltering
from netsre.app.effects import loosening
from netsre.app.effects.refusals import BUSY, OTHER_VERSION, Said, refusing
from netsre.app.policing.node import kernel
from netsre.app.prefiltering import NoPrefilter, Places
from netsre.clock import boottime
from netsre.datapath.policy.modes import Mode
from netsre.datapath.prefilter import MOST_BURST, MOST_RATE, Action, BadRule, Limit, Network, Rule, State
from netsre.model.documents import Document
from netsre.model.effects import ModeFacts, PrefilterMode, SourceLimit

_SAID: Final[tuple[Said, ...]] = (
    *(BUSY, OTHER_VERSION, (NoPrefilter, "no_prefilter")),
    *((Refused, "no_room"), (BadRule, "no_room")),
)


class Prefiltering:
    """The prefilter of this node, as far as automation may change it."""

    def __init__(self, places: Places) -> None:
        """Change what is there; a command that changes something is waited for for a moment only."""
        self._places = replace(places, patient=False)
        self._pins = Pins(places.pins)

    def facts(self) -> ModeFacts:
        """Return how strictly rules are taken; refuses `no_prefilter`."""
        mode, now = self._state().mode, boottime()
        return loosening.facts(mode, mode.now(now), now)

    def check(self, effect: PrefilterMode | SourceLimit) -> None:
        """Refuse what must not, or cannot, be done now; change nothing."""
        mode, now = self._state().mode, boottime()
        match effect:
            case PrefilterMode():
                loosening.begun(effect, mode, mode.now(now), now, now)
            case SourceLimit():
                _rule(effect, now)
                if mode.now(now) is not Mode.ENFORCE:
                    raise ControlRefused(
                        "not_enforced", f"no rule drops anything: all are on {mode.now(now)}"
                    )

    def begin(self, effect: PrefilterMode | SourceLimit, deadline: int) -> Document:
        """Make the change and return figures."""
        now = boottime()
        with refusing(*_SAID), prefiltering.opened(self._places) as found, kernel("it cannot be changed"):
            match effect:
                case PrefilterMode(before, mode, _):
                    own = found.mode()
                    found.set_mode(loosening.begun(effect, own, own.now(now), deadline, now))
                    return {"before": before, "after": mode}
                case SourceLimit(_, source, _, _):
                    rule = _rule(effect, deadline)
                    found.tidy(now)
                    if known := found.around(rule.network, now):
                        networks = ", ".join(str(one.network) for one in known)
                        raise ControlRefused("already_filtered", f"{source} has a rule already: {networks}")
                    found.put(rule)
                    return {}

    def holds(self, effect: PrefilterMode | SourceLimit, deadline: int) -> bool:
        """Say whether it is as the effect makes it."""
        with kernel("the prefilter cannot be read"):
            match effect:
                case PrefilterMode():
                    state = self._pins.state()
                    return state is not None and loosening.is_made(effect, state.mode, deadline)
                case SourceLimit():
                    rule = _rule(effect, deadline)
                    return self._pins.rule(rule.network) == rule

    def end(self, effect: PrefilterMode | SourceLimit, deadline: int) -> Document:
        """Take back what is still as the effect made it, and say under `result` what was found."""
        now = boottime()
        try:
            with refusing(*_SAID), prefiltering.opened(self._places) as found, kernel("it cannot be changed"):
                match effect:
                    case PrefilterMode():
                        mode, word = loosening.taken_back(effect, found.mode(), deadline, now)
                        found.set_mode(mode)
                        return {"result": word}
                    case SourceLimit():
                        rule = _rule(effect, deadline)
                        if rule not in found.known():
                            return {"result": loosening.CHANGED if now < deadline else loosening.ENDED}
                        counts = found.remove(rule.network)[rule.network]
                        figures = {"passed": counts.passed.packets, "dropped": counts.dropped.packets}
                        return {"result": "removed", **figures}
        except ControlRefused as refusal:
            if refusal.reason != "no_prefilter":
                raise
            return {"result": loosening.GONE}

    def _state(self) -> State:
        with kernel("the prefilter cannot be read"):
            if (state := self._pins.state()) is None:
                raise ControlRefused(
                    "no_prefilter", "no interface is filtered; netsre prefilter attach INTERFACE"
                )
        return state


def _rule(effect: SourceLimit, until_ns: int) -> Rule:
    """Return the rule that limits a source until a time."""
    if not 1 <= effect.rate <= MOST_RATE:
        raise ControlRefused("bad_rate", f"{effect.rate} packets a second; write 1 to {MOST_RATE}")
    limit = Limit(effect.rate, min(effect.rate, MOST_BURST))
    try:
        network: Network = ipaddress.ip_network(effect.source)
        return Rule(network, Action.LIMIT, limit, until_ns)
    except ValueError as error:  # BadRule is one
        raise ControlRefused("bad_source", str(error)[:200]) from error
