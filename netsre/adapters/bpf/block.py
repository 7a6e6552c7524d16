"""The sources that this agent drops, by namespace and interface.

Attached only where something is blocked, and held by descriptors only: when this process ends, in whatever
way, the kernel detaches everything. Each block also ends by itself, by a deadline that the program compares.
"""

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from netsre.adapters.bpf import filters, places, syscalls
from netsre.adapters.bpf.denials import Denials
from netsre.adapters.bpf.filters import Filter, Template
from netsre.adapters.bpf.places import BlockRefused, Place, Site
from netsre.adapters.bpf.programs import LoadRefused
from netsre.conventions import OTHER
from netsre.datapath import block
from netsre.datapath.block import NOTHING, Drops

Sites = Callable[[str], Site]
"""Finds a network namespace by name; raises `OSError` (ENOENT) when there is none."""

_MOST_RULES: Final = 256
"""Places told apart in one life of an agent, first come, first served. A bound on series."""


class Where(NamedTuple):
    """Where something is blocked."""

    netns: str
    interface: str


class LoadKey(NamedTuple):
    """What loads of programs are counted by."""

    program_type: str
    result: str
    reason: str


class Loads(NamedTuple):
    """Loads of one kind, and the verifier's figures of the last."""

    times: int
    verifier_seconds: float
    verifier_instructions: int


@dataclass(slots=True)
class _Attachment:
    place: Place
    rule: str
    filter: Filter
    link: int
    until: dict[bytes, int] = field(default_factory=dict)
    """By source, in nanoseconds of CLOCK_BOOTTIME."""


