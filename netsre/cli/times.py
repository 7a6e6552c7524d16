"""How long something holds, as commands tell it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netsre.datapath.policy.modes import Setting


def words_of(setting: "Setting") -> str:
    """Return a mode for people: what holds, for how long, and what then."""
    from netsre.clock import boottime  # noqa: PLC0415  --help needs none of it

    now = boottime()
    if setting.until_ns <= now:
        return setting.now(now).value
    return f"{setting.mode.value} for {time_left(setting.until_ns, now)}, then {setting.lasting.value}"


def time_left(until_ns: int, now_ns: int) -> str:
    """Return how long something still lasts, in whole seconds."""
    from netsre.clock import duration_text  # noqa: PLC0415

    return duration_text((until_ns - now_ns) // 10**9 * 1000 or 1000)


def document_of(setting: "Setting") -> dict[str, object]:
    """Return a mode as JSON documents have it."""
    from netsre.clock import boottime  # noqa: PLC0415  --help needs none of it

    now = boottime()
    left = (setting.until_ns - now) / 1e9 if setting.until_ns > now else None
    return {"mode": setting.now(now).value, "secondsLeft": left, "afterwards": setting.lasting.value}
