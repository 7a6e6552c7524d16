"""The JSON of a postmortem."""

from pydantic import BaseModel

from netsre.app.control.incidents.shapes import Event, IncidentView
from netsre.app.numbers import Number


class Measure(BaseModel):
    """How long one part of an incident took."""

    name: str
    """`detect`, `page`, `mitigate`, `verify` or `close`."""
    title: str
    definition: str
    """From what to what."""
    seconds: Number | None
    reason: str | None
    """Why it is not known, where it is not."""


class Began(BaseModel):
    """When the trouble began."""

    at: str | None
    by: str
    """What says so, or why nothing does."""


class Point(BaseModel):
    """One slot of a service level."""

    at: str
    bad: Number
    total: Number
    measured: bool


class Level(BaseModel):
    """What an incident cost one group of a service level."""

    slo: str
    group: dict[str, str]
    why: str
    """Why it is here: `alert`, `verification` or `bad events`."""
    objective: Number
    window: str
    bad: Number
    total: Number
    """Events of the slots that the incident touched."""
    allowed: Number | None
    """Bad events that the objective allows in the window that ends when this was written."""
    spent: Number | None
    """`bad` over `allowed`."""
    reason: str | None
    """Why these two are not known, where they are not."""
    minutes: int
    minutes_measured: int
    points: list[Point]


class Postmortem(BaseModel):
    """An incident with times, budget, everything in order, and what is not known."""

    incident: IncidentView
    written_at: str
    began: Began
    measures: list[Measure]
    counted_from: str
    counted_to: str
    """Begin of the first and end of the last slot that was counted."""
    step_seconds: int
    levels: list[Level]
    levels_left_out: int
    timeline: list[Event]
    gaps: list[str]
    """What is not in the data."""