class Blocks:
    """What is blocked on this node by this process. Safe to be used by several threads."""

    def __init__(self, templates: Sequence[Template], sites: Sites, denials: Denials | None) -> None:
        """Attach the first of the templates; without a flow probe there are no `denials` to keep."""
        self._template = templates[0]
        self._sites = sites
        self._denials = denials
        self._lock = threading.RLock()
        self._attachments: dict[Where, _Attachment] = {}
        self._rules: dict[Where, str] = {}
        self._ended: dict[str, Drops] = {}
        """Of blocks that are over, by rule, so that a total never falls."""
        self._ended_unparsed = 0
        self._loads: dict[LoadKey, Loads] = {}
        for each in templates:
            self._count_load(each.hook, "none", each.verifier_seconds, each.verifier_instructions)

    def block(self, netns: str, interface: str, source: str, until_boottime_ns: int) -> None:
        """Drop what a source sends where it comes in, until a time of CLOCK_BOOTTIME.

        A source that is blocked there already is blocked until the new time. Raises `BlockRefused`.
        """
        key, where = _key(source), Where(netns, interface)
        with self._lock, places.refusing(f"{source} cannot be blocked on {netns}/{interface}"):
            before = self._attachments.get(where)
            # Before anything is dropped: a denial that nobody suffers is counted nowhere.
            self._deny(key, until_boottime_ns)
            try:
                after = self._block_there(self._sites(netns), where, key, until_boottime_ns)
            except BaseException:
                self._deny(key)
                raise
            after.until[key] = until_boottime_ns
            self._attachments[where] = after
            if before is not None and before is not after:
                # Its interface is gone, and what was blocked there with it.
                self._end(where, before, list(before.until))

    def unblock(self, netns: str, interface: str, source: str) -> Drops:
        """Drop it no longer, and return what was dropped; one that is not blocked is none to unblock."""
        where, key = Where(netns, interface), _key(source)
        with self._lock:
            attachment = self._attachments.get(where)
            if attachment is None or key not in attachment.until:
                return NOTHING
            return self._end(where, attachment, [key])

    def holds(self, netns: str, interface: str, source: str) -> bool:
        """Say whether packets of a source are dropped there now."""
        with self._lock:
            attachment = self._attachments.get(Where(netns, interface))
            return (
                attachment is not None
                and filters.is_attached(attachment.link)
                and attachment.filter.drops_now(_key(source))
            )

    def expire(self, now_boottime_ns: int) -> None:
        """Clear away what is past its deadline, or gone with its interface; call it about twice a second."""
        with self._lock:
            for where, attachment in list(self._attachments.items()):
                gone = not filters.is_attached(attachment.link)
                due = [key for key, until in attachment.until.items() if gone or until <= now_boottime_ns]
                if due:
                    self._end(where, attachment, due)
            if self._denials is not None:
                self._denials.expire(time.monotonic_ns())

    @property
    def hook(self) -> str:
        """Where packets are dropped, as the metrics call it."""
        return self._template.hook.name

    def attached(self) -> frozenset[Where]:
        """Return where a program is attached."""
        with self._lock:
            return frozenset(
                where for where, each in self._attachments.items() if filters.is_attached(each.link)
            )

    def drops(self) -> Mapping[tuple[str, str, str], Drops]:
        """Return what was dropped of each source since it was blocked, by (netns, interface, source)."""
        with self._lock:
            return {
                (*where, block.source_text(key)): attachment.filter.drops(key)
                for where, attachment in self._attachments.items()
                for key in attachment.until
            }

    def totals(self) -> Mapping[tuple[str, str], Drops]:
        """Return what was dropped by (hook, rule); never falls in the life of this process."""
        with self._lock:
            totals = defaultdict(lambda: NOTHING, self._ended)
            for attachment in self._attachments.values():
                for key in attachment.until:
                    totals[attachment.rule] = totals[attachment.rule].plus(attachment.filter.drops(key))
            return {(self._template.hook.name, rule): drops for rule, drops in totals.items()}

    def unparsed(self) -> int:
        """Return how many packets passed because no address could be read in them; never falls."""
        with self._lock:
            return self._ended_unparsed + sum(each.filter.unparsed() for each in self._attachments.values())

    def loads(self) -> Mapping[LoadKey, Loads]:
        """Return the loads of programs that were made or tried, by type and result."""
        with self._lock:
            return dict(self._loads)

    def close(self) -> None:
        """Drop nothing any more."""
        with self._lock:
            for where, attachment in list(self._attachments.items()):
                self._end(where, attachment, list(attachment.until))

    def _block_there(self, site: Site, where: Where, key: bytes, until: int) -> _Attachment:
        """Block in a namespace, all or nothing, and return what does it."""
        place = places.look_up(site, where.interface)
        known = self._attachments.get(where)
        if known is not None and known.place == place and filters.is_attached(known.link):
            known.filter.put(key, until)
            return known
        made = self._load()
        try:
            made.put(key, until)
            link = site.attach(made.hook, made.program.fd, place.number)
        except BaseException:
            made.close()
            raise
        return _Attachment(place, self._rule(where), made, link)

    def _load(self) -> Filter:
        hook = self._template.hook
        try:
            made = Filter.load(hook, self._template.instructions)
        except LoadRefused:
            self._count_load(hook, "load_failed", 0.0, 0)
            raise
        self._count_load(hook, "none", made.program.verifier_seconds, made.program.verifier_instructions)
        return made

    def _count_load(self, hook: filters.Hook, reason: str, seconds: float, instructions: int) -> None:
        key = LoadKey(hook.program_type, "ok" if reason == "none" else "error", reason)
        known = self._loads.get(key)
        self._loads[key] = Loads(known.times + 1 if known else 1, seconds, instructions)

    def _end(self, where: Where, attachment: _Attachment, keys: Sequence[bytes]) -> Drops:
        """End blocks of one attachment, and the attachment with the last; return what they dropped."""
        for key in keys:
            attachment.filter.pass_again(key)
            del attachment.until[key]
        last = not attachment.until
        if last:
            os.close(attachment.link)
            if self._attachments.get(where) is attachment:
                del self._attachments[where]
        # A packet may be in the middle of being dropped, and is counted only then.
        syscalls.wait_for_programs()
        total = NOTHING
        for key in keys:
            total = total.plus(attachment.filter.forget(key))
            self._deny(key)
        self._ended[attachment.rule] = self._ended.get(attachment.rule, NOTHING).plus(total)
        if last:
            self._ended_unparsed += attachment.filter.unparsed()
            attachment.filter.close()
        return total

    def _deny(self, key: bytes, until_boottime_ns: int = 0) -> None:
        """Tell the flow probe until when a source is blocked anywhere, or that it is no longer."""
        if self._denials is None:
            return
        known = [each.until[key] for each in self._attachments.values() if key in each.until]
        now, boottime = time.monotonic_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        until = now + max(until_boottime_ns, *known, 0) - boottime
        if until > now:
            self._denials.begin(key, now, until)
        else:
            self._denials.end(key, now)

    def _rule(self, where: Where) -> str:
        if where not in self._rules and len(self._rules) < _MOST_RULES:
            self._rules[where] = f"{where.netns}/{where.interface}"
        return self._rules.get(where, OTHER)


def _key(source: str) -> bytes:
    try:
        return block.source_key(source)
    except ValueError as error:
        raise BlockRefused("bad_source", f"{source!r} cannot be blocked: {error}") from error
