"""What the settings of a controller say under `automation`: the bounds that all runbooks share."""

from typing import Final

from netsre import clock
from netsre.model import linting, urls, values
from netsre.model.holds import USUAL, Bounds

MOST_STORM: Final = 100
_SHORTEST: Final = clock.MINUTE
_LONGEST: Final = clock.DAY
_LONGEST_QUARANTINE: Final = 30 * clock.DAY


def read(spec: values.Mapping) -> Bounds:
    """Return the bounds; what is left out has safe values, and none can be switched off."""
    part = spec.mapping("automation", required=False)
    if part is None:
        return USUAL
    changes, storm, http = (part.mapping(key, required=False) for key in ("changes", "storm", "http"))
    found = Bounds(
        _count(changes, "perTenMinutes", USUAL.per_ten_minutes),
        _count(changes, "perHour", USUAL.per_hour),
        _count(changes, "perDay", USUAL.per_day),
        _count(storm, "alerts", USUAL.storm_alerts, MOST_STORM),
        _length(storm, "hold", USUAL.storm_hold, _LONGEST),
        _length(part, "oscillation", USUAL.oscillation, _LONGEST),
        _length(part, "quarantine", USUAL.quarantine, _LONGEST_QUARANTINE),
        _prefixes(http),
    )
    for mapping in (changes, storm, http, part):
        if mapping is not None:
            mapping.end()
    return found


def _prefixes(part: values.Mapping | None) -> tuple[str, ...]:
    """Take what addresses of calls may begin with."""
    listed = None if part is None else part.sequence("allow")
    found = () if listed is None else listed.scalars()
    for scalar in found:
        problem = urls.problem(scalar.value, urls.PREFIX)
        if problem is not None:
            scalar.wrong(linting.CHOICE, problem)
    return tuple(scalar.value for scalar in found)


def _count(part: values.Mapping | None, key: str, usual: int, most: int | None = None) -> int:
    number = None if part is None else part.integer(key, required=False)
    if part is not None and number is not None and (number == 0 or (most is not None and number > most)):
        bound = "at least 1" if most is None else f"1 to {most}"
        part.wrong(key, linting.NUMBER, f"{number} is no bound; write {bound}")
    return usual if number is None else number


def _length(part: values.Mapping | None, key: str, usual: int, longest: int) -> int:
    length = None if part is None else part.duration(key, required=False)
    if part is not None and length is not None and length > longest:
        part.wrong(key, linting.DURATION, f"is longer than {clock.duration_text(longest)}")
    if part is not None and length is not None and length < _SHORTEST:
        least = clock.duration_text(_SHORTEST)
        part.wrong(key, linting.DURATION, f"is shorter than {least}, as good as off; write at least {least}")
    return usual if length is None else length
