"""The `promql` indicator of an SLO file: two expressions that a Prometheus is asked.

A parser reads them before anything runs, so that a typing error is a line of a file and not an empty budget.
What it does not know and a server may (functions of other servers, arithmetic of durations, newer words) is
left to the server: its complaint is better than a refusal of what would have worked.
"""

import re
from collections.abc import Collection, Iterable
from typing import Final

import promql_parser as parser

from netsre import clock, conventions
from netsre.model import values
from netsre.model.levels import PromqlIndicator, Slices, quoted
from netsre.slo import codes, selectors, spec_parts

WINDOW: Final = re.compile(r"\$window(?![A-Za-z0-9_])", re.ASCII)
"""What stands for the length of a piece."""
LONGEST: Final = 4_000
"""Characters: they travel in the address of a request, and deep nesting would overrun the parser's stack."""
EVERY: Final = clock.MINUTE

_SHOWN: Final = 120
_TEXTS: Final = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|`[^`]*`|#[^\n]*', re.DOTALL)
_NEWER: Final = re.compile(
    # Words of Prometheus 3 and of VictoriaMetrics, digits in groups, and arithmetic where a duration stands.
    r"\b(?:smoothed|anchored|default|if|ifnot|limit|keep_metric_names|with)\b|[<>]/|[0-9]_[0-9]"
    r"|\[[^\]]*[-+*/%^(][^\]]*\]|\boffset\s*-?\s*[a-z(]",
    re.ASCII | re.IGNORECASE,
)
_UNKNOWN_FUNCTION: Final = "unknown function"
_SUCH_AS: Final = "write an expression such as sum by (node) (rate(x[$window]))"
_VECTOR: Final = "an instant vector"


def over(expression: str, window: str) -> str:
    """Return what is asked: an expression with a length, such as `1m`, for `$window`."""
    return WINDOW.sub(lambda _: window, expression)


def read(body: values.Mapping) -> PromqlIndicator | None:
    """Read both expressions and how long a piece is; None when anything in them is wrong."""
    expressions = [_expression(body, key) for key in ("bad", "total")]
    written = body.duration("every", required=False)
    every = written if "every" in body else EVERY
    body.end()
    if every is not None and (every % clock.MINUTE or clock.HOUR % every):
        body.wrong("every", codes.PROMQL, "is no part of an hour in whole minutes; write 1m, 5m or 15m")
        return None
    bad, total = expressions
    return None if bad is None or total is None or every is None else PromqlIndicator(bad, total, every)


def fit(
    spec: values.Mapping, every: int, shortest: Iterable[int], sliced: Slices | None, absent: int | None
) -> None:
    """Check pieces of `every` ms against what is made of them; `shortest` are the policy's short windows."""
    text, least = clock.duration_text(every), min(shortest, default=every)
    if every > least:
        message = f"{text} is longer than the shortest window of the policy"
        _wrong_every(spec, f"{message}; write {clock.duration_text(least)} or less")
    if sliced is not None and sliced.length % every:
        length = clock.duration_text(sliced.length)
        _wrong_every(spec, f"{text} does not divide a slice of {length}; write {length}, or a part of it")
    # A piece is told of up to one later, when it is already as old as it is long.
    patience = 3 * (every if sliced is None else sliced.length)
    alerting = spec.mapping("alerting")
    if absent is not None and alerting is not None and absent < patience:
        message = "is less than three pieces, and would tell of every late one"
        alerting.wrong("absent", codes.ABSENT, f"{message}; write {clock.duration_text(patience)} or more")


def _wrong_every(spec: values.Mapping, message: str) -> None:
    indicator = spec.mapping("indicator")
    body = indicator.mapping("promql") if indicator else None
    if body is not None:
        body.wrong("every", codes.PROMQL, message)


def check_groups(spec: values.Mapping, names: Collection[str]) -> None:
    """Check `groupBy` of expressions about anybody's series: labels that netsre's own do not clash with."""
    for name in names:
        if name in spec_parts.RESERVED - {conventions.NODE}:
            message = f"uses {name!r}, which netsre sets by itself; rename it with label_replace in both"
        elif not selectors.is_label(name):
            message = f"uses {name!r}, which is not a label name; write letters, digits and underscores"
        else:
            continue
        spec.wrong("groupBy", codes.RESERVED_LABEL, message)


def _expression(body: values.Mapping, key: str) -> str | None:
    text = body.text(key)
    if text is None:
        return None
    said = problem(text)
    if said is None:
        return text
    body.wrong(key, codes.PROMQL, said)
    return None


def problem(text: str) -> str | None:
    """Return what is wrong with an expression, and what to write."""
    if len(text) > LONGEST:
        return f"is longer than {LONGEST} characters; make a recording rule of a part of it"
    bare = _TEXTS.sub('""', text)
    if not WINDOW.search(bare):
        return "has no $window; write it where the range stands, such as rate(x[$window])"
    try:
        # The parser takes a backslash between backticks for an escape, which it is not.
        found = parser.parse(_TEXTS.sub(_quoted, over(text, clock.duration_text(EVERY))))
    except ValueError as error:
        said = str(error)
        if said.startswith(_UNKNOWN_FUNCTION) or _NEWER.search(bare):
            return None
        return f"is no PromQL: {said[:_SHOWN]}; {_SUCH_AS}"
    kind = _kind(found)
    return None if kind == _VECTOR else f"is {kind}, not {_VECTOR}; {_SUCH_AS}"


def _quoted(found: re.Match[str]) -> str:
    text = found[0]
    return quoted(text[1:-1]) if text.startswith("`") else text


def _kind(expression: parser.Expr) -> str:
    """Return what comes out of an expression; where an operator takes a vector, a vector."""
    rest, kinds = [expression], set()
    while rest:
        match rest.pop():
            case parser.ParenExpr() | parser.UnaryExpr() as found:
                rest.append(found.expr)
            case parser.BinaryExpr() as found:
                rest += [found.lhs, found.rhs]
            case parser.NumberLiteral():
                kinds.add("a scalar")
            case parser.StringLiteral():
                kinds.add("a string")
            case parser.MatrixSelector() | parser.SubqueryExpr():
                kinds.add("a range vector")
            case parser.Call() as found if found.func.return_type == parser.ValueType.Scalar:
                kinds.add("a scalar")
            case _:
                kinds.add(_VECTOR)
    return _VECTOR if _VECTOR in kinds else kinds.pop()
