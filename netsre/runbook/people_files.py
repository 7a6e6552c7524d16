"""Files that name people become a `Directory`: everything or, with every finding, nothing."""

import hashlib
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from netsre.model import linting, literals, specs, values
from netsre.model.directory import OPERATOR, Directory, Person
from netsre.runbook import codes

KIND: Final = "People"
TOKEN_HASH: Final = re.compile(r"[0-9a-f]{64}")
SLACK_ACCOUNT: Final = re.compile(r"[UW][A-Z0-9]{5,30}")
_OF_NOTHING: Final = hashlib.sha256(b"").hexdigest()


def parse(texts: Mapping[str, str]) -> Directory:
    """Read files (name to text) strictly; raises `SpecErrors` with all findings."""
    findings = linting.Findings()
    documents = specs.of_files(texts, {KIND}, findings)
    specs.refuse_duplicates(documents, codes.SAME_NAME, "file of people", findings)
    found = _Found()
    groups: list[values.Mapping] = []
    for document in documents:
        document.metadata.end()
        people, listed = (document.spec.sequence(key, required=False) for key in ("people", "groups"))
        document.spec.end()
        for part in people.mappings() if people is not None else ():
            found.person(part)
        groups += listed.mappings() if listed is not None else ()
    # A group may stand before its members, and in another file.
    for part in groups:
        found.group(part)
    findings.raise_if_any()
    return Directory(tuple(found.people.values()), MappingProxyType(found.groups))


class _Found:
    """What was read so far."""

    def __init__(self) -> None:
        self.people: dict[str, Person] = {}
        self.groups: dict[str, tuple[str, ...]] = {}

    def person(self, part: values.Mapping) -> None:
        name, token = part.name("name"), part.text("tokenSha256", required=False)
        account = part.text("slack", required=False)
        part.end()
        self._check_account(part, account)
        if token is not None and TOKEN_HASH.fullmatch(token) is None:
            message = "is no SHA-256; write the 64 digits that sha256sum prints for the token"
            part.wrong("tokenSha256", codes.NO_HASH, message)
        elif token == _OF_NOTHING:
            message = "is the SHA-256 of no token at all: the variable was empty when it was made"
            part.wrong("tokenSha256", codes.NO_HASH, message)
        elif token is not None and any(one.token_hash == token for one in self.people.values()):
            message = "is somebody else's too, so that nobody could tell them apart"
            part.wrong("tokenSha256", codes.NO_HASH, message)
        if name is not None and self._free(part, name):
            self.people[name] = Person(name, token, account)

    def _check_account(self, part: values.Mapping, account: str | None) -> None:
        if account is None:
            return
        if SLACK_ACCOUNT.fullmatch(account) is None:
            message = f"{literals.shown(account)} is no member id of Slack; copy it from the person's profile"
            part.wrong("slack", codes.NO_ACCOUNT, message)
        elif any(one.slack == account for one in self.people.values()):
            message = "is somebody else's too, so that nobody could tell them apart"
            part.wrong("slack", codes.NO_ACCOUNT, message)

    def group(self, part: values.Mapping) -> None:
        name, listed = part.name("name"), part.sequence("members")
        part.end()
        members = () if listed is None else listed.texts()
        if listed is not None and not listed.nodes:
            part.wrong("members", codes.MEMBER, "is empty; a group has at least one member")
        known = {OPERATOR, *self.people}
        for member in members:
            if member not in known:
                hint = literals.nearest(member, known)
                part.wrong("members", codes.MEMBER, f"{literals.shown(member)} is no person{hint}")
        if name is not None and self._free(part, name):
            self.groups[name] = tuple(members)

    def _free(self, part: values.Mapping, name: str) -> bool:
        if name == OPERATOR:
            message = "is whoever shows the controller's own token; choose another name"
            part.wrong("name", codes.SAME_NAME, f"{name} {message}")
        elif name in self.people or name in self.groups:
            part.wrong("name", codes.SAME_NAME, f"{name} is a person or a group already; write it once")
        else:
            return True
        return False
