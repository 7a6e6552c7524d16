"""The controller's answer as lines for a terminal."""

import pytest

from netsre.app.levels import all_well, read_levels, worst
from netsre.app.run_lines import read_runs
from netsre.errors import SourceUnreachable

LEVEL = {
    "name": "flow-success",
    "group": {"node": "a"},
    "objective": "0.999",
    "total": "12345",
    "sli": "0.999999",
    "budget_remaining": "0.4999",
    "burn": {"5m": "1.5", "30m": None, "1h": "3"},
    "firing": ["ticket", "page"],
}


def test_a_level_is_shown_with_its_real_numbers() -> None:
    """Each field of the answer appears, in a form that a person reads."""
    (line,) = read_levels({"slos": [LEVEL]})
    assert (line.name, line.group, line.objective) == ("flow-success", "node=a", "99.9 %")
    assert (line.budget, line.burn, line.events) == ("49.9 %", "5m 1.50 30m -", "12,345")
    assert line.firing == "page, ticket"


def test_a_failure_is_never_rounded_away() -> None:
    """A share just below one does not read as 100 %."""
    (line,) = read_levels({"slos": [LEVEL | {"sli": "0.9999999"}]})
    assert line.sli == "99.999 %"


def test_what_was_not_measured_is_a_reason_and_not_a_number() -> None:
    """No data is neither 0 nor healthy."""
    unknown: dict[str, object] = {
        "sli": None,
        "budget_remaining": None,
        "firing": [],
        "reasons": {"sli": "no_traffic"},
    }
    (line,) = read_levels({"slos": [LEVEL | unknown]})
    assert (line.sli, line.budget, line.firing) == ("no traffic", "-", "-")


def test_the_worst_group_speaks_for_its_service_level() -> None:
    """One line per service level: a firing rule first, then the lowest share, and how many there are."""
    calm, low = LEVEL | {"firing": [], "group": {"node": "b"}}, {"firing": [], "group": {"node": "c"}}
    other = LEVEL | {"name": "other"}
    levels = read_levels({"slos": [calm, LEVEL, LEVEL | low | {"sli": "0.5"}, other]})
    assert [(line.name, line.group) for line in worst(levels)] == [
        ("flow-success", "worst of 3: node=a"),
        ("other", "node=a"),
    ]
    assert worst(read_levels({"slos": [calm, LEVEL | low | {"sli": "0.5"}]}))[0].sli == "50 %"
    assert worst(read_levels({"slos": [calm | {"sli": None}, calm]}))[0].sli == "99.999 %"


WELL: dict[str, object] = {**LEVEL, "firing": []}


def test_what_waits_for_a_part_of_netsre_is_neither_well_nor_a_trouble() -> None:
    """It has no line of its own beside the others, and alone it says nothing about the node."""
    unknown = {"sli": None, "budget_remaining": None, "reasons": {"sli": "needs_datapath"}}
    waiting = WELL | {"name": "policy"} | unknown
    both = read_levels({"slos": [WELL, waiting]})

    assert all_well(both)
    assert [line.name for line in worst(both)] == ["flow-success"]
    assert not all_well(read_levels({"slos": [waiting]}))


@pytest.mark.parametrize(
    ("change", "trouble"),
    [
        ({}, ""),
        ({"firing": ["page"]}, "burns: page"),
        ({"budget_remaining": "0"}, "budget spent"),
        ({"budget_remaining": "-0.5"}, "budget spent"),
        ({"budget_remaining": None, "reasons": {"budget_remaining": "no_history"}}, "no history"),
        ({"budget_remaining": None}, "no data"),
        ({"reasons": {"burn.30m": "no_traffic"}}, ""),
        ({"reasons": {"burn.30m": "source_down"}}, "source down"),
    ],
)
def test_only_what_is_known_to_be_well_is_well(change: dict[str, object], trouble: str) -> None:
    """Silence is no yes; an idle quarter of an hour that was watched is no trouble."""
    levels = read_levels({"slos": [WELL, WELL | change]})

    assert levels[1].trouble == trouble
    assert all_well(levels) is not bool(trouble)


def test_without_any_service_level_nothing_is_well() -> None:
    """A controller that evaluated nothing yet has nothing to say yes to."""
    assert not all_well(read_levels({"slos": []}))


@pytest.mark.parametrize("document", [None, [], {}, {"slos": None}, "slos", {"detail": "not found"}])
def test_an_answer_that_is_none_is_refused(document: object) -> None:
    """An answer of something else on that port is an error and not an empty list."""
    with pytest.raises(SourceUnreachable):
        read_levels(document)


