"""Effects on the programs that police this node; policies, modes and connections stay as they are."""

from netsre.adapters.control import ControlRefused
from netsre.app.effects import loosening
from netsre.app.effects.refusals import OF_POLICIES, refusing
from netsre.app.policing import programs
from netsre.app.policing.node import Places
from netsre.model.documents import Document
from netsre.model.effects import PolicyPrograms


def check(effect: PolicyPrograms, where: Places) -> None:
    """Refuse what must not, or cannot, be done now; change nothing."""
    with refusing(*OF_POLICIES):
        found = programs.read(where)
    if found.digest != effect.before or found.kept != effect.after or found.is_left:
        raise _changed(effect)


def begin(effect: PolicyPrograms, where: Places) -> Document:
    """Make the change and return figures; nobody has the programs of before run again unasked."""
    with refusing(*OF_POLICIES):
        is_made = programs.exchange(where, effect.before, effect.after, leaves=True)
    if not is_made:
        raise _changed(effect)
    return {"before": effect.before, "after": effect.after}


def holds(effect: PolicyPrograms, where: Places) -> bool:
    """Say whether it is as the effect makes it, after an exchange that was killed is finished."""
    try:
        with refusing(*OF_POLICIES):
            return programs.read(where).digest == effect.after
    except ControlRefused as refusal:
        if refusal.reason == "busy":
            raise
        return False  # without a datapath nothing of it is there


def end(effect: PolicyPrograms, where: Places) -> str:
    """Go forward to what ran before where nobody went on; return a word for what was found."""
    try:
        with refusing(*OF_POLICIES):
            is_made = programs.exchange(where, effect.after, effect.before, leaves=False)
    except ControlRefused as refusal:
        if refusal.reason == "busy":
            raise
        return loosening.GONE
    return loosening.PUT_BACK if is_made else loosening.CHANGED


def _changed(effect: PolicyPrograms) -> ControlRefused:
    said = (
        f"programs {programs.shown(effect.before)} do not run, or {programs.shown(effect.after)} are not kept"
    )
    return ControlRefused("changed", f"{said} any more: look again")
