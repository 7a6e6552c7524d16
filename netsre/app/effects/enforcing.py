"""Effects on the policies in force: how strictly they are treated, and which revision decides.

Every change is made under the lock that commands take, and by what is there then.
"""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from netsre.adapters.bpf import policy_maps
from netsre.adapters.control import ControlRefused
from netsre.app.effects import loosening
from netsre.app.effects.refusals import OF_POLICIES, Said, refusing
from netsre.app.policing import applying, modes, node, programs
from netsre.app.policing.modes import Strictness
from netsre.app.policing.node import Places
from netsre.app.policing.recipes import Recipe, Recipes
from netsre.clock import SystemClock, boottime
from netsre.datapath.policy import reading
from netsre.datapath.policy.layouts import Revision
from netsre.datapath.policy.modes import Mode, Setting
from netsre.datapath.policy.sync import Held
from netsre.errors import BadInput, EnvironmentUnfit
from netsre.model.documents import Document
from netsre.model.effects import EVERYBODY, Enforcement, PolicyMode, PolicyRevision, RevisionFacts

_SAID: Final[tuple[Said, ...]] = (*OF_POLICIES, (BadInput, "unknown_endpoint"))
Chosen = Callable[[Held, int], int]
"""Returns the number of the revision to go to, by what the kernel holds and CLOCK_BOOTTIME."""


