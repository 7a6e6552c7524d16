"""Files of people: read strictly, each mistake at its line; names stand for people."""

import hashlib
import re

import pytest

from netsre.errors import SpecErrors
from netsre.model.directory import ALONE, OPERATOR, Directory, Person
from netsre.runbook import people_files

HASH = hashlib.sha256(b"a token of ann").hexdigest()
OTHER = hashlib.sha256(b"a token of ben").hexdigest()
NOTHING = hashlib.sha256(b"").hexdigest()
GOOD = f"""\
apiVersion: netsre.dev/v1
kind: People
metadata: {{name: on-call}}
spec:
  groups:
    - {{name: sre, members: [ann, ben]}}
  people:
    - {{name: ann, tokenSha256: {HASH}}}
    - {{name: ben, tokenSha256: {OTHER}}}
    - {{name: cid}}
"""


def test_a_file_is_read_completely() -> None:
    """A group may stand before its members, and who has no token can be asked by other ways."""
    found = people_files.parse({"people.yaml": GOOD})

    assert found.people == (Person("ann", HASH), Person("ben", OTHER), Person("cid", None))
    assert found.groups == {"sre": ("ann", "ben")}


@pytest.mark.parametrize(
    ("by", "meant"),
    [
        ((), {OPERATOR, "ann", "ben"}),
        (("sre",), {"ann", "ben"}),
        (("sre", "ann", OPERATOR), {"ann", "ben", OPERATOR}),
        (("nobody",), set()),
    ],
)
def test_names_stand_for_people(by: tuple[str, ...], meant: set[str]) -> None:
    """No name is everybody, a group its members, each once; an unknown one nobody."""
    directory = Directory((Person("ann"), Person("ben")), {"sre": ("ann", "ben")})

    assert directory.meant(by) == meant
    assert ALONE.meant(()) == {OPERATOR}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "name: cid",
            "name: ann",
            "p.yaml:10: PPL001 spec.people[2].name ann is a person or a group already",
        ),
        ("name: sre", "name: ben", "p.yaml:6: PPL001 spec.groups[0].name ben is a person or a group already"),
        ("name: cid", "name: operator", "p.yaml:10: PPL001 spec.people[2].name operator is whoever shows"),
        (HASH, "secret", "p.yaml:8: PPL002 spec.people[0].tokenSha256 is no SHA-256"),
        (HASH, NOTHING, "p.yaml:8: PPL002 spec.people[0].tokenSha256 is the SHA-256 of no token at all"),
        (OTHER, HASH, "p.yaml:9: PPL002 spec.people[1].tokenSha256 is somebody else's too"),
        ("[ann, ben]", "[ann, bem]", "p.yaml:6: PPL003 spec.groups[0].members 'bem' is no person"),
        ("name: ann", "name: ann, slack: ann", "p.yaml:8: PPL004 spec.people[0].slack 'ann' is no member id"),
        ("[ann, ben]", "[]", "p.yaml:6: PPL003 spec.groups[0].members is empty"),
    ],
)
def test_every_mistake_has_its_line_and_its_code(old: str, new: str, expected: str) -> None:
    """The finding names the file, the line, a stable code, and what is wrong."""
    with pytest.raises(SpecErrors) as refused:
        people_files.parse({"p.yaml": GOOD.replace(old, new, 1)})

    assert any(expected in str(finding) for finding in refused.value.findings), refused.value.findings


def test_an_account_in_slack_is_one_persons() -> None:
    """Whoever presses a button there is that person; an account of two would be nobody's."""
    known = people_files.parse({"p.yaml": GOOD.replace("name: ann", "name: ann, slack: U024BE7LH", 1)})
    assert (known.in_slack("U024BE7LH"), known.in_slack("U024BE7L"), known.in_slack("")) == (
        "ann",
        None,
        None,
    )

    twice = re.sub("name: (ann|ben)", r"name: \1, slack: U024BE7LH", GOOD)
    with pytest.raises(SpecErrors, match=r"PPL004 .* is somebody else's too"):
        people_files.parse({"p.yaml": twice})


def test_two_files_of_one_name_are_refused() -> None:
    """As everywhere: the name is what a file is known by."""
    with pytest.raises(SpecErrors, match="already stands in a"):
        people_files.parse({"a": GOOD, "b": GOOD})
