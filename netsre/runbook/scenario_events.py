"""What happens in a scenario, and when: at a time, or right before or after a point in the life of a run."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from netsre import clock, conventions
from netsre.model import literals, scenarios, values
from netsre.model.directory import Directory
from netsre.model.documents import Document
from netsre.model.runbooks import JournalKind
from netsre.model.samples import labels
from netsre.model.scenarios import (
    Answering,
    Curved,
    Deed,
    Event,
    Killed,
    Moment,
    NodeBecomes,
    NodeState,
    OthersAnswer,
    PersonVerb,
    Point,
    Says,
    Switched,
    SwitchWord,
    Told,
)
from netsre.runbook import scenario_codes as codes
from netsre.runbook import scenario_facts, scenario_others, scenario_series

COMMANDS: Final = ("apply", "look", "undo")
"""What the node is told or asked about an effect."""
WORDS: Final = (*COMMANDS, *(kind.value for kind in JournalKind))
VERBS: Final[tuple[PersonVerb, ...]] = ("approve", "deny", "cancel", "start", "pause", "resume")
SWITCH: Final[tuple[SwitchWord, ...]] = ("on", "off", "unreadable")
_DEEDS: Final = ("firing", "resolved", "series", "facts", "others", "node", "kill", "killSwitch", *VERBS)
_NO_TIME: Final = "0s"


def read(item: values.Mapping, directory: Directory) -> Event | None:
    """Read one event; who says something must be one of the people."""
    # All are known here, whether or not they go together.
    item.skip("answer", *_DEEDS)
    named = item.one_of("at", "before", "after")
    when = None if named is None else _when(item, named)
    verb = item.one_of(*_DEEDS)
    deed = None if verb is None else _READERS.get(verb, _says)(item, verb)
    item.end()
    if "answer" in item and verb is not None and verb not in VERBS:
        item.wrong("answer", codes.EVENT, f"does not go with {verb}, which nobody says")
    if isinstance(deed, Says) and deed.person not in directory.names:
        hint = literals.nearest(deed.person, directory.names)
        item.wrong(verb or "", codes.PERSON, f"{literals.shown(deed.person)} is nobody who is given{hint}")
    if when is None or deed is None:
        return None
    # Inside of a transaction nothing but the world outside of the controller can change.
    inside = isinstance(when, Point) and not when.after and when.word not in COMMANDS
    if inside and not isinstance(deed, Killed | Curved | Answering | OthersAnswer | NodeBecomes):
        message = "does not go with what writes into the database; write after, or before apply"
        item.wrong("before", codes.POINT, message)
    return Event(when, deed, _text(deed), item.origin)


def moment(item: values.Mapping, key: str, *, required: bool = True) -> int | None:
    """Read a time since the beginning, which may be 0s."""
    scalar = item.scalar(key, required=required)
    if scalar is None or scalar.value == _NO_TIME:
        return None if scalar is None else 0
    found = scalar.duration()
    if found is not None and found > scenarios.LONGEST:
        longest = clock.duration_text(scenarios.LONGEST)
        scalar.wrong(codes.EVENT, f"is later than {longest} after the beginning")
    return found


def effects(listed: values.Sequence) -> tuple[Document, ...]:
    """Read effects: each a kind, or a mapping with its kind and fields that it must have."""
    found: list[Document] = []
    for item in listed:
        match item:
            case values.Scalar():
                found.append(MappingProxyType({"kind": item.value}))
            case values.Mapping():
                if item.text("kind") is not None:
                    found.append(MappingProxyType(dict(item.pairs())))
            case values.Sequence():
                message = f"{item.path} is a list; write a kind such as block, or a mapping with its kind"
                item.findings.add(item.origin, codes.EFFECT, message)
    return tuple(found)


def _when(item: values.Mapping, named: str) -> Moment | Point | None:
    if named == "at":
        at = moment(item, "at")
        return None if at is None else Moment(at)
    text = item.text(named)
    if text is None:
        return None
    word, _, step = text.strip().partition(" ")
    if word not in WORDS:
        item.wrong(named, codes.POINT, f"{literals.shown(word)} is no point{literals.nearest(word, WORDS)}")
        return None
    if step and not (step.isascii() and step.isdigit() and len(step) <= 4):
        item.wrong(named, codes.POINT, f"{literals.shown(step)} is no number of a step; write apply 1")
        return None
    return Point(named == "after", word, int(step) if step else None)


def _told(item: values.Mapping, verb: str) -> Deed | None:
    body = item.mapping(verb)
    if body is None:
        return None
    # As netsre's own alerts have it; one that is written empty is none.
    pairs = {name: text for name, text in ({conventions.NODE: scenarios.NODE} | body.pairs()).items() if text}
    if not pairs.get("alertname"):
        item.wrong(verb, codes.EVENT, "has no alertname; write the labels of the alert")
    return Told(labels(pairs), firing=verb == "firing")


def _curved(item: values.Mapping, verb: str) -> Deed | None:
    body = item.mapping(verb)
    return None if body is None else Curved(scenario_series.read(body))


def _answering(item: values.Mapping, verb: str) -> Deed | None:
    body = item.mapping(verb)
    return None if body is None else Answering(scenario_facts.read(body))


def _others(item: values.Mapping, verb: str) -> Deed | None:
    body = item.mapping(verb)
    return None if body is None else OthersAnswer(scenario_others.read(body))


def _node(item: values.Mapping, verb: str) -> Deed | None:
    word = item.choice(verb, *(state.value for state in NodeState))
    return None if word is None else NodeBecomes(NodeState(word))


def _kill(item: values.Mapping, verb: str) -> Deed | None:
    return None if item.choice(verb, "controller") is None else Killed()


def _switch(item: values.Mapping, verb: str) -> Deed | None:
    word = item.choice(verb, *SWITCH)
    state = next((known for known in SWITCH if known == word), None)
    return None if state is None else Switched(state)


def _says(item: values.Mapping, verb: str) -> Deed | None:
    person, answer = item.text(verb), item.text("answer", required=False)
    said = next((known for known in VERBS if known == verb), None)
    return None if person is None or said is None else Says(said, person, answer)


_READERS: Final[Mapping[str, Callable[[values.Mapping, str], Deed | None]]] = MappingProxyType(
    {
        "firing": _told,
        "resolved": _told,
        "series": _curved,
        "facts": _answering,
        "others": _others,
        "node": _node,
        "kill": _kill,
        "killSwitch": _switch,
    }
)


def _text(deed: Deed) -> str:  # noqa: PLR0911 - a line each
    match deed:
        case Told():
            named = " ".join(f"{name}={value}" for name, value in deed.labels if name != conventions.NODE)
            return f"alert {'begins' if deed.firing else 'ends'}: {named}"
        case Curved():
            return f"series change: {', '.join(dict.fromkeys(one.name for one in deed.series))}"
        case Answering():
            return f"the node answers otherwise: {', '.join(deed.facts)}"
        case OthersAnswer(others):
            changed = [*(["alertmanager"] if others.alertmanager else []), *others.http]
            return f"others answer otherwise: {', '.join(changed)}"
        case NodeBecomes(state):
            return f"the agent is {state}"
        case Killed():
            return "the controller is killed"
        case Switched(state):
            return f"the kill switch is {state}"
        case Says(verb, person):
            return f"{person} says {verb}"
