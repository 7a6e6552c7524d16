"""The kernel's own counters of one network namespace, as /proc tells them."""

from collections import Counter
from pathlib import Path
from typing import Final

from netsre.adapters import namespaces

_PAIRED: Final = ("snmp", "netstat")
"""Files of two lines each: names, then numbers."""


def counters(namespace: str) -> Counter[str]:
    """Return every counter by its name, like `Tcp.RetransSegs`, `TcpExt.ListenOverflows`, `Udp6NoPorts`."""
    return namespaces.inside(namespace, _read)


def _read() -> Counter[str]:
    found: Counter[str] = Counter()
    place = Path("/proc/thread-self/net")
    for name in _PAIRED:
        lines = (place / name).read_text(encoding="ascii").splitlines()
        for names, numbers in zip(lines[::2], lines[1::2], strict=True):
            group, *words = names.split()
            values = map(int, numbers.split()[1:])
            found.update({f"{group.rstrip(':')}.{word}": n for word, n in zip(words, values, strict=True)})
    for line in (place / "snmp6").read_text(encoding="ascii").splitlines():
        word, number = line.split()
        found[word] += int(number)
    return found
