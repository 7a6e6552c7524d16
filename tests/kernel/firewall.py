"""Rules of a test in a namespace of its own, and what their named counters say: a second witness."""

import json

from netsre.adapters import namespaces

TABLE = "netsre-counting"


def load(namespace: str, declarations: str) -> None:
    """Add counters and chains."""
    text = f"table inet {TABLE} {{\n{declarations}\n}}\n"
    namespaces.run(namespace, ["nft", "-f", "-"], text).check_returncode()


def packets(namespace: str) -> dict[str, int]:
    """Return how many packets each named counter has seen."""
    listed = namespaces.run(namespace, ["nft", "-j", "list", "counters", "table", "inet", TABLE])
    listed.check_returncode()
    each = (entry["counter"] for entry in json.loads(listed.stdout)["nftables"] if "counter" in entry)
    return {counter["name"]: counter["packets"] for counter in each}


def flush(namespace: str) -> None:
    """Take counters and chains away again."""
    namespaces.run(namespace, ["nft", "delete", "table", "inet", TABLE]).check_returncode()
