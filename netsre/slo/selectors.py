"""Label matchers: from the text that people write to a decision about one value.

The text is PromQL's list of matchers without its braces; the meaning is PromQL's too: a label that a series
does not have is the empty text, and a regular expression must match the whole value.
"""

import functools
import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal, cast

from netsre import conventions
from netsre.model.levels import Matcher, Selector
from netsre.model.samples import Labels

Op = Literal["=", "!=", "=~", "!~"]

LABEL_NAME: Final = "[a-zA-Z_][a-zA-Z0-9_]*"
LABEL: Final = re.compile(rf"\s*({LABEL_NAME})\s*", re.ASCII)
OP: Final = re.compile(r"(=~|!~|!=|=)\s*", re.ASCII)
QUOTED: Final = re.compile(r""""((?:[^"\\\n]|\\.)*)"\s*|'((?:[^'\\\n]|\\.)*)'\s*|`([^`]*)`\s*""")
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES: Final[Mapping[str, str]] = {"\\": "\\", '"': '"', "'": "'", "n": "\n", "r": "\r", "t": "\t"}
# What Python's expressions have and Prometheus' (RE2) do not; a spec must mean the same on both.
_NOT_RE2: Final = re.compile(r"(?<!\\)(?:\\\\)*(\(\?(?!:|P<|[imsU-]+[:)])|\\[1-9]|[*+?}]\+)")


def parse_matchers(text: str) -> tuple[Matcher, ...]:
    """Read `outcome="failed",reason=~"reset|refused"`; anything else raises `ValueError` with the fix."""
    if text.lstrip().startswith("{"):
        raise ValueError("begins with a brace; write the matchers without braces")
    matchers: list[Matcher] = []
    at = 0
    while at < len(text) and text[at:].strip():
        matcher, at = _matcher(text, at)
        matchers.append(matcher)
        if at < len(text):
            if text[at] != ",":
                raise ValueError(f"has {text[at:][:20]!r} after a matcher; write a comma between matchers")
            at += 1
    if not matchers:
        raise ValueError('is empty; write a matcher such as outcome="failed", or leave the key out')
    return tuple(matchers)


def _matcher(text: str, at: int) -> tuple[Matcher, int]:
    rest = text[at:].strip()[:20]
    label = LABEL.match(text, at)
    if label is None:
        raise ValueError(f"has {rest!r} where a label belongs; write label, operator, quoted value")
    op = OP.match(text, label.end())
    if op is None:
        raise ValueError(f"has no operator after {label[1]!r}; write one of =, !=, =~, !~")
    quoted = QUOTED.match(text, op.end())
    if quoted is None:
        raise ValueError(f'has no quoted value after {label[1] + op[1]!r}; write it as "value"')
    value = quoted[3] if quoted[3] is not None else _unescaped(quoted[1] or quoted[2] or "")
    if op[1] in ("=~", "!~"):
        _check_expression(value)
    return Matcher(label[1], cast("Op", op[1]), value), quoted.end()


def _unescaped(text: str) -> str:
    def replacement(found: re.Match[str]) -> str:
        if found[1] not in _ESCAPES:
            raise ValueError(f"has the unknown escape {found[0]}; write a backslash as \\\\")
        return _ESCAPES[found[1]]

    return _ESCAPE.sub(replacement, text)


def _check_expression(value: str) -> None:
    foreign = _NOT_RE2.search(value)
    if foreign:
        raise ValueError(f"uses {foreign[1]!r}, which Prometheus does not have; write it without")
    try:
        compiled(value)
    except re.error as error:
        raise ValueError(f"has the expression {value!r}, which does not compile: {error}") from error


@functools.lru_cache(maxsize=4096)
def compiled(expression: str) -> re.Pattern[str]:
    """Return the compiled expression of a matcher; `.` matches line breaks, as in Prometheus."""
    return re.compile(expression, re.DOTALL)


def matches(matcher: Matcher, value: str) -> bool:
    """Return whether a label value satisfies one matcher."""
    match matcher.op:
        case "=":
            return value == matcher.value
        case "!=":
            return value != matcher.value
        case "=~":
            return compiled(matcher.value).fullmatch(value) is not None
        case "!~":
            return compiled(matcher.value).fullmatch(value) is None


def selects(selector: Selector, labels: Mapping[str, str], node: str) -> bool:
    """Return whether the labels of a series satisfy every matcher; its node is the scraped one."""
    return all(matches(matcher, _value(labels, matcher.label, node)) for matcher in selector.matchers)


def group_of(labels: Mapping[str, str], group_by: Iterable[str], node: str) -> Labels:
    """Return the group of a series: some labels with their values, by name; its node is the scraped one."""
    return tuple((name, _value(labels, name, node)) for name in sorted(group_by))


def _value(labels: Mapping[str, str], name: str, node: str) -> str:
    return node if name == conventions.NODE else labels.get(name, "")


def is_label(text: str) -> bool:
    """Return whether this is the name of a label that people may set."""
    name = LABEL.fullmatch(text)
    return name is not None and name[1] == text and not text.startswith("__")
