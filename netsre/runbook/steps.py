"""The steps of a runbook file: each action reads its own parameters, and references must lead somewhere."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from netsre.model import literals, values, yamltree
from netsre.model.conditions import Condition
from netsre.model.runbooks import Step
from netsre.runbook import codes, conditions, handles, loops, manner_specs, references
from netsre.runbook.actions.contract import Action, Change, Observation
from netsre.runbook.parameters import Filler


def read(
    spec: values.Mapping,
    actions: Mapping[str, Action],
    filler: Filler | None = None,
    *,
    measured: bool = True,
) -> tuple[Step, ...]:
    """Take `steps`; `measured` says whether a step may ask for what is measured; errors become findings.

    A loop is as many steps as its rounds have together. `filler` has the parameters that they may name.
    """
    filler = filler or Filler(())
    sequence = spec.sequence("steps")
    if sequence is None:
        return ()
    if not sequence.nodes:
        spec.wrong("steps", codes.NO_STEPS, "is empty; write at least one action")
    reader = _Reader(actions, filler, measured)
    for item in sequence.mappings():
        if loops.KEY in item:
            reader.loop(item)
        else:
            reader.step(item)
    filler.check_named(spec)
    if len(reader.steps) > loops.MOST_STEPS:
        message = f"has {len(reader.steps)} steps in all rounds together, at most {loops.MOST_STEPS}"
        spec.wrong("steps", codes.REPEAT, message)
    return tuple(reader.steps)


def changes(steps: Sequence[Step], actions: Mapping[str, Action]) -> bool:
    """Tell whether any of the steps changes something."""
    return any(isinstance(actions.get(step.action), Change) for step in steps)


def condition(spec: values.Mapping, key: str, *, measured: bool, required: bool = False) -> Condition | None:
    """Take a condition; `measured` says whether it may ask for what is measured at its turn."""
    text = spec.text(key, required=required)
    if text is None:
        return None
    try:
        found = conditions.parse(text)
    except conditions.ConditionError as error:
        spec.wrong(key, codes.CONDITION, f"cannot be read: {error}")
        return None
    if not measured and conditions.measures(found):
        message = "asks still(alert); that is for `if` of a step, and about alerts of ours only"
        spec.wrong(key, codes.CONDITION, message)
    return found


@dataclass
class _Reader:
    """What the steps so far mean to the next."""

    actions: Mapping[str, Action]
    filler: Filler
    measured: bool
    steps: list[Step] = field(default_factory=list)
    provided: dict[str, int] = field(default_factory=dict)
    """Evidence that was seen before the first change, by the step that saw it."""
    changed: bool = False

    def step(self, item: values.Mapping) -> None:
        """Take a step outside of any loop."""
        step = self._read(item)
        if step is None:
            return
        self._check_references(item, step, self.provided)
        asked = () if step.condition is None else sorted(conditions.evidence(step.condition))
        sees = tuple((name, self.provided[name]) for name in asked if name in self.provided)
        action = self.actions[step.action]
        # What is seen after the first change cannot be part of a plan that is made before it.
        if isinstance(action, Observation) and not self.changed:
            self.provided |= dict.fromkeys(action.provides(step.parameters), len(self.steps))
        self.changed = self.changed or isinstance(action, Change)
        self.steps.append(replace(step, manner=replace(step.manner, sees=sees)))

    def loop(self, item: values.Mapping) -> None:
        """Take a loop, and add the steps of all its rounds."""
        part = item.mapping(loops.KEY)
        item.end()
        if part is None:
            return
        before = len(part.findings)
        bounds, until = loops.bounds(part), condition(part, "until", measured=self.measured, required=True)
        body, within = self._body(part)
        part.end()
        for name in () if until is None else sorted(conditions.evidence(until)):
            if name not in within and name not in self.provided:
                part.wrong("until", codes.REFERENCE, _nowhere("asks", name, {*within, *self.provided}))
        if body and not changes(body, self.actions):
            part.wrong(
                "steps", codes.REPEAT, "change nothing, so that no further round would see anything else"
            )
        if bounds is None or until is None or len(part.findings) > before:
            return
        self.steps.extend(
            loops.rounds(bounds, until, body, loops.Around(len(self.steps), within, self.provided))
        )
        self.changed = True

    def _body(self, part: values.Mapping) -> tuple[list[Step], dict[str, int]]:
        """Return the steps of one round, and what they see by their place in it."""
        sequence = part.sequence("steps")
        body: list[Step] = []
        within: dict[str, int] = {}
        if sequence is not None and not sequence.nodes:
            part.wrong("steps", codes.NO_STEPS, "is empty; write at least one action")
        for item in () if sequence is None else sequence.mappings():
            if loops.KEY in item:
                item.wrong(
                    loops.KEY, codes.REPEAT, "stands inside of another loop; write one after the other"
                )
                continue
            step = self._read(item)
            if step is None:
                continue
            action = self.actions[step.action]
            # A look has its parameters from the plan, as it is made before a round can see anything.
            looks = isinstance(action, Observation)
            self._check_references(item, step, self.provided if looks else {**self.provided, **within})
            if isinstance(action, Observation):
                within |= dict.fromkeys(action.provides(step.parameters), len(body))
            body.append(step)
        return body, within

    def _read(self, item: values.Mapping) -> Step | None:
        name = item.text("action")
        parameters = item.mapping("with")
        wanted = condition(item, "if", measured=self.measured)
        action = None if name is None else self.actions.get(name)
        manner = manner_specs.read(item, action)
        item.end()
        if name is not None and action is None:
            hint = literals.nearest(name, self.actions)
            item.wrong("action", codes.UNKNOWN_ACTION, f"{literals.shown(name)} does not exist{hint}")
        if name is None or action is None or parameters is None:
            return None
        if wanted is not None and not isinstance(action, Change):
            message = "is for steps that change something; what only looks is always done"
            item.wrong("if", codes.CONDITION, message)
        _check_secrets(parameters, action)
        before, filled = len(item.findings), self.filler.fill(parameters)
        taken = action.read(filled)
        filled.end()
        if filled is parameters or taken is None or len(item.findings) > before:
            return None if taken is None else Step(name, taken, wanted, manner)
        self.filler.check_bounds(parameters, action)
        return Step(name, taken, wanted, manner, parameters.node)

    def _check_references(self, item: values.Mapping, step: Step, provided: Mapping[str, int]) -> None:
        for key in references.broken(handles.without(step.parameters)):
            message = f"{key} has a part of a reference; write it whole, such as ${{evidence.top_source}}"
            item.wrong("with", codes.REFERENCE, message)
        for key, name in references.named(step.parameters):
            if name not in provided:
                item.wrong("with", codes.REFERENCE, _nowhere(f"{key} refers to", name, provided))
        for name in () if step.condition is None else sorted(conditions.evidence(step.condition)):
            if name not in provided:
                item.wrong("if", codes.REFERENCE, _nowhere("asks", name, provided))


def _check_secrets(part: values.Mapping, action: Action) -> None:
    taken = sorted(handles.taken_by(action))
    instead = f"only in {', '.join(taken)}" if taken else "nowhere"
    for entry in part.node.entries:
        texts = tuple(yamltree.texts(entry.value))
        found = handles.named(texts)
        if any("${secret" in handles.HANDLE.sub("", text) for text in texts):
            part.wrong(entry.key, codes.HANDLE, "has a part of a handle; write ${secret.NAME}")
        if found and entry.key not in taken:
            message = f"has ${{secret.{min(found)}}}, and {action.name} takes a secret {instead}"
            part.wrong(entry.key, codes.HANDLE, message)


def _nowhere(what: str, name: str, provided: Iterable[str]) -> str:
    hint = literals.nearest(name, provided)
    return f"{what} evidence.{name}, which no observation before the first change gives{hint}"
