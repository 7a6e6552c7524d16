"""For how long an effect may be in force, and beside which others."""

from collections.abc import Sequence
from typing import Final

from netsre.adapters.control import ControlRefused
from netsre.app.effects.ledger import Entry
from netsre.clock import DAY, SECOND, duration_text
from netsre.model.effects import Block, DoneAtOnce, Effect, Limit, Resize, Stagger, Timeout

MOST_BLOCKS: Final = 64
"""In force at once: what automation has to block more than this of is not one noisy source."""
MOST_ENTRIES: Final = 1024
SHORTEST: Final = 1 * SECOND
LONGEST: Final = 1 * DAY


def ttl(effect: Effect) -> int:
    """Return for how long an effect is in force, in milliseconds."""
    if isinstance(effect, DoneAtOnce):
        return 0
    if not SHORTEST <= effect.ttl <= LONGEST:
        bounds = f"{duration_text(SHORTEST)} to {duration_text(LONGEST)}"
        raise ControlRefused("bad_ttl", f"ttl {duration_text(effect.ttl)} is outside {bounds}")
    return effect.ttl


def check_room(effect: Effect, entries: Sequence[Entry]) -> None:
    """Refuse a second effect on the same thing, and more than a bounded number of them."""
    others = [entry for entry in entries if entry.in_force]
    if len(entries) >= MOST_ENTRIES:
        raise ControlRefused("too_many", f"{len(entries)} effects of the last hour are on file already")
    for entry in others:
        if (conflict := _conflict(effect, entry.effect)) is not None:
            raise ControlRefused(conflict[0], f"{conflict[1]} by {entry.key}")
    if isinstance(effect, Block) and sum(isinstance(one.effect, Block) for one in others) >= MOST_BLOCKS:
        raise ControlRefused("too_many", f"{MOST_BLOCKS} sources are blocked already")


def _conflict(effect: Effect, other: Effect) -> tuple[str, str] | None:
    """Return in a word and a sentence why an effect cannot be made beside another; None where it can."""
    match effect, other:
        case Limit(), Limit():
            return "already_tuned", "the limit is already changed"
        case Timeout(netns, state), Timeout(where, same) if (netns, state) == (where, same):
            return "already_tuned", f"timeout {state} of {netns} is already changed"
        case Resize(), Resize():
            return "already_tuned", "the table of the policy datapath is already resized"
        case Stagger(), Stagger():
            return "already_staggered", "changes of policies are already staggered"
        case Block(netns, interface, source), Block(where, at, same) if (netns, interface, source) == (
            where,
            at,
            same,
        ):
            return "already_blocked", f"{source} is already blocked"
        case _:
            return None
