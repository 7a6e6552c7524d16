"""Exported lines of the audit log prove by themselves that they are whole, wherever they are."""

import json
import pathlib
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsre import clock
from netsre.app import auditing
from netsre.cli.main import run
from netsre.clock import Timestamp
from netsre.errors import StoreUnusable
from netsre.model import audit_lines
from netsre.model.audit import START, Broken, Head, Row, digest, follow
from netsre.store.database import Store
from tests.unit import burning

_WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def chain(*told: tuple[str, str, str, str]) -> list[Row]:
    """Return rows that say something, behind each other."""
    rows, last = [], START.hash
    for seq, (actor, verb, subject, details) in enumerate(told, start=1):
        at = Timestamp(burning.T0 + seq)
        own = digest((seq, at, actor, verb, subject, details, last))
        rows.append(Row(seq, at, actor, verb, subject, details, last, own))
        last = own
    return rows


FIVE = [audit_lines.write(row) for row in chain(*(("bob", "did", f"thing {n}", "{}") for n in range(5)))]


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[Store]:
    """Return a store with five audit rows."""
    made = burning.store(tmp_path)
    with made.write() as transaction:
        for number in range(5):
            transaction.audit.append(burning.T0, "bob", "did", f"thing {number}", {"é\u2028": f"{number}\n"})
    yield made
    made.close()


@given(st.lists(st.tuples(_WORDS, _WORDS, _WORDS, _WORDS), max_size=5))
def test_every_chain_survives_the_way_through_lines(told: list[tuple[str, str, str, str]]) -> None:
    """Every row comes back as it was, each on one line of ASCII, and the chain holds."""
    rows = chain(*told)

    lines = [audit_lines.write(row) for row in rows]

    assert [audit_lines.read(line) for line in lines] == rows
    assert all(line.isascii() and line.isprintable() for line in lines)
    found = auditing.verify(lines)
    assert (found.rows, found.broken) == (len(rows), None)


def _edited(number: int, where: Sequence[str], value: object) -> Callable[[list[str]], list[str]]:
    def edit(lines: list[str]) -> list[str]:
        document = json.loads(lines[number])
        *path, last = where
        place = document
        for key in path:
            place = place[key]
        place[last] = value
        return [*lines[:number], json.dumps(document), *lines[number + 1 :]]

    return edit


_AUDIT = ("netsre", "audit")


@pytest.mark.parametrize(
    ("tamper", "line", "broken"),
    [
        (_edited(2, ("user", "name"), "eve"), 3, Broken(3, "content does not match its hash")),
        (_edited(2, ("event", "action"), "undid"), 3, Broken(3, "content does not match its hash")),
        (_edited(0, (*_AUDIT, "details"), '{"a":1}'), 1, Broken(1, "content does not match its hash")),
        (_edited(0, (*_AUDIT, "prev_hash"), "1" * 64), 1, Broken(1, "does not follow the row before it")),
        (
            _edited(4, ("@timestamp",), clock.rfc3339(burning.T0)),
            5,
            Broken(5, "content does not match its hash"),
        ),
        (_edited(1, ("event", "sequence"), 3), 2, Broken(2, "row is missing")),
        (_edited(1, ("event", "sequence"), True), 2, Broken(2, "no line of an audit export")),
        (_edited(1, ("user",), None), 2, Broken(2, "no line of an audit export")),
        (lambda lines: [*lines[:2], *lines[3:]], 3, Broken(3, "row is missing")),
        (lambda lines: [*lines[:2], lines[1], *lines[2:]], 3, Broken(3, "row is missing")),
        (lambda lines: [lines[1], lines[0], *lines[2:]], 2, Broken(3, "row is missing")),
        (lambda lines: [*lines[:4], lines[4][:-9]], 5, None),
    ],
)
def test_tampering_with_lines_is_found_at_its_line(
    tamper: Callable[[list[str]], list[str]], line: int, broken: Broken | None
) -> None:
    """Change, removal, doubling, swapping, and half a line."""
    found = auditing.verify(tamper(FIVE))

    assert found.broken is not None
    assert found.line == line
    assert broken is None or found.broken == broken


