"""Programs that a loader has compiled and that this kernel has taken, now or earlier since it was started."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from netsre.adapters.bpf import compiled, compiling
from netsre.adapters.bpf.compiled import Compiled
from netsre.adapters.bpf.loading import loading


class Part(NamedTuple):
    """What a loader is asked for alone."""

    name: str
    files: Sequence[str]
    maps: Sequence[str]
    """Programs number them in this order."""
    programs: Sequence[object]
    """What is made of the functions in the files, and how it is called."""
    defines: Mapping[str, object] = {}


def opened(source: Path, part: Part, timeout: float) -> Mapping[str, bytes]:
    """Return the instructions of programs by their names; raises `ProbeUnfit` when there are none."""

    def load() -> Compiled:
        with loading(source, [part.name], timeout) as answer:
            return Compiled({}, {name: base64.b64decode(code) for name, code in answer().document.items()})

    def parts() -> Iterator[bytes]:
        yield repr((part.name, tuple(part.maps), tuple(part.programs))).encode()
        yield from compiling.parts(source, part.files, part.defines)

    return compiled.kept(parts, load).functions
