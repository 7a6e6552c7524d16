"""What effects do to the timeouts of connection tracking in one network namespace."""

from netsre.adapters import conntrack
from netsre.adapters.control import ControlRefused
from netsre.app.inventory.client import Site
from netsre.datapath.conntrack_timeouts import TIMEOUTS
from netsre.model.documents import Document
from netsre.model.effects import Timeout


def check(effect: Timeout, site: Site) -> None:
    """Refuse what is no state, too short, no shorter, or another now than planned for."""
    kept, now = TIMEOUTS.get(effect.state), conntrack.timeouts(site.open_socket)
    if kept is None or effect.state not in now:
        raise ControlRefused("no_such_state", f"this kernel has no timeout for {effect.state[:80]!r}")
    if effect.after < kept.floor:
        message = f"{effect.after} s of {effect.state} would end what lives; at least {kept.floor} s"
        raise ControlRefused("below_floor", message)
    if now[effect.state] != effect.before:
        message = f"{effect.state} is {now[effect.state]} s, not {effect.before} s: look again"
        raise ControlRefused("changed", message)
    if effect.after >= effect.before:
        raise ControlRefused("not_shorter", f"{effect.after} s is not less than {effect.before} s")


def begin(effect: Timeout, site: Site) -> Document:
    """Shorten it."""
    conntrack.set_timeout(effect.state, effect.after, site.open_socket)
    return {"before": effect.before, "after": effect.after}


def holds(effect: Timeout, site: Site) -> bool:
    """Say whether it is as the effect makes it."""
    return conntrack.timeouts(site.open_socket).get(effect.state) == effect.after


def put_back(effect: Timeout, site: Site) -> str:
    """Put it back where it is still what we set; return a word for what was found."""
    if not holds(effect, site):
        return "changed_by_other"
    conntrack.set_timeout(effect.state, effect.before, site.open_socket)
    return "put_back"
