"""Program loads by owner: what is decoded, and totals that only ever grow."""

from netsre.conventions import OTHER
from netsre.datapath import loads
from netsre.datapath.loads import IDLE_SECONDS, MOST_FAILING, MOST_OWNERS, LoadCount, LoadKind, LoadTotals


def counted(owner: str, count: int, *, ok: bool = True, at: int = 5) -> LoadCount:
    """Return a counter of an owner."""
    kind = LoadKind(owner, "xdp", "ok", "none") if ok else LoadKind(owner, "xdp", "error", "EPERM")
    return LoadCount(f"{owner}{ok}".encode(), kind, count, at, 10 * count, 100 * count)


def owners(totals: LoadTotals) -> dict[str, int]:
    """Return the totals by owner."""
    found: dict[str, int] = {}
    for kind, amount in totals.amounts():
        found[kind.owner] = found.get(kind.owner, 0) + amount.count
    return found


def test_an_entry_is_decoded_and_its_cpus_are_summed() -> None:
    """The count of all of them; duration and instructions of whichever came last."""
    key = loads.KEY.pack(b"cilium-agent", 3, 13)
    value = loads.VALUE.pack(2, 900, 70, 0) + loads.VALUE.pack(3, 800, 60, 0)

    [count] = loads.decode([(key, value)])

    assert count == LoadCount(key, LoadKind("cilium-agent", "sched_cls", "error", "EACCES"), 5, 900, 70, 0)


def test_only_what_is_new_is_added() -> None:
    """The same reading twice is no load; a key that was removed begins at zero again."""
    totals = LoadTotals()
    assert totals.add([counted("a", 3)], 0.0) == []
    assert totals.add([counted("a", 3)], 1.0) == [b"aTrue"]
    totals.removed(b"aTrue")
    totals.add([counted("a", 2)], 2.0)

    assert owners(totals) == {"a": 5}


def test_those_who_only_fail_cannot_take_every_name() -> None:
    """Whoever loads something still gets a name of its own, up to the bound."""
    totals = LoadTotals()
    totals.add([counted(f"f{n:03}", 1, ok=False) for n in range(2 * MOST_FAILING)], 0.0)
    totals.add([counted(f"g{n:03}", 1) for n in range(2 * MOST_OWNERS)], 0.0)
    found = owners(totals)

    assert sum(found.values()) == 2 * MOST_FAILING + 2 * MOST_OWNERS
    assert len([name for name in found if name.startswith("f")]) == MOST_FAILING
    assert len([name for name in found if name.startswith("g")]) == MOST_OWNERS - MOST_FAILING
    assert found[OTHER] == 2 * MOST_FAILING + 2 * MOST_OWNERS - MOST_OWNERS


def test_an_owner_that_is_idle_for_long_gives_its_name_away() -> None:
    """Its series end; what it loads later begins anew."""
    totals = LoadTotals()
    totals.add([counted("a", 3)], 0.0)
    totals.retire(IDLE_SECONDS)
    assert owners(totals) == {"a": 3}
    totals.retire(IDLE_SECONDS + 1)
    assert owners(totals) == {}
    totals.add([counted("a", 4)], IDLE_SECONDS + 2)
    assert owners(totals) == {"a": 1}


def test_a_failure_that_was_being_written_is_no_failure() -> None:
    """Numbers that differ, and a slot that was never used."""
    whole = loads.FAILURE.pack(7, 1, 2, 6, 22, 10, 0, b"x\n", b"prog", 4, 9, b"a\x1bb\nrest", 7)
    torn = whole[:-8] + b"\x08" + bytes(7)

    failure = loads.decode_failure(whole)

    assert failure is not None
    assert (failure.number, failure.type, failure.error, failure.command) == (7, "xdp", "EINVAL", "x\\x0a")
    assert (failure.log, failure.log_skipped_bytes) == ("a\\x1bb\n", 9)
    assert loads.decode_failure(torn) is None
    assert loads.decode_failure(bytes(loads.FAILURE.size)) is None


def test_an_owner_fails_while_its_newest_load_is_a_failed_one() -> None:
    """What it goes on to load well ends it, and what it loaded well before does not count."""
    totals = LoadTotals()
    totals.add([counted("a", 1, at=5), counted("a", 1, ok=False, at=6)], 0.0)
    failed = LoadKind("a", "xdp", "error", "EPERM")
    assert totals.failing() == [(failed, True)]
    totals.add([counted("a", 2, at=7)], 1.0)

    assert totals.failing() == [(failed, False)]


def test_of_owners_without_a_name_nobody_says_whose_load_is_the_newest() -> None:
    """They are many: a good one of one of them says nothing of another's."""
    totals = LoadTotals()
    totals.add([counted(f"f{n:03}", 1, ok=False) for n in range(MOST_FAILING + 2)], 0.0)

    assert len(totals.failing()) == MOST_FAILING
    assert OTHER not in {kind.owner for kind, _ in totals.failing()}