def test_what_a_forwarder_does_to_lines_does_not_harm_the_proof() -> None:
    """Other fields, another order of keys, empty lines."""
    documents = [json.loads(line) for line in FIVE]
    lines = [json.dumps({"host": "a", **dict(reversed(one.items()))}) + "\r\n" for one in documents]

    found = auditing.verify(["\n", *lines, "\n"])

    assert (found.rows, found.broken, found.trusted) == (5, None, False)


def test_lines_from_the_middle_say_that_the_first_link_is_trusted() -> None:
    """The rest of the chain is checked."""
    found = auditing.verify(FIVE[2:])

    assert (found.rows, found.first, found.broken, found.trusted) == (3, 3, None, True)


def test_a_row_is_no_follower_of_another_head() -> None:
    """Both the number and the hash have to fit."""
    (row,) = chain(("bob", "did", "it", "{}"))

    assert follow(START, row) == Head(1, row.hash)
    assert follow(Head(0, "1" * 64), row) == Broken(1, "does not follow the row before it")
    assert follow(Head(1, START.hash), row) == Broken(2, "row is missing")


def test_an_export_is_what_the_database_has_and_goes_on_where_it_ended(
    store: Store, tmp_path: pathlib.Path
) -> None:
    """From any number on, in the order of the numbers; the same row is the same line each time."""
    whole = list(auditing.export(tmp_path, None, 0, None))

    with store.read() as transaction:
        assert [audit_lines.read(line) for line in whole] == list(transaction.audit.rows())
        head = transaction.audit.head()
    assert auditing.verify(whole).head == head
    assert all(list(auditing.export(tmp_path, None, n, None)) == whole[n:] for n in range(6))


def test_an_export_follows_what_is_appended(store: Store, tmp_path: pathlib.Path) -> None:
    """A row that comes while nothing is left is the next line."""

    def more() -> None:
        with store.write() as transaction:
            transaction.audit.append(burning.T0, "ann", "came", "late", {})

    lines = auditing.export(tmp_path, None, 4, more)

    assert audit_lines.read(next(lines)).seq == 5
    assert audit_lines.read(next(lines)).actor == "ann"
    assert audit_lines.read(next(lines)).seq == 7


@pytest.mark.usefixtures("store")
def test_an_export_refuses_an_older_database(tmp_path: pathlib.Path) -> None:
    """It was restored: what was exported is of another chain."""
    with pytest.raises(StoreUnusable, match="ends at row 5, before row 6"):
        list(auditing.export(tmp_path, None, 6, None))


@pytest.mark.usefixtures("store")
def test_the_commands_export_and_verify(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also over two files, and by the head that the database tells."""
    where = ["--data-dir", str(tmp_path)]
    files = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    assert run(["audit", "export", *where]) == 0
    lines = capsys.readouterr().out.splitlines(keepends=True)
    files[0].write_text("".join(lines[:3]))
    files[1].write_text("".join(lines[3:]))
    assert run(["db", "check", "--json", *where]) == 0
    head = json.loads(capsys.readouterr().out)["audit"]["head"]
    both = [str(file) for file in files]

    assert run(["audit", "verify", *both, "--head", head]) == 0
    assert f"rows 1 to 5 are whole, head {head}" in capsys.readouterr().out
    assert run(["audit", "verify", both[0], "--head", head]) == 1
    assert "rows are missing at the end" in capsys.readouterr().out
    assert run(["audit", "verify", both[1], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["first_link_trusted"] is True
    assert run(["audit", "verify", both[1], both[0]]) == 1
    assert "line 3: broken at row 6: row is missing" in capsys.readouterr().out
    files[0].write_bytes(b"\xff\n")
    assert run(["audit", "verify", both[0]]) == 1
    files[0].write_text("")
    assert run(["audit", "verify", both[0]]) == 1
    assert run(["audit", "verify", str(tmp_path / "none")]) == 2
