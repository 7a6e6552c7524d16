"""`approval` of a runbook file: who decides about a change; errors become findings."""

from typing import Final

from netsre import clock
from netsre.model import literals, values
from netsre.model.directory import Directory
from netsre.model.runbooks import Approval, Mode
from netsre.runbook import codes

MODES: Final[tuple[Mode, ...]] = ("observe", "propose", "auto")
"""Under `mode`; `veto` is a key of its own, with its time."""
DEFAULT_TIMEOUT: Final = 30 * clock.MINUTE
SHORTEST: Final = clock.MINUTE
"""Nobody who is called hears of it sooner."""
LONGEST: Final = clock.DAY
_BESIDE: Final = ("by", "quorum", "timeout")


def read(spec: values.Mapping, directory: Directory | None) -> tuple[Mode, Approval | None]:
    """Take `approval`; without it a runbook only looks. `directory` is None where anybody will do."""
    part = spec.mapping("approval", required=False)
    if part is None:
        return "observe", None
    # All are known here, whether or not they go together.
    part.skip("mode", "veto", *_BESIDE)
    mode, approval = _read(part)
    part.end()
    if approval is not None and directory is not None:
        _check_people(part, approval, directory)
    return mode, approval


def _read(part: values.Mapping) -> tuple[Mode, Approval | None]:
    if "veto" in part:
        for key in ("mode", "timeout"):
            if key in part:
                part.wrong(key, codes.MODE, "does not go with veto, which says how long people may say no")
        wait = _time(part, "veto", None)
        return "veto", None if wait is None else _approval(part, wait)
    text = part.text("mode")
    mode = next((known for known in MODES if known == text), None)
    if text is not None and mode is None:
        hint = literals.nearest(text, MODES)
        message = f"{literals.shown(text)} does not exist{hint}; write observe, propose or auto, or veto: 2m"
        part.wrong("mode", codes.MODE, message)
    if mode == "propose":
        wait = _time(part, "timeout", DEFAULT_TIMEOUT)
        return "propose", None if wait is None else _approval(part, wait)
    for key in _BESIDE:
        if key in part and mode is not None:
            part.wrong(key, codes.MODE, "says who is asked, and nobody is; write {mode: propose}")
    return mode or "observe", None


def _approval(part: values.Mapping, wait: int) -> Approval | None:
    listed = part.sequence("by", required=False)
    named = (one.name() for one in (() if listed is None else listed.scalars()))
    names = tuple(name for name in named if name is not None)
    if listed is not None and not listed.nodes:
        part.wrong("by", codes.MODE, "is empty, so that nobody could say yes; leave it out for anybody")
    quorum = part.integer("quorum", required=False)
    if quorum == 0:
        part.wrong("quorum", codes.MODE, "0 would ask nobody; write at least 1")
    return Approval(tuple(dict.fromkeys(names)), 1 if quorum is None else quorum, wait)


def _time(part: values.Mapping, key: str, default: int | None) -> int | None:
    if key not in part:
        return default
    length = part.duration(key)
    if length is not None and not SHORTEST <= length <= LONGEST:
        bounds = f"{clock.duration_text(SHORTEST)} to {clock.duration_text(LONGEST)}"
        message = f"{clock.duration_text(length)} is outside {bounds}, in which people can answer"
        part.wrong(key, codes.MODE, message)
    return length


def _check_people(part: values.Mapping, approval: Approval, directory: Directory) -> None:
    known = sorted({*directory.names, *directory.groups})
    unknown = [name for name in approval.by if not directory.knows(name)]
    for name in unknown:
        message = f"{literals.shown(name)} is no person or group{literals.nearest(name, known)}"
        part.wrong("by", codes.PERSON, f"{message}; --people names the file that has them")
    meant = directory.meant(approval.by)
    if not unknown and approval.quorum > len(meant):
        message = f"{approval.quorum} is more than may say yes: {', '.join(sorted(meant))}"
        part.wrong("quorum" if "quorum" in part else "by", codes.PERSON, message)
