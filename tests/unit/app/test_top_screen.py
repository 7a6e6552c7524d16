"""`netsre top`: keys, and pictures of every size."""

from collections.abc import Sequence

import pytest
from rich.cells import cell_len

from netsre import conventions as c
from netsre.app.top import keys
from netsre.app.top.frame import MEASURING, Picture, Seen, picture, plain
from netsre.app.top.keys import Keys
from netsre.app.top.measuring import Interval
from netsre.app.top.state import HELP, State, pressed
from netsre.app.top.views import NAMES
from netsre.clock import Timestamp
from tests.unit.app.top_readings import BORN, flow, histogram, interval, line, probes

AGENT = "http://127.0.0.1:8601"
HOSTILE = "\x1b[2J\x9b\n\u202e" + "名" * 300 + "\u0301" * 50


def busy(rows: int = 40) -> Interval:
    """Return an interval with something in every view, some of it hostile."""
    text = probes(("flows", "tcp", "drops"), maps="no_" + HOSTILE)
    for index in range(rows):
        src = f"netsre-lab-{index:05}-client-of-a-long-name" if index else HOSTILE
        ends = {"direction": "egress", "src": src, "dst": "private", "protocol": "tcp"}
        text += flow("failed", 1_234_567 + index, "unreachable", src=src, dst="private")
        text += flow("denied", 1_234_567, "blocked", src=src, dst="private")
        for metric in (c.FLOW_CONNECT_SECONDS, c.FLOW_RTT_SECONDS):
            text += histogram(metric, {"0.00025": 0, "2.5": 9, "+Inf": 90}, **ends)
        text += line(c.TCP_RETRANSMITS, 9_999_999, kind="data", **ends)
        text += line(c.DROPS, 7_777_777, hook="tc_ingress", reason="tcp_listen_overflow", rule=src, netns=src)
        text += line(c.BENIGN_DROPS, 7_777_777, reason=src, netns=src)
        table = {"table": "kernel", "netns": src}
        for metric in (c.CONNTRACK_ENTRIES, c.CONNTRACK_LIMIT, c.CONNTRACK_FULL_SECONDS):
            text += line(metric, 12_345_678, **table)
        for metric in (c.CONNTRACK_INSERT_FAILED, c.CONNTRACK_EARLY_DROPS, c.CONNTRACK_DROPS):
            text += line(metric, 12_345_678, **table)
        text += line(c.CONNTRACK_UTILIZATION, 0.999, **table) + line(c.CONNTRACK_GROWTH, -54_321.5, **table)
        place = {"map": src, "owner": src}
        for metric in (c.BPF_MAP_ENTRIES, c.BPF_MAP_CAPACITY, c.BPF_MAP_MEMORY, c.BPF_MAP_PRESSURE):
            text += line(metric, 0.5 if metric == c.BPF_MAP_PRESSURE else 1 << 30, **place)
        text += line(c.BPF_RUNS, 1 << 30, program=src) + line(c.BPF_RUN_SECONDS, 3, program=src)
    return interval("up 1\n", text)


BUSY = busy()
START = State()


def texts(shown: Picture) -> list[str]:
    """Return the lines of a picture."""
    return ["".join(piece.text for piece in line) for line in shown.lines]


def after(typed: Sequence[str], state: State = START, found: Interval | None = BUSY) -> State:
    """Press keys, one after the other, in a terminal of 80 columns and 24 lines."""
    for key in typed:
        state = pressed(state, key, picture(state, Seen(AGENT, found), 80, 24).extent)
    return state


def read(*chunks: bytes) -> list[str]:
    """Return the keys in what a terminal sent in these pieces."""
    reader = Keys()
    found = [key for chunk in chunks for key in reader.read(chunk)]
    return [*found, *reader.rest()]


