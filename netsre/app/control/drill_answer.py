"""Whether anybody would answer a fault: before it is injected, the gates are asked that come after it."""

from netsre import conventions
from netsre.alerting import conditions
from netsre.app.control.world import World
from netsre.model import alerts
from netsre.model.alerts import Alert, AlertSource, AlertState
from netsre.model.gamedays import GameDay
from netsre.runbook import decide


def refusal(world: World, gameday: GameDay, netns: str) -> str:
    """Return why the expected runbook would not act on an alert of a namespace; empty when it would.

    The word of the gate comes first. Where nothing was read yet nothing is said: the alert has no node.
    """
    rule = next((rule for rule in world.rules if rule.name == gameday.expect.alert), None)
    runbook = world.runbooks.get(gameday.expect.runbook)
    scrapes = world.sight.scrapes()
    if rule is None or runbook is None:
        return f"not_matched: {gameday.expect.alert} or {gameday.expect.runbook} does not exist here"
    if not scrapes:
        return ""
    identity = conditions.identify(rule, ((conventions.NETNS, netns), (conventions.NODE, scrapes[-1].node)))
    now = world.clock.now()
    name = alerts.fingerprint(identity)
    alert = Alert(name, identity, {}, AlertState.FIRING, now, None, now, source=AlertSource.CONDITION)
    with world.store.read() as transaction:
        verdict = decide.decide(runbook, alert, world.circumstances(transaction, alert))
    said = next((answer.detail for answer in verdict.answers if answer.gate is verdict.reason), "")
    return "" if verdict.accepted else f"{verdict.reason}: {said}"
