"""A line of the log is one line, whatever is in it."""

from netsre.app.logs import pairs


def test_values_are_quoted_where_they_must_be() -> None:
    """Plain ones are not, so that people can read and grep them."""
    assert pairs(a="x/y:1", b="two words", c=7, d=None) == 'a=x/y:1 b="two words" c=7'


def test_a_value_cannot_begin_another_line_or_pair() -> None:
    """Label values come from the network."""
    assert pairs(a='x" level=ERROR\nforged') == 'a="x\\" level=ERROR\\nforged"'
    assert pairs(a="") == 'a=""'


def test_a_long_value_is_cut() -> None:
    """A line stays a line."""
    assert len(pairs(a="x" * 10_000)) < 500


def test_a_value_cannot_command_a_terminal() -> None:
    """Not by a control character of eight bits, and not by one that turns the line around."""
    assert pairs(a="\x9b31m\u202egnp\u2028 é") == r'a="\x9b31m\u202egnp\u2028 é"'