def test_keys_are_read_in_whatever_pieces_they_come() -> None:
    """Sequences of a terminal, letters of every language, and the key Esc."""
    assert read(b"q1\t/\x7f\r\x15\x03") == [
        *("q", "1", keys.TAB, "/", keys.ERASE, keys.ENTER, keys.CLEAR, keys.INTERRUPT)
    ]
    assert read(b"\x1b[A\x1bOB\x1b[5~\x1b[6~\x1b[Z\x1b[1~\x1b[F") == [
        *(keys.UP, keys.DOWN, keys.PAGE_UP, keys.PAGE_DOWN, keys.BACKTAB, keys.HOME, keys.END)
    ]
    assert read(b"\x1b", b"[", b"A") == [keys.UP]
    assert read("ä名".encode()[:3], "ä名".encode()[3:]) == ["ä", "名"]
    assert read(b"\x1b") == [keys.ESCAPE]
    assert read(b"\x1bq") == [keys.ESCAPE, "q"]
    assert read(b"a\x1b[200~b\x1b[99;5u\x00c") == ["a", "b", "c"]
    assert read(b"\xff\x1b[" + b"1" * 40)[:2] == ["\ufffd", keys.ESCAPE]


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (60, 24), (200, 50), (40, 10), (5, 6), (1, 1)])
@pytest.mark.parametrize("view", range(len(NAMES)))
@pytest.mark.parametrize("offset", [0, 7, 9_999])
def test_a_picture_is_as_large_as_the_terminal(view: int, columns: int, lines: int, offset: int) -> None:
    """No line is wider, whatever is in it, and none is missing; nothing in it moves a cursor."""
    for state in (State(view, offset=offset), State(view, typing=True, sought="net" * 30), State(help=True)):
        shown = texts(picture(state, Seen(AGENT, BUSY), columns, lines))

        assert len(shown) == lines
        assert max(map(cell_len, shown)) <= columns
        assert all(character.isprintable() for text in shown for character in text)


@pytest.mark.parametrize(
    ("view", "titles"),
    [
        (0, "source → destination att/s fail/s deny/s failed p50 p99 reason"),
        (1, "this end → other end data syn synack rst-us rst-peer rtt-p50 rtt-p99"),
        (2, "network namespace entries limit full grow/s full-in insf/s early/s drop/s"),
        (3, "hook reason network namespace rule packets/s"),
        (4, "map owner entries capacity full memory overfl/s"),
    ],
)
def test_eighty_columns_show_every_column(view: int, titles: str) -> None:
    """Nothing is left out where the numbers are those of a usual node."""
    ends = {"direction": "egress", "src": "netsre-lab-12253-203bq-cli-a", "dst": "private", "protocol": "tcp"}
    table = {"table": "kernel", "netns": "netsre-lab-12253-203bq-srv"}
    text = flow("failed", 9_000, "unreachable", src=ends["src"], dst="private")
    text += line(c.TCP_RETRANSMITS, 9_000, kind="data", **ends)
    text += histogram(c.FLOW_CONNECT_SECONDS, {"0.00025": 9, "+Inf": 9}, **ends)
    text += line(c.CONNTRACK_ENTRIES, 262_144, **table) + line(c.CONNTRACK_LIMIT, 262_144, **table)
    text += line(c.DROPS, 9_000, hook="tc_ingress", reason="tcp_listen_overflow", rule="", netns="host")
    text += line(c.BPF_MAP_MEMORY, 9_000_000, map="attempts_overfl", owner="cilium-agent")
    shown = texts(picture(State(view), Seen(AGENT, interval("up 1\n", text)), 80, 24))

    assert any(" ".join(line.split()) == titles for line in shown)


def test_sixty_columns_leave_columns_out_and_cut_no_number() -> None:
    """What is there is whole; the names give way."""
    shown = texts(picture(State(), Seen(AGENT, BUSY), 60, 24))
    titles = shown[3].split()

    assert titles[:4] == ["source", "→", "destination", "att/s"]
    assert "deny/s" not in titles
    assert "1.2M" in shown[4].split()


def test_scrolling_reaches_the_last_row_and_no_further() -> None:
    """The titles of the columns stay above what they are of."""
    end = after([keys.END], State(3))
    shown = texts(picture(end, Seen(AGENT, BUSY), 80, 24))

    assert shown[3].startswith("benign")
    assert shown[-2].strip() != ""
    assert "more below" not in shown[2]
    assert after([keys.DOWN], end) == end
    assert after([keys.PAGE_UP, keys.PAGE_DOWN], end) == end
    assert after([keys.HOME, keys.UP], end).offset == 0
    assert after([keys.DOWN, keys.DOWN, keys.UP], State(3)).offset == 1


