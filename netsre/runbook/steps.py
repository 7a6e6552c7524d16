"""The steps of a runbook file: each action reads its own parameters, and references must lead somewhere."""

from collections.abc import Mapping, Sequence

from netsre.model import literals, values
from netsre.model.conditions import Condition
from netsre.model.runbooks import Step
from netsre.runbook import codes, conditions, references
from netsre.runbook.actions.contract import Action, Change, Observation


def read(spec: values.Mapping, actions: Mapping[str, Action], *, measured: bool = True) -> tuple[Step, ...]:
    """Take `steps`; `measured` says whether a step may ask for what is measured; errors become findings."""
    sequence = spec.sequence("steps")
    if sequence is None:
        return ()
    if not sequence.nodes:
        spec.wrong("steps", codes.NO_STEPS, "is empty; write at least one action")
    provided: set[str] = set()
    steps = []
    changed = False
    for item in sequence.mappings():
        step = _step(item, actions, measured=measured)
        if step is None:
            continue
        _check_references(item, step, provided)
        action = actions[step.action]
        # What is seen after the first change cannot be part of a plan that is made before it.
        if isinstance(action, Observation) and not changed:
            provided |= action.provides(step.parameters)
        changed = changed or isinstance(action, Change)
        steps.append(step)
    return tuple(steps)


def changes(steps: Sequence[Step], actions: Mapping[str, Action]) -> bool:
    """Tell whether any of the steps changes something."""
    return any(isinstance(actions.get(step.action), Change) for step in steps)


def condition(spec: values.Mapping, key: str, *, measured: bool) -> Condition | None:
    """Take a condition; `measured` says whether it may ask for what is measured at its turn."""
    text = spec.text(key, required=False)
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


def _step(item: values.Mapping, actions: Mapping[str, Action], *, measured: bool) -> Step | None:
    name = item.text("action")
    parameters = item.mapping("with")
    wanted = condition(item, "if", measured=measured)
    item.end()
    action = None if name is None else actions.get(name)
    if name is not None and action is None:
        hint = literals.nearest(name, actions)
        item.wrong("action", codes.UNKNOWN_ACTION, f"{literals.shown(name)} does not exist{hint}")
    if name is None or action is None or parameters is None:
        return None
    if wanted is not None and not isinstance(action, Change):
        message = "is for steps that change something; what only looks is always done"
        item.wrong("if", codes.CONDITION, message)
    taken = action.read(parameters)
    parameters.end()
    return None if taken is None else Step(name, taken, wanted)


def _check_references(item: values.Mapping, step: Step, provided: set[str]) -> None:
    for key in references.broken(step.parameters):
        message = f"{key} has a part of a reference; write it whole, such as ${{evidence.top_source}}"
        item.wrong("with", codes.REFERENCE, message)
    for key, name in references.named(step.parameters):
        if name not in provided:
            hint = literals.nearest(name, provided)
            message = (
                f"{key} refers to evidence.{name}, which no observation before the first change gives{hint}"
            )
            item.wrong("with", codes.REFERENCE, message)
