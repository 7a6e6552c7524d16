"""This host's kernel, as effects change it and as commands look at it."""

import contextlib
import ipaddress
from collections.abc import Iterator, Mapping
from typing import Final

from netsre.adapters import conntrack
from netsre.adapters.bpf.block import Blocks
from netsre.adapters.bpf.places import BlockRefused
from netsre.adapters.control import ControlRefused
from netsre.adapters.namespaces.entering import NamespaceGone
from netsre.app import neighbours, prefiltering
from netsre.app.effects import policed, timed
from netsre.app.effects.enforcing import Enforcing
from netsre.app.effects.filtering import Prefiltering
from netsre.app.effects.ledger import USUAL, Where
from netsre.app.inventory.client import Inventory, Site
from netsre.app.policing.node import Places
from netsre.errors import BadInput
from netsre.model.documents import Document
from netsre.model.effects import (
    Block,
    DatapathFacts,
    Effect,
    Enforcement,
    Flush,
    Limit,
    LimitFacts,
    ModeFacts,
    PolicyMode,
    PolicyPrograms,
    PolicyRevision,
    PrefilterMode,
    Resize,
    Route,
    SourceLimit,
    Stagger,
    Table,
    Timeout,
)

_ALL_SOURCES: Final = 65_536


class Host:
    """The kernel under this agent."""

    def __init__(
        self,
        blocks: Blocks | None,
        absence: str,
        inventory: Inventory,
        where: Where = USUAL,
    ) -> None:
        """Act on the host; without `blocks` nothing can be blocked, and `absence` says why."""
        self._inventory = inventory
        self._blocks = blocks
        self._absence = absence
        # A command that changes something is waited for for a moment only.
        self._policies = Places(where.policies, where.state, patient=False)
        self._enforcing = Enforcing(self._policies)
        self._prefilter = Prefiltering(prefiltering.Places(where.prefilter, patient=False))

    def at(self, where: Where) -> "Host":
        """Return the same host for what another agent had elsewhere."""
        return Host(self._blocks, self._absence, self._inventory, where)

    def table(self, netns: str, most: int) -> Table:
        """Return who fills a namespace's connection table, at most so many of them, and in which states."""
        with self._at(netns) as site:
            found = conntrack.count(most, opening=site.open_socket)
        return Table(netns, found.entries, conntrack.limit(), found.sources, found.states)

    def route(self, netns: str, source: str) -> Route:
        """Return where packets of a source come in, and why it must not be blocked."""
        _check_source(source)
        with self._at(netns) as site:
            return conntrack.route(source, site.open_socket)

    def limit(self) -> LimitFacts:
        """Return the limit of the connection tables and the most that memory allows."""
        return LimitFacts(conntrack.limit(), conntrack.most_entries())

    def enforcement(self, endpoint: str) -> Enforcement:
        """Return which revision of policies is in force, and how strictly an endpoint is treated by it."""
        return self._enforcing.facts(endpoint)

    def prefilter(self) -> ModeFacts:
        """Return how strictly the rules of the prefilter are taken."""
        return self._prefilter.facts()

    def timeouts(self, netns: str) -> Mapping[str, int]:
        """Return how many seconds a namespace's entries of each state last without a packet."""
        with self._at(netns) as site:
            return conntrack.timeouts(site.open_socket)

    def datapath(self) -> DatapathFacts:
        """Return how many connections the policy datapath knows, and whether files are followed."""
        return policed.facts(self._policies)

    def check(self, effect: Effect) -> None:
        """Refuse what must not, or cannot, be done now; change nothing."""
        match effect:
            case Block():
                self._check_block(effect)
            case Flush(netns, source):
                _check_source(source)
                site_of(self._inventory, netns)
            case Limit():
                _check_limit(effect, self.limit())
            case Timeout(netns):
                with self._at(netns) as site:
                    timed.check(effect, site)
            case Resize() | Stagger() | PolicyPrograms():
                policed.check(effect, self._policies)
            case PolicyMode() | PolicyRevision():
                self._enforcing.check(effect)
            case PrefilterMode():
                self._prefilter.check(effect)
            case SourceLimit(netns, source):
                self._prefilter.check(effect)
                if reason := self.route(netns, source).protected:
                    raise ControlRefused("protected", f"{source} is never limited: {reason}")

    def begin(self, effect: Effect, deadline: int) -> Document:
        """Make the change and return figures."""
        figures: Document = {}
        match effect:
            case Block(netns, interface, source, _):
                try:
                    self._required().block(netns, interface, source, deadline)
                except BlockRefused as refusal:
                    raise ControlRefused(refusal.reason, str(refusal)) from refusal
            case Flush(netns, source):
                with self._at(netns) as site:
                    figures = {"deleted": conntrack.flush(source, site.open_socket)}
            case Limit(before, after, _):
                conntrack.set_limit(after)
                figures = {"before": before, "after": after}
            case Timeout(netns):
                with self._at(netns) as site:
                    figures = timed.begin(effect, site)
            case Resize() | Stagger() | PolicyPrograms():
                figures = policed.begin(effect, deadline, self._policies)
            case PolicyMode() | PolicyRevision():
                figures = self._enforcing.begin(effect, deadline)
            case PrefilterMode() | SourceLimit():
                figures = self._prefilter.begin(effect, deadline)
        return figures

    def holds(self, effect: Effect, deadline: int) -> bool:
        """Say whether the kernel is as the effect makes it that has this deadline."""
        match effect:
            case Block(netns, interface, source, _):
                found = self._blocks is not None and self._blocks.holds(netns, interface, source)
            case Flush(netns, source):
                found = not self._entries_of(netns, source)
            case Limit(_, after, _):
                found = conntrack.limit() == after
            case Timeout(netns):
                with self._at(netns) as site:
                    found = timed.holds(effect, site)
            case Resize() | Stagger() | PolicyPrograms():
                found = policed.holds(effect, deadline, self._policies)
            case PolicyMode() | PolicyRevision():
                found = self._enforcing.holds(effect, deadline)
            case PrefilterMode() | SourceLimit():
                found = self._prefilter.holds(effect, deadline)
        return found

    def end(self, effect: Effect, deadline: int) -> Document:
        """Take back what is still ours, and say under `result` what was found."""
        match effect:
            case Block(netns, interface, source, _):
                found: Document = {"result": "unblocked"}
                if self._blocks is not None:
                    drops = self._blocks.unblock(netns, interface, source)
                    found = {**found, "packets": drops.packets, "bytes": drops.bytes}
            case Flush():
                found = {"result": "nothing_to_take_back"}
            case Limit():
                found = {"result": put_back(effect)}
            case Timeout():
                found = {"result": self._put_back_timeout(effect)}
            case Resize() | Stagger() | PolicyPrograms():
                found = {"result": policed.end(effect, deadline, self._policies)}
            case PolicyMode() | PolicyRevision():
                found = self._enforcing.end(effect, deadline)
            case PrefilterMode() | SourceLimit():
                found = self._prefilter.end(effect, deadline)
        return found

    def _put_back_timeout(self, timeout: Timeout) -> str:
        try:
            with self._at(timeout.netns) as site:
                return timed.put_back(timeout, site)
        except ControlRefused as refusal:
            if refusal.reason != "no_such_namespace":
                raise
            return "gone"

    def _entries_of(self, netns: str, source: str) -> int:
        with self._at(netns) as site:
            counted = conntrack.count(_ALL_SOURCES, opening=site.open_socket)
        return next((found.entries for found in counted.sources if found.source == source), 0)

    @contextlib.contextmanager
    def _at(self, netns: str) -> Iterator[Site]:
        """Act on a namespace that is named as its metrics name it."""
        try:
            yield site_of(self._inventory, netns)
        except NamespaceGone as error:
            raise ControlRefused("no_such_namespace", f"network namespace {netns} went away") from error
        except BadInput as error:
            raise ControlRefused("bad_source", str(error)) from error

    def _required(self) -> Blocks:
        if self._blocks is None:
            raise ControlRefused("cannot_block", f"no source can be blocked on this node: {self._absence}")
        return self._blocks

    def _check_block(self, block: Block) -> None:
        self._required()
        route = self.route(block.netns, block.source)
        if route.protected:
            raise ControlRefused("protected", f"{block.source} is never blocked: {route.protected}")
        if route.interface != block.interface:
            raise ControlRefused(
                "interface_changed",
                f"{block.source} comes into {block.netns} on {route.interface}, not on {block.interface}",
            )


