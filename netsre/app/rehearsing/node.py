"""A node that is made up: it keeps effects by key, each once and with its own end, as an agent does.

It knows nothing of what kinds of effects there are. One that has a time ends then; one that leads a field
from one value to another is refused where the field has a third; what has neither is done, and stays done.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from netsre import clock
from netsre.app.rehearsing.points import Answer, Points
from netsre.app.rehearsing.series import Tracks
from netsre.clock import Timestamp
from netsre.model import deeds
from netsre.model.deeds import Call, Deed, Outside, Silence
from netsre.model.documents import Document
from netsre.model.effects import Effect, InForce, Standing
from netsre.model.samples import Scrape
from netsre.model.scenarios import NODE, Facts, Scenario, While
from netsre.runbook.actions.contract import NodeRefused, NodeUnreachable
from netsre.runbook.scenario_facts import QUESTIONS

_FOLLOWED: Final = {"conntrack.limit": ("limit", "limit")}
"""Fields that an answer of the node tells as well."""
CHANGED: Final = "changed_meanwhile"
NOT_GIVEN: Final = "not_given"


@dataclass(slots=True)
class Kept:
    """An effect that the node was asked for."""

    key: str
    effect: Deed
    until: Timestamp | None
    """None: it has no time."""
    standing: Standing = Standing.APPLIED

    @property
    def lasts(self) -> bool:
        """Tell whether it can end."""
        if isinstance(self.effect, Call):
            return self.effect.undo is not None
        return self.until is not None or deeds.setting(self.effect) is not None


@dataclass
class VirtualNode:
    """The node of one scenario."""

    scenario: Scenario
    points: Points
    tracks: Tracks
    facts: dict[str, Mapping[str, object] | str] = field(default_factory=dict)
    away: bool = False
    kept: dict[str, Kept] = field(default_factory=dict)
    applied: list[Deed] = field(default_factory=list)
    """All that was done, in order."""
    undone: list[Deed] = field(default_factory=list)
    told: list[tuple[Timestamp, str]] = field(default_factory=list)
    """What happened here that no journal has."""
    mistakes: list[str] = field(default_factory=list)
    """What no run may do, and what the scenario does not say."""
    silent: bool = False
    """Whether somebody got no answer lately."""
    _settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin as the scenario says."""
        self.facts.update(self.scenario.given.facts)

    # What an agent serves.

    def apply(self, key: str, effect: Effect) -> Document:
        """Apply an effect once per key."""
        return self._commanded("apply", key, lambda: self.keep(key, effect))

    def look(self, key: str, effect: Effect) -> Standing:
        """Return what became of the effect of a key."""
        del effect
        return self._commanded("look", key, lambda: self.standing(key))

    def undo(self, key: str, effect: Effect) -> Document:
        """Take an effect back; one that is absent or over is none to take back."""
        return self._commanded("undo", key, lambda: self.take_back(key, effect))

    def effects(self) -> Sequence[InForce]:
        """Return what is in force now."""
        self._hear()
        now = self.tracks.now
        return tuple(
            InForce(one.key, one.effect, one.until or Timestamp(now + clock.DAY))
            for one in self.in_force()
            if not isinstance(one.effect, Outside)
        )

    def __getattr__(self, name: str) -> Callable[..., object]:
        """Answer a question by what the scenario gives."""
        if name not in QUESTIONS:
            raise AttributeError(name)
        return partial(self._answer, name)

    # What the play does to it.

    def reading(self) -> Scrape:
        """Return what the agent exposes now."""
        return self.tracks.scrape(NODE, self.during())

    def in_force(self) -> Iterator[Kept]:
        """Yield the effects that can end, and have not."""
        return (one for one in self.kept.values() if one.standing is Standing.APPLIED and one.lasts)

    def next_end(self) -> Timestamp | None:
        """Return when an effect ends next."""
        return min((one.until for one in self.in_force() if one.until is not None), default=None)

    def pass_time(self, now: Timestamp) -> None:
        """Let time pass, to no later than an effect's next end."""
        self.tracks.pass_time(now, self.during())
        for one in list(self.in_force()):
            if one.until is not None and one.until <= now:
                self._end(one)
                self.told.append((now, f"{written(one.effect)['kind']} ends by itself"))

    def restart(self) -> None:
        """Begin counters anew; effects went on meanwhile."""
        self.tracks.restart()

    def during(self) -> list[While]:
        """Return what is so now, by the effects that stand."""
        standing = [written(one.effect) for one in self.kept.values() if one.standing is Standing.APPLIED]
        return [
            one
            for one in self.scenario.during
            if all(any(matches(wanted, done) for done in standing) for wanted in one.effects)
        ]

    def standing(self, key: str) -> Standing:
        """Return what became of what a key was for."""
        return self.kept[key].standing if key in self.kept else Standing.ABSENT

    def keep(self, key: str, effect: Deed) -> Document:
        """Put on record that the node, or somebody else, does something."""
        if key in self.kept:
            self.mistakes.append(f"{written(effect)['kind']} was applied twice, as {key}")
            return {}
        setting = deeds.setting(effect)
        if setting is not None:
            found = self._setting(setting.field)
            if found not in (None, setting.before):
                raise NodeRefused(CHANGED, f"{setting.field} is {found}, not {setting.before}")
            self._settings[setting.field] = setting.after
        ttl = getattr(effect, "ttl", None)
        until = Timestamp(self.tracks.now + ttl) if isinstance(ttl, int) else None
        self.kept[key] = Kept(key, effect, until)
        self.applied.append(effect)
        return {} if until is None else {"until": clock.rfc3339(until)}

    def take_back(self, key: str, effect: Deed) -> Document:
        """Put on record that it is taken back, if it is there."""
        one = self.kept.get(key)
        if one is not None and one.standing is Standing.APPLIED and one.lasts:
            self._end(one)
            self.undone.append(effect)
        return {}

    # How it does it.

    def _commanded(self, word: str, key: str, do: Callable[[], Answer]) -> Answer:
        return self.points.commanded(word, key, do, self._hear)

    def _hear(self) -> None:
        if self.away:
            self.silent = True
            raise NodeUnreachable("the agent gave no answer")

    def _end(self, one: Kept) -> None:
        one.standing = Standing.ENDED
        setting = deeds.setting(one.effect)
        if setting is not None:
            self._settings[setting.field] = setting.before

    def _setting(self, name: str) -> str | None:
        """Return the value of a field, where it is known."""
        if name in self._settings or name not in _FOLLOWED:
            return self._settings.get(name)
        question, key = _FOLLOWED[name]
        facts = self._facts(question)
        found = None if isinstance(facts, str) else facts.get(key)
        return None if found is None else str(found)

    def _facts(self, question: str) -> Mapping[str, object] | str:
        found = self.facts.get(question, {})
        for one in self.during():
            found = _over(found, one.facts.get(question, {}))
        return found

    def _answer(self, name: str, *asked: object) -> object:
        self._hear()
        given = self._facts(name)
        if isinstance(given, str):
            raise NodeRefused(given, f"the node refuses to answer {name}")
        for setting, (question, key) in _FOLLOWED.items():
            if question == name and setting in self._settings:
                given = {**given, key: int(self._settings[setting])}
        try:
            if not given:
                raise ValueError(f"{name} is asked for, and not given")  # noqa: TRY301
            return QUESTIONS[name].answered(given, asked)
        except ValueError as error:
            self.mistakes.append(f"facts: {error}")
            raise NodeRefused(NOT_GIVEN, str(error)) from error

    def answers(self, facts: Facts) -> None:
        """Answer otherwise from now on, as far as it is said."""
        for name, said in facts.items():
            self.facts[name] = _over(self.facts.get(name, {}), said)


def _over(before: Mapping[str, object] | str, said: Mapping[str, object] | str) -> Mapping[str, object] | str:
    """Put what is said over what was said before."""
    if isinstance(said, str) or isinstance(before, str):
        return said or before
    return {**before, **said}


def written(deed: Deed) -> Document:
    """Return what a scenario may say of a deed: of a silence its labels, of a call its method and address."""
    match deed:
        case Silence(matchers, ttl, comment):
            return {"kind": "silence", **dict(matchers), "ttl": ttl, "comment": comment}
        case Call(request):
            said = {"kind": "http_call", "method": request.method, "url": request.url}
            return {**said, "body": request.body} if request.body else said
        case _:
            return deeds.write(deed)


def matches(wanted: Document, done: Document) -> bool:
    """Tell whether an effect is of a kind and has the fields that are wanted."""
    return all(key in done and _same(value, done[key]) for key, value in wanted.items())


def _same(wanted: object, found: object) -> bool:
    if isinstance(found, bool):
        return str(wanted) == str(found).lower()
    if isinstance(found, int) and not str(wanted).isdigit():
        return str(wanted) == clock.duration_text(found) if found > 0 else False
    return str(wanted) == str(found)
