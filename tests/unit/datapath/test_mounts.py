"""Mount points, as the kernel lists them."""

from netsre.datapath.mounts import first_of_each


def test_the_first_of_a_type_counts_and_a_line_without_one_does_not() -> None:
    """A place with a space in it is written with an octal escape."""
    text = "proc /proc proc rw 0 0\nnone /a\\040b cgroup2 rw 0 0\nbroken\nnone /c cgroup2 rw 0 0\n"

    assert first_of_each(text) == {"proc": "/proc", "cgroup2": "/a b"}
