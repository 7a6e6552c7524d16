"""Modes that automation sets for a while: what they may loosen, and what becomes of them."""

from typing import Final

from netsre.adapters.control import ControlRefused
from netsre.clock import MINUTE, duration_text
from netsre.datapath.policy.modes import Mode, Setting
from netsre.model.effects import LONGEST_LOOSENED, ModeFacts, PolicyMode, PrefilterMode

PUT_BACK: Final = "put_back"
ENDED: Final = "ended"
"""The kernel ended it."""
CHANGED: Final = "changed_by_other"
GONE: Final = "gone"
"""So is what it was a mode of."""

_LOOSE: Final = frozenset({Mode.MONITOR, Mode.OFF})


def facts(own: Setting, holds: Mode, now_ns: int) -> ModeFacts:
    """Return what is told of a setting; `holds` is what is done by it, by CLOCK_BOOTTIME."""
    return ModeFacts(
        own.now(now_ns).value, own.lasting.value, _ends(own, now_ns), enforced=holds is Mode.ENFORCE
    )


def begun(
    effect: PolicyMode | PrefilterMode, own: Setting, holds: Mode, until_ns: int, now_ns: int
) -> Setting:
    """Return the setting that an effect makes of one; raises `ControlRefused` where it must not."""
    mode = wanted(effect)
    if _ends(own, now_ns):
        raise ControlRefused("mode_ends", f"it is on {own.mode.value} already, which ends by itself")
    if own.lasting.value != effect.before:
        raise ControlRefused("changed", f"it is on {own.lasting.value}, not on {effect.before}: look again")
    if holds is not Mode.ENFORCE:
        raise ControlRefused("not_enforced", f"nothing is dropped there: it is on {holds.value}")
    return own.changed(mode, until_ns)


def wanted(effect: PolicyMode | PrefilterMode) -> Mode:
    """Return the mode of an effect; raises `ControlRefused` where it loosens nothing, or for too long."""
    try:
        mode = Mode(effect.mode)
    except ValueError:
        mode = Mode.ENFORCE
    if mode not in _LOOSE or (mode is Mode.OFF and isinstance(effect, PrefilterMode)):
        raise ControlRefused("bad_mode", f"{effect.mode[:40]!r} is no mode that automation may set")
    if effect.ttl > LONGEST_LOOSENED:
        longest = duration_text(LONGEST_LOOSENED)
        raise ControlRefused("bad_ttl", f"{effect.ttl // MINUTE} minutes are longer than {longest}")
    return mode


def is_made(effect: PolicyMode | PrefilterMode, own: Setting, until_ns: int) -> bool:
    """Tell whether a setting is what an effect with this end has made."""
    # By words: a ledger of another version may have some that this one does not know.
    return (own.mode.value, own.until_ns, own.afterwards.value) == (effect.mode, until_ns, effect.before)


def taken_back(
    effect: PolicyMode | PrefilterMode, own: Setting, until_ns: int, now_ns: int
) -> tuple[Setting, str]:
    """Return the setting that is to be, and a word for what was found; another hand's stays."""
    if not is_made(effect, own, until_ns):
        return own, CHANGED
    return Setting(Mode(effect.before)), PUT_BACK if now_ns < until_ns else ENDED


def _ends(own: Setting, now_ns: int) -> bool:
    return own.until_ns > now_ns
