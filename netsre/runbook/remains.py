"""What a run that ended leaves behind it, in words, out of its journal."""

from collections.abc import Iterable, Sequence
from typing import Final

from netsre.model import deeds
from netsre.model.runbooks import RunState
from netsre.runbook.story import Story, Turn

_NOTHING: Final = "It changed nothing."


def told(state: RunState, story: Story, *, unclear: bool = False) -> str:
    """Say how a run that ended without success left what it worked on.

    `unclear` is that nothing which was measured says whether it helped.
    """
    helped = "Nothing that was measured says whether it helped" if unclear else "It did not help"
    match state:
        case RunState.REFUSED:
            return _NOTHING
        case RunState.EXPIRED:
            return "Nobody approved it in time, and it changed nothing."
        case RunState.UNDONE:
            return _undone(helped, story.lasting)
        case RunState.FAILED:
            return _failed(story)
        case RunState.NEEDS_HUMAN if unclear:
            return f"{helped}, and what it changed stays."
        case _:
            return "In which state it left the node is not known, or it may not go on."


def _undone(helped: str, lasting: Sequence[str]) -> str:
    if not lasting:
        return f"{helped}, and everything it changed was taken back."
    stays = f"what {' and '.join(lasting)} did cannot be undone"
    return f"{helped}, and everything else that it changed was taken back: {stays}."


def _failed(story: Story) -> str:
    """Say of each change what becomes of it: nobody is to wait for an end that never comes."""
    steps = () if story.plan is None else story.plan.steps
    turns = [(step.action, story.turn(step.step)) for step in steps]
    parts = (
        (
            "may be done, or not: look",
            [name for name, turn in turns if turn.open and turn.effect is not None],
        ),
        ("ends by itself", [name for name, turn in turns if _stands(turn) and _ends(turn)]),
        (
            "stays until somebody takes it back",
            [name for name, turn in turns if _stands(turn) and not _ends(turn)],
        ),
        ("cannot be undone", story.lasting),
    )
    said = [f"what {_names(names)} did {what}" for what, names in parts if names]
    text = "; ".join(said)
    if text:
        return f"{text[0].upper()}{text[1:]}."
    if story.plan is None and story.touched:
        return "Look into its journal for what it changed."
    taken_back = any(turn.undone for _, turn in turns)
    return "What it changed was taken back." if taken_back else _NOTHING


def _stands(turn: Turn) -> bool:
    return turn.reversible and not turn.undone


def _ends(turn: Turn) -> bool:
    return turn.effect is not None and deeds.lasting(turn.effect) is not None


def _names(names: Iterable[str]) -> str:
    return " and ".join(dict.fromkeys(names))