RUN = {
    "id": "1f", "runbook": "look", "target": "network/a", "state": "refused", "reason": "cooldown",
    "started_at": "2026-01-01T00:00:00.000Z",
    "journal": [
        {"seq": 1, "at": "2026-01-01T00:00:01.000Z", "kind": "note", "step": 0, "action": "look",
         "data": {"a": "b"}}
    ],
}  # fmt: skip
BLOCK = {"kind": "block", "netns": "lab", "interface": "eth0", "source": "10.0.0.9", "ttl": 600_000}
GATES = [
    {"gate": "cooldown", "passed": False, "detail": "last run 1m ago, cooldown 15m"},
    {"gate": "rate_limited", "passed": True, "detail": "1 of 3 runs within the hour"},
]


def test_a_run_is_two_lines_and_each_entry_of_its_journal_another() -> None:
    """Whoever reads them on a terminal has everything in order."""
    assert read_runs({"runs": [RUN]}) == (
        "2026-01-01T00:00:00.000Z  look  refused (cooldown)",
        "  network/a  run 1f",
        '  00:00:01.000Z  note 0 look: {"a": "b"}',
    )
    assert read_runs({"runs": []}) == ()


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [
        ("gates", {"reason": "cooldown", "gates": GATES}, "refused, cooldown: last run 1m ago, cooldown 15m"),
        ("gates", {"reason": "accepted", "gates": GATES[1:]}, "accepted by 1 gates"),
        (
            "intent",
            {"key": "1f/1", "effect": BLOCK},
            "block netns=lab interface=eth0 source=10.0.0.9 ttl=10m",
        ),
        ("outcome", {"ok": True, "result": {"deleted": 7}}, "done deleted=7"),
        ("outcome", {"ok": True, "skipped": "condition_false"}, "left out (condition_false)"),
        ("outcome", {"ok": True, "recovered": "applied"}, "found applied"),
        ("outcome", {"ok": False, "reason": "no_source", "error": "nobody"}, "no_source: nobody"),
        (
            "outcome",
            {"ok": True, "evidence": {"top_source": "10.0.0.9"}},
            "saw top_source; top source 10.0.0.9 top_source: 10.0.0.9",
        ),
        ("undo_outcome", {"ok": True, "result": {}}, "done"),
        (
            "sample",
            {"verdict": "fail", "bad": "1", "total": "3", "reason": "missed"},
            "fail (missed), 1 bad of 3",
        ),
    ],
)
def test_a_line_of_the_journal_is_told_in_words(kind: str, data: dict[str, object], said: str) -> None:
    """Folded to 80 columns, and whole when unfolded."""
    entry = {"seq": 1, "at": "2026-01-01T00:00:01.000Z", "kind": kind, "step": -1, "action": "", "data": data}

    lines = read_runs({"runs": [RUN | {"journal": [entry]}]})[2:]

    assert " ".join(line.strip() for line in lines) == f"00:00:01.000Z  {kind}: {said}"
    assert all(len(line) <= 80 for line in lines)


def test_a_plan_is_told_by_its_hash_and_its_effects() -> None:
    """What is left out and why, and what depends on a condition."""
    step = {"step": 1, "action": "datapath.block_source", "if": None, "reason": "", "message": ""}
    steps = [
        step | {"kind": "apply", "effect": BLOCK},
        step | {"step": 2, "kind": "refuse", "effect": None, "reason": "no_source", "message": "nobody"},
        step | {"step": 3, "kind": "apply", "effect": BLOCK, "if": "still(alert)"},
    ]
    data = {"hash": "a" * 64, "steps": steps}
    entry = {
        "seq": 1,
        "at": "2026-01-01T00:00:01.000Z",
        "kind": "plan",
        "step": -1,
        "action": "",
        "data": data,
    }

    lines = read_runs({"runs": [RUN | {"journal": [entry]}]})[2:]

    block = "block netns=lab interface=eth0 source=10.0.0.9 ttl=10m"
    assert " ".join(line.strip() for line in lines) == (
        f"00:00:01.000Z  plan: {'a' * 12}, 1 {block}; 2 refuse datapath.block_source (no_source) nobody; "
        f"3 if still(alert): {block}"
    )


@pytest.mark.parametrize(
    "document",
    [None, [], {}, {"runs": 3}, {"runs": [{}]}, {"runs": [1]}, {"runs": [RUN | {"journal": [{"at": "x"}]}]}],
)
def test_runs_of_something_else_are_one_line(document: object) -> None:
    """Another version, or another program altogether."""
    with pytest.raises(SourceUnreachable, match="list of runs is not readable: is it of this version"):
        read_runs(document)