def put_back(limit: Limit) -> str:
    """Put a limit back where it is still what we set; return a word for what was found."""
    if conntrack.limit() != limit.after:
        return "changed_by_other"
    conntrack.set_limit(limit.before)
    return "put_back"


def _check_limit(limit: Limit, facts: LimitFacts) -> None:
    if facts.limit != limit.before:
        raise ControlRefused("changed", f"the limit is {facts.limit}, not {limit.before}: look again")
    if limit.after <= limit.before:
        raise ControlRefused("not_higher", f"{limit.after} is not more than {limit.before}")
    if limit.after > facts.most:
        raise ControlRefused(
            "beyond_memory", f"{limit.after} entries are more than this node's memory allows: {facts.most}"
        )


def _check_source(source: str) -> None:
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        raise ControlRefused("bad_source", f"{source[:80]!r} is no address") from None
    if str(address) != source or "%" in source:
        raise ControlRefused("bad_source", f"{source!r} is not in its shortest form: {address}")


def site_of(inventory: Inventory, netns: str) -> Site:
    """Find a namespace by the name that its metrics carry; raises `ControlRefused`."""
    try:
        site = inventory.named(netns)
    except NamespaceGone as error:
        message = f"there is no network namespace {netns[:80]!r} on this host"
        raise ControlRefused("no_such_namespace", message) from error
    if neighbours.foreign(netns):
        message = f"network namespace {netns} belongs to another netsre of this host; that one acts there"
        raise ControlRefused("not_ours", message)
    return site
