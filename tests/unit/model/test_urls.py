"""What lies below an address is told by its text alone, so that nothing may be written in two ways."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsre.model import urls

ALLOW = ("https://tools.example/api", "http://127.0.0.1:8080/")


@pytest.mark.parametrize(
    "url",
    [
        "https://tools.example/api",
        "https://tools.example/api/drain/a",
        "https://tools.example/api?x=1&y=%20",
        "http://127.0.0.1:8080/",
        "http://127.0.0.1:8080/x",
    ],
)
def test_what_lies_below_is_allowed(url: str) -> None:
    """The address itself too."""
    assert urls.allowed(url, ALLOW)


@pytest.mark.parametrize(
    "url",
    [
        "https://tools.example/apis",
        "https://tools.example.evil.com/api",
        "https://tools.example@evil.com/api",
        "https://tools.example/api/../admin",
        "https://tools.example/api/./x",
        "https://tools.example/api/%2e%2e/admin",
        "https://tools.example/api/..;/admin",
        "https://tools.example/api/..;x=1/admin",
        "https://tools.example/api\\..\\admin",
        "https://tools.example:443/api",
        "https://TOOLS.example/api",
        "http://tools.example/api",
        "https://tools.example/",
        "http://127.0.0.1:80801/",
        "http://127.0.0.1:8080",
        "https://tools.example/api#x",
        "https://tools.example/api\n",
        "https://tools.example/api/x y",
        "file:///etc/passwd",
        "",
    ],
)
def test_what_only_looks_like_it_is_not(url: str) -> None:
    """Hosts that begin alike, paths that lead elsewhere, another scheme or port."""
    assert not urls.allowed(url, ALLOW)


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/x", "http://[:::]/x", "http://[12345::]/x"])
def test_what_no_request_can_be_sent_to_is_no_address(url: str) -> None:
    """Not even where the settings name the very same."""
    assert urls.problem(url) is not None
    assert not urls.allowed(url, (url,))


def test_nothing_is_allowed_without_a_word_about_it() -> None:
    """Which is how it begins."""
    assert not urls.allowed("https://tools.example/api", ())


@given(st.text("abz./?#@:\\%2e-_ \n\x00é", max_size=20))
def test_whatever_follows_a_prefix_is_below_it_or_refused(tail: str) -> None:
    """It never names another host."""
    url = f"https://tools.example/api{tail}"
    if urls.allowed(url, ALLOW):
        assert tail == "" or tail[0] in "/?"
        assert ".." not in tail.partition("?")[0].split("/")
