"""Other versions of the programs that police, as C sources."""

import pathlib
import shutil

from netsre.app.resources import directory

SENDS = "	return police(skb, POLICY_EGRESS);"
"""What runs for a packet that an endpoint sends."""
DROPS_ALL = "	return police(skb, POLICY_EGRESS) ? 2 : 2;"
"""The same of a version that is bad."""


def other_sources(place: pathlib.Path, old: str, new: str) -> pathlib.Path:
    """Return a copy of the C sources with another text."""
    copied = place / "bpf"
    shutil.copytree(directory("bpf"), copied)
    file = copied / "policy.c"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    return copied


ASKS = "	found = ask(revision, key, packet->service, &answer);"
"""What looks up whether a policy allows a connection that begins."""
ASKS_WRONGLY = "	found = ask(revision, key, packet->service ^ 0x0100, &answer);"
"""The same of a version that asks about another port: what is allowed is denied, and counted so."""
