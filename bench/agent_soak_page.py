"""What a soak of the agent found, as a section of docs/benchmarks.md that `make bench` leaves as it is."""

import datetime
from typing import Final

from bench.agent_soak import Outcome

TITLE: Final = "Soak of the agent"


def section(found: Outcome, machine: str, day: datetime.date) -> str:
    """Return what was found."""
    rows = "\n".join(f"| {what} | {figure} | {verdict} |" for what, figure, verdict in _rows(found))
    counts = "\n".join(
        f"| {what} | {made} | {count} | {_verdict(made, count)} |"
        for what, made, count in (
            (what, made, found.counted[what]) for what, made in sorted(found.made.items())
        )
    )
    return f"""Written by `make soak` on {day.isoformat()}. Do not edit.

{found.seconds / 60:.0f} minutes, {found.connects} connection attempts in two network namespaces, a flow log,
and a scrape of {found.series} series every five seconds.

Machine: {machine}.

| what | figure | |
|---|---|---|
{rows}

What was made, by the generators' own count and the kernel's (`/proc/net/snmp`), and what the agent has of it.
Segments are sent again by timers; why some of these reach no BPF program, [critiques.md](critiques.md) says.

| what | made | counted | |
|---|---|---|---|
{counts}
"""


def _verdict(made: int, count: int) -> str:
    return "exact" if made == count else f"off by {count - made:+d} ({(count - made) / made:+.2%})"


def _rows(found: Outcome) -> list[tuple[str, str, str]]:
    first, last = found.settled[0], found.settled[-1]
    slope, error = found.slope(lambda moment: moment.resident)
    minutes = (last.seconds - first.seconds) / 60
    cpu = (last.cpu_seconds - first.cpu_seconds) / (last.seconds - first.seconds)
    held = {True: "held", False: "**did not hold**"}
    full = ", ".join(f"{name} {count}" for name, count in sorted(found.overflows.items())) or "none"
    return [
        ("memory of all processes, begin and end", f"{_mib(first.resident)}, {_mib(last.resident)}", ""),
        (
            f"memory, slope over the last {minutes:.0f} minutes",
            f"{slope * 60 / 1024:+.2f} KiB a minute, standard error {error * 60 / 1024:.2f}",
            held[found.flat],
        ),
        (
            "open descriptors and memory of maps, begin and end",
            f"{first.descriptors} and {_mib(first.map_bytes)}, {last.descriptors} and {_mib(last.map_bytes)}",
            held[found.steady],
        ),
        ("processor", f"{cpu:.1%} of a core", ""),
        ("runs that the kernel left out", str(found.missed), ""),
        ("maps that were found full", full, ""),
        ("events for the flow log, of which lost", f"{found.events}, {found.lost}", ""),
    ]


def _mib(number: int) -> str:
    return f"{number / 2**20:.1f} MiB"