class Enforcing:
    """The policy datapath of this node, as far as automation may change it."""

    def __init__(self, places: Places) -> None:
        """Change what is there; a command that changes something is waited for for a moment only."""
        self._places = replace(places, patient=False)

    def facts(self, endpoint: str) -> Enforcement:
        """Return what is in force; of an endpoint its own mode. Refuses `no_policies`, `unknown_endpoint`."""
        now = boottime()
        with refusing(*_SAID), node.opened(self._places) as datapath, node.kernel("policies cannot be read"):
            found = modes.of(self._places, datapath, _named(endpoint))
            held = policy_maps.revisions(datapath)
        told = loosening.facts(found.own, found.now(now), now)
        stricter = ""
        decides, earlier = held.decides(now), _earlier(held, now)
        # Who asks for a mode needs no earlier one that can be read; who goes to it is refused then.
        with refusing(*_SAID):
            running = programs.read(self._places)
        with contextlib.suppress(ControlRefused):
            stricter = self._stricter(decides.number, earlier.number) if earlier is not None else ""
        return Enforcement(
            told,
            self._told(_whole(decides)),
            self._told(earlier) if earlier is not None else None,
            on_trial=held.trial(now) is not None,
            stricter=stricter,
            programs=running.digest,
            kept_programs="" if running.is_left else running.kept,
            programs_age=_age(running.since_ms),
            revision_age=self._made_ago(decides.number),
        )

    def check(self, effect: PolicyMode | PolicyRevision) -> None:
        """Refuse what must not, or cannot, be done now; change nothing."""
        now = boottime()
        with refusing(*_SAID), node.opened(self._places) as datapath, node.kernel("policies cannot be read"):
            held = policy_maps.revisions(datapath)
            _whole(held.decides(now))
            match effect:
                case PolicyMode():
                    found = modes.of(self._places, datapath, _named(effect.endpoint))
                    loosening.begun(effect, found.own, found.now(now), now, now)
                case PolicyRevision():
                    self._further(effect, held, now)

    def begin(self, effect: PolicyMode | PolicyRevision, deadline: int) -> Document:
        """Make the change and return figures."""
        match effect:
            case PolicyMode(endpoint, before, mode, _):

                def chosen(found: Strictness) -> Setting:
                    now = boottime()
                    return loosening.begun(effect, found.own, found.now(now), deadline, now)

                with refusing(*_SAID):
                    modes.exchange(self._places, _named(endpoint), chosen)
                return {"before": before, "after": mode}
            case PolicyRevision():
                return {**self._go(lambda held, now: self._further(effect, held, now))}

    def holds(self, effect: PolicyMode | PolicyRevision, deadline: int) -> bool:
        """Say whether it is as the effect makes it."""
        now = boottime()
        try:
            with node.opened(self._places) as datapath, node.kernel("policies cannot be read"):
                match effect:
                    case PolicyMode(endpoint):
                        found = modes.of(self._places, datapath, _named(endpoint))
                        return loosening.is_made(effect, found.own, deadline)
                    case PolicyRevision():
                        decides = self._told(policy_maps.revisions(datapath).decides(now))
        except BadInput:
            return False  # without a datapath, or without the endpoint, nothing of it is there
        return decides == RevisionFacts(effect.after, effect.after_digest)

    def end(self, effect: PolicyMode | PolicyRevision, deadline: int) -> Document:
        """Take back what is still as the effect made it, and say under `result` what was found."""
        match effect:
            case PolicyMode():
                return {"result": self._end_mode(effect, deadline)}
            case PolicyRevision():
                back = PolicyRevision(effect.after, effect.after_digest, effect.before, effect.before_digest)
                if not self.holds(effect, deadline):
                    return {"result": loosening.CHANGED}
                try:
                    figures = self._go(lambda held, now: self._target(back, held, now))
                except ControlRefused as refusal:
                    if refusal.reason == "changed":
                        return {"result": loosening.CHANGED}
                    raise
                return {**figures, "result": loosening.PUT_BACK}

    def _end_mode(self, effect: PolicyMode, deadline: int) -> str:
        word = loosening.GONE

        def chosen(found: Strictness) -> Setting:
            nonlocal word
            setting, word = loosening.taken_back(effect, found.own, deadline, boottime())
            return setting

        try:
            with refusing(*_SAID):
                modes.exchange(self._places, _named(effect.endpoint), chosen)
        except ControlRefused as refusal:
            if refusal.reason not in {"no_policies", "unknown_endpoint"}:
                raise
        return word

    def _go(self, chosen: Chosen) -> Document:
        """Go to a revision, and return figures: what commands tell people is a note."""
        notes: list[str] = []
        places = replace(self._places, tells=notes.append)
        with refusing(*_SAID):
            before, after = applying.go_to(places, chosen)
        return {"before": before.number, "after": after, **({"notes": [*notes]} if notes else {})}

    def _further(self, effect: PolicyRevision, held: Held, now_ns: int) -> int:
        """Return the number to go to; refuses one that is stricter where people loosened something."""
        number = self._target(effect, held, now_ns)
        if name := self._stricter(effect.before, number):
            raise ControlRefused(
                "stricter", f"people loosened policy {name}, and revision {number} is stricter"
            )
        return number

    def _stricter(self, before: int, after: int) -> str:
        """Return a policy that one revision has a looser mode for than the other; empty for none."""
        was, would_be = self._recipe(before), self._recipe(after)
        if was is None or would_be is None or not was.modes:
            return ""
        try:
            names = {policy.document for policy in reading.of_policies().read(would_be.policies)}
        except BadInput as error:
            raise ControlRefused("unknown_revision", f"revision {after} cannot be read: {error}") from error
        order = tuple(Mode)
        loosened = (
            name
            for name, mode in sorted(was.modes.items())
            if name in names and order.index(would_be.modes.get(name, Mode.ENFORCE)) < order.index(mode)
        )
        return next(loosened, "")

    def _target(self, effect: PolicyRevision, held: Held, now_ns: int) -> int:
        """Return the number to go to; refuses what is not as it was planned for."""
        if held.trial(now_ns) is not None:
            raise ControlRefused("on_trial", "what decides ends by itself: whoever began that sees to it")
        decides = self._told(_whole(held.decides(now_ns)))
        if decides != RevisionFacts(effect.before, effect.before_digest):
            said = f"revision {decides.number} ({decides.digest or 'of nobody knows what'}) is in force"
            raise ControlRefused("changed", f"{said}, not {effect.before}: look again")
        kept = {one.number: one for one in held.kept.values()}
        if effect.after not in kept:
            raise ControlRefused("not_kept", f"revision {effect.after} is not kept any more")
        if self._told(kept[effect.after]).digest != effect.after_digest:
            raise ControlRefused("changed", f"revision {effect.after} is another by now: look again")
        return effect.after

    def _told(self, revision: Revision) -> RevisionFacts:
        recipe = self._recipe(revision.number)
        return RevisionFacts(revision.number, recipe.digest if recipe is not None else "")

    def _made_ago(self, number: int) -> int | None:
        with contextlib.suppress(EnvironmentUnfit):
            made = self._places.place.read().made.get(number)
            return _age(made.at) if made is not None else None
        return None

    def _recipe(self, number: int) -> Recipe | None:
        # What cannot be read is as good as lost: nobody can say what it is.
        return Recipes(self._places.state, lambda _: None).read(number)


def _age(at: int) -> int:
    # Both by the clock of this node, which may have been set back meanwhile.
    return max(0, SystemClock().now() - at)


def _whole(revision: Revision) -> Revision:
    if not revision.is_whole:
        raise ControlRefused("no_policies", "no revision of policies is in force")
    return revision


def _earlier(held: Held, now_ns: int) -> Revision | None:
    """Return the one before what decides: never a later one, which somebody may have gone back from."""
    now = held.decides(now_ns).number
    return max((one for one in held.kept.values() if one.number < now), default=None)


def _named(endpoint: str) -> str | None:
    return None if endpoint == EVERYBODY else endpoint
