"""The table of `netsre up` in terminals of every width."""

import io
import re

import pytest
from rich.console import Console
from rich.live import Live

from netsre.app.levels import read_levels
from netsre.cli.up import LiveScreen, folded, table

LEVELS = read_levels(
    {
        "slos": [
            {
                "name": "flow-success-of-a-long-name",
                "group": {"node": "a"},
                "objective": "0.99995",
                "total": "123456789",
                "sli": "0.999999",
                "budget_remaining": "-1234.5",
                "burn": {"5m": "1234.5", "30m": None},
                "firing": ["ticket", "page"],
            }
        ]
    }
)
CELLS = {
    "SLI": LEVELS[0].sli,
    "goal": LEVELS[0].objective,
    "budget": LEVELS[0].budget,
    "burn": " ".join(LEVELS[0].burn.split()[:2]),
    "events": LEVELS[0].events,
    "state": LEVELS[0].firing,
}


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (120, ["SLI", "goal", "budget", "burn", "events", "state"]),
        (80, ["SLI", "goal", "budget", "burn", "state"]),
        (60, ["SLI", "budget", "burn", "state"]),
        (40, ["SLI", "state"]),
    ],
)
def test_a_narrow_table_leaves_out_columns_and_cuts_no_number(width: int, columns: list[str]) -> None:
    """What is there is whole, header and number; only the name gives way."""
    console = Console(file=io.StringIO(), width=width)
    with console.capture() as captured:
        console.print(table(LEVELS, width))
    header, row = captured.get().splitlines()

    assert header.split() == ["SLO", *columns]
    assert [title for title, cell in CELLS.items() if cell in row] == columns
    assert max(len(header), len(row)) <= width
    assert row.startswith("flow-succe")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_what_a_terminal_echoes_beside_the_table_begins_no_line(width: int) -> None:
    """The `^C` of a Ctrl-C finds room on the last line; one line more, and the table would be left behind."""
    terminal = io.StringIO()
    console = Console(file=terminal, width=width, force_terminal=True, color_system=None)
    with Live(console=console, auto_refresh=False) as live:
        screen = LiveScreen(live)
        screen.levels(LEVELS, "")
        screen.waiting("w" * 20, 1)
        screen.levels((), "n " * 100)
    lines = [re.sub(r"\x1b\[[?0-9;]*[A-Za-z]|\r", "", line) for line in terminal.getvalue().splitlines()]

    assert any("flow-succe" in line for line in lines)
    assert max(map(len, lines)) <= width - len("^C") - 1


def test_a_long_line_goes_on_below_its_text_and_no_word_is_broken() -> None:
    """Addresses and names stay whole, so that they can be copied; the column of titles stays free."""
    line = "lab:         40 connections/s between netsre-lab-10916-hcwz-srv and 2 clients"
    address = "http://127.0.0.1:8600/" + "x" * 90

    assert folded(line, 60) == [
        "lab:         40 connections/s between",
        "             netsre-lab-10916-hcwz-srv and 2 clients",
    ]
    assert address in folded(f"page:        {address}", 60)[-1]
    assert folded("", 60) == [""]
