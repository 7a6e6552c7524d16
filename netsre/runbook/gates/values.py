"""Values that a change must not choose: one that was left a short while ago, and one that did not help."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from netsre import clock
from netsre.clock import Timestamp
from netsre.model import deeds
from netsre.model.deeds import Deed
from netsre.model.documents import Json
from netsre.model.effects import Setting
from netsre.model.holds import Bounds, Quarantined
from netsre.model.runbooks import JournalEntry, JournalKind
from netsre.runbook.gates.answers import Answer, age_text, within
from netsre.runbook.gates.names import Gate


@dataclass(frozen=True, slots=True)
class Move:
    """A field was led from one value to another, or may have been."""

    field: str
    before: str
    after: str
    at: Timestamp


@dataclass(frozen=True, slots=True)
class Past:
    """What was chosen before."""

    moves: tuple[Move, ...] = ()
    quarantined: tuple[Quarantined, ...] = ()


def answers(effect: Deed | None, past: Past, bounds: Bounds, now: Timestamp) -> Iterator[Answer]:
    """Yield whether the value that an effect sets may be chosen."""
    setting = deeds.setting(effect) if effect is not None else None
    if setting is None:
        said = "sets no field to a value"
        yield Answer(Gate.OSCILLATION, passed=True, detail=said)
        yield Answer(Gate.QUARANTINED, passed=True, detail=said)
        return
    yield oscillation(setting, past.moves, bounds.oscillation, now)
    yield quarantined(setting, past.quarantined, now)


def oscillation(setting: Setting, moves: Iterable[Move], window: int, now: Timestamp) -> Answer:
    """Return whether the field did not have the value within the window: it would go to and fro."""
    said = f"{setting.field} {setting.before} to {setting.after}"
    for move in moves:
        if (
            move.field == setting.field
            and within(now, move.at, window)
            and setting.after in (move.before, move.after)
        ):
            went = f"went from {move.before} to {move.after} {age_text(abs(now - move.at))} ago"
            return Answer(Gate.OSCILLATION, passed=False, detail=f"{said}: it {went}")
    said += f": not its value within {clock.duration_text(window)}"
    return Answer(Gate.OSCILLATION, passed=True, detail=said)


def quarantined(setting: Setting, known: Iterable[Quarantined], now: Timestamp) -> Answer:
    """Return whether the value is not in quarantine."""
    for one in known:
        if one.key == setting.key and one.stands(now):
            said = f"{one.key} was given up in run {one.run}, until {clock.rfc3339(one.until)}"
            return Answer(Gate.QUARANTINED, passed=False, detail=said)
    return Answer(Gate.QUARANTINED, passed=True, detail=f"{setting.key} is not known to have failed")


def moves(journal: Sequence[JournalEntry]) -> Iterator[Move]:
    """Yield what a run did to fields; a change whose end is not known is one that was made."""
    open_: dict[int, Move] = {}
    for entry in journal:
        setting = _setting(entry.data.get("effect"))
        match entry.kind:
            case JournalKind.INTENT if setting is not None:
                open_[entry.step] = Move(setting.field, setting.before, setting.after, entry.at)
            case JournalKind.UNDO_INTENT if setting is not None:
                open_[entry.step] = Move(setting.field, setting.after, setting.before, entry.at)
            case JournalKind.OUTCOME | JournalKind.UNDO_OUTCOME:
                move = open_.pop(entry.step, None)
                if move is not None and entry.data.get("ok") is True:
                    yield move
            case _:
                pass
    yield from open_.values()


def settings(journal: Sequence[JournalEntry]) -> Iterator[Setting]:
    """Yield the values that a run chose and that were in force."""
    open_: dict[int, Setting] = {}
    for entry in journal:
        if entry.kind is JournalKind.INTENT and (setting := _setting(entry.data.get("effect"))) is not None:
            open_[entry.step] = setting
        elif entry.kind is JournalKind.OUTCOME:
            chosen = open_.pop(entry.step, None)
            if chosen is not None and entry.data.get("ok") is True:
                yield chosen


def _setting(document: Json) -> Setting | None:
    deed = deeds.known(document)
    return None if deed is None else deeds.setting(deed)
