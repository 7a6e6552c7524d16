"""Names of things on the host, and whose they are."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsre.gameday.ownership import OwnedName, Owner, Ownership, parse, verdict

OWNERS = st.builds(Owner, pid=st.integers(1, 2**22), started=st.integers(0, 2**63))
WORDS = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=8)
ROLES = st.lists(WORDS, min_size=1, max_size=3).map("-".join)


@given(owner=OWNERS, role=ROLES)
def test_a_name_is_read_back_as_it_was_written(owner: Owner, role: str) -> None:
    """Whatever owner and role: a name parses to exactly what made it."""
    assert parse(owner.name("lab", role)) == OwnedName("lab", owner, role)


@given(text=st.text(max_size=40) | st.from_regex(r"netsre-[a-z]+-[0-9]+-[0-9a-z]+-[a-z-]+", fullmatch=True))
def test_only_names_that_we_would_write_are_ours(text: str) -> None:
    """A text that parses is the very text that its parts would be written as: there are no look-alikes."""
    parsed = parse(text)
    assert parsed is None or parsed.owner.name(parsed.kind, parsed.role) == text


def test_the_start_time_is_written_in_base_36() -> None:
    """The form is fixed: other programs and people read these names."""
    assert Owner(pid=4711, started=36 * 36 + 35).name("lab", "cli-a") == "netsre-lab-4711-10z-cli-a"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "netsre-",
        "netsre-lab",
        "netsre-lab-12-z",
        "netsre-lab-12-z-",
        "netsre-lab-12-z-srv-",
        "netsre-lab-012-z-srv",
        "netsre-lab-0-z-srv",
        "netsre-lab-12-0z-srv",
        "netsre-lab-12-Z-srv",
        "netsre-LAB-12-z-srv",
        "netsre-lab-12-z-srv\n",
        "netsre-lab-12-z-../../etc",
        "netsre-lab-१२-z-srv",
        "xnetsre-lab-12-z-srv",
        "netsre-lab-by-hand-srv",
        "docker-12-z-srv",
    ],
)
def test_anything_else_is_not_ours(name: str) -> None:
    """A name that only starts like ours, or is one of ours bent a little, is nobody's to remove."""
    assert verdict(name, owner_starttime=None) is Ownership.NOT_OURS


@pytest.mark.parametrize(
    ("starttime", "expected"),
    [
        (1000, Ownership.OURS_LIVE),
        (None, Ownership.OURS_STALE),
        (1001, Ownership.OURS_STALE),
        (0, Ownership.OURS_STALE),
    ],
    ids=["owner runs", "owner gone", "process id reused later", "process id reused by the first process"],
)
def test_an_owner_is_a_process_id_and_its_start_time(starttime: int | None, expected: Ownership) -> None:
    """The same process id with another start time is another process, so the thing is stale."""
    assert verdict(Owner(pid=12, started=1000).name("lab", "srv"), starttime) is expected


@pytest.mark.parametrize(
    ("kind", "role"), [("lab", ""), ("lab", "a/b"), ("lab", "A"), ("l-b", "a"), ("", "a")]
)
def test_a_name_that_could_not_be_read_back_is_refused(kind: str, role: str) -> None:
    """A name is never made that its own reader would call foreign: it could not be swept."""
    with pytest.raises(ValueError, match="not a name"):
        Owner(pid=12, started=1000).name(kind, role)
