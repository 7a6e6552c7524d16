"""Mount points out of what the kernel tells of them."""

from netsre.datapath.mounts import first_of_each, whole

STRANGE = b'/run/netns/a\rb\x0b\x1c\xc2\x85\xe2\x80\xa8\xff"c'
"""Much that looks like the end of a line, and none that the kernel writes as a number."""


def test_the_first_mount_of_a_type_counts_and_its_path_is_unescaped() -> None:
    """A path with a space is written with an octal number; a line without a type is none."""
    text = b"proc /proc proc rw 0 0\nnone /a\\040b cgroup2 rw 0 0\nnone /c cgroup2 rw 0 0\nbroken\n\n"

    assert first_of_each(text) == {"proc": "/proc", "cgroup2": "/a b"}


def test_a_path_of_any_bytes_is_one_line() -> None:
    """What stands behind it is found as ever."""
    text = b"nsfs " + STRANGE + b" nsfs rw 0 0\nnone /sys/fs/bpf bpf rw 0 0\n"

    assert first_of_each(text)["bpf"] == "/sys/fs/bpf"
    assert first_of_each(text)["nsfs"].encode(errors="surrogateescape") == STRANGE


def test_whole_file_systems_are_found_once_each() -> None:
    """By their device; a mount of a directory inside is none, and no name of anybody's hides the others."""
    text = (
        b"20 1 0:18 / /sys/fs/bpf rw shared:1 - bpf bpf rw\n"
        b"21 1 0:4 net:[4026532] " + STRANGE + b" rw - nsfs nsfs rw\n"
        b"22 1 0:18 / /again rw - bpf bpf rw\n"
        b"23 1 0:19 /inside /part rw - bpf bpf rw\n"
        b"24 1 0:20 / /t\\040wo rw - bpf bpf rw\n"
    )

    assert whole(text, "bpf") == {"0:18": "/sys/fs/bpf", "0:20": "/t wo"}