def test_digits_and_tab_change_the_view() -> None:
    """Round and round."""
    assert [after(key).view for key in "12345"] == [0, 1, 2, 3, 4]
    assert after("9").view == 0
    assert after([keys.TAB] * 6).view == 1
    assert after([keys.BACKTAB]).view == 4


def test_each_view_keeps_its_own_order() -> None:
    """`s` goes through the columns and begins again; another column begins with its own order."""
    one = after("s")
    assert "sorted by fail/s, largest first" in texts(picture(one, Seen(AGENT, BUSY), 80, 24))[2]
    assert "sorted by fail/s, smallest first" in texts(picture(after("r", one), Seen(AGENT, BUSY), 80, 24))[2]
    assert after("rs", one).backwards == frozenset()
    assert after("s" * 8).sort[0] == "attempts"
    assert after("s2", one).sort == {0: "denied"}
    assert "sorted by data" in texts(picture(after("2", one), Seen(AGENT, BUSY), 80, 24))[2]


def test_a_filter_is_typed_kept_and_cleared() -> None:
    """While it is typed no letter is a command, and what is found is seen at once."""
    typing = after("/00q7")
    shown = texts(picture(typing, Seen(AGENT, BUSY), 80, 24))
    assert (typing.sought, typing.ended, shown[-1]) == ("00q7", False, "/00q7_")
    assert "no name has this text in it" in shown[4]

    kept = after([keys.ERASE, keys.ERASE, "0", "7", keys.ENTER], typing)
    shown = texts(picture(kept, Seen(AGENT, BUSY), 80, 24))
    assert (kept.sought, kept.typing) == ("0007", False)
    assert "only names with 0007" in shown[2]
    assert [line for line in shown[4:-1] if line] == [shown[4]]
    assert after([keys.ESCAPE], kept).sought == ""
    assert after(["/", keys.CLEAR], kept).sought == ""
    assert after(["/", keys.ESCAPE], kept) == State()


def test_help_shows_every_key_and_any_key_leaves_it() -> None:
    """At 80 columns no explanation is cut."""
    shown = "\n".join(texts(picture(after("?"), Seen(AGENT, BUSY), 80, 24)))

    assert all(key in shown and what in shown for key, what in HELP)
    assert after("?x") == State()
    assert after("?q").ended


def test_quitting_is_q_and_also_ctrl_c_while_typing() -> None:
    """A terminal whose Ctrl-C is no signal says so by a character."""
    assert after("q").ended
    assert after(["/", keys.INTERRUPT]).ended


def test_before_the_second_reading_it_says_that_it_measures() -> None:
    """No rate is shown that nobody measured."""
    shown = texts(picture(State(), Seen(AGENT), 80, 24))

    assert shown[3] == MEASURING
    assert after("s2r", found=None).view == 1


def test_an_agent_that_is_silent_is_named_with_the_time_and_its_numbers_are_old() -> None:
    """The last numbers stay, and nobody takes them for new ones."""
    since = Timestamp(BORN + 3_723_000)
    shown = texts(picture(State(), Seen(AGENT, BUSY, since), 80, 24))
    never = texts(picture(State(), Seen(AGENT, None, since), 80, 24))

    assert shown[1] == ("agent does not answer since 01:02:03 UTC; these numbers are OLD, of 00:00:12 UTC")
    assert any("1.2M" in line for line in shown)
    assert never[1] == "agent does not answer since 01:02:03 UTC"


def test_a_pause_is_said() -> None:
    """Numbers that stand still have a reason."""
    assert texts(picture(after("p"), Seen(AGENT, BUSY), 80, 24))[2].startswith("PAUSED")
    assert after("pp") == State()


def test_a_file_gets_every_row_in_eighty_columns() -> None:
    """There is nobody who could scroll."""
    for view, name in enumerate(NAMES):
        lines = plain(view, Seen(AGENT, BUSY), 80)

        assert lines[0] == f"netsre top: {name} of 127.0.0.1:8601"
        assert len(lines) >= 40
        assert max(map(cell_len, lines)) <= 80
        assert all(character.isprintable() for line in lines for character in line)
    assert len([line for line in plain(0, Seen(AGENT, BUSY), 80, "0007") if "→" in line]) == 2
