"""The schema of maintenance calendars."""

from netsre.app.schemas import parts
from netsre.app.schemas.parts import Schema
from netsre.runbook.calendars import LOCAL


def calendar() -> Schema:
    """Return the schema of `spec` of a maintenance calendar."""
    return parts.mapping(
        "When people work on things, so that no runbook changes anything there.",
        {
            "reason": parts.text("What is done then."),
            "timezone": parts.text("Where those are the times, such as Europe/Berlin."),
            "windows": parts.sequence("When.", _window(), least=1),
        },
        {
            "runbooks": parts.sequence("Only these; all, where it is left out.", parts.name("One."), least=1),
            "targets": parts.sequence(
                "Only these; all, where it is left out.",
                parts.listed_text("A target such as conntrack/a, with * for anything."),
                least=1,
            ),
        },
    )


def _window() -> Schema:
    cron = parts.pattern(
        "When it begins, five fields as in crontab(5).",
        r"\s*\S+(?:\s+\S+){4}\s*",
        "Five fields such as 0 2 * * sun.",
    )
    local = parts.pattern(
        "A local time.", LOCAL, "A local time such as 2026-12-01T22:00.", "2026-12-01T22:00"
    )
    keys = {
        "cron": cron,
        "duration": parts.duration("How long it is open, at most 1d."),
        "from": local,
        "to": {**local, "description": "When it ends, at most 31 days later."},
    }
    again = {"required": ["cron", "duration"], "properties": {"from": False, "to": False}}
    once = {"required": ["from", "to"], "properties": {"cron": False, "duration": False}}
    return parts.mapping("A time that comes again and again, or once.", {}, keys) | {"oneOf": [again, once]}
