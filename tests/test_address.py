"""What of an address is shown, and what is asked."""

import pytest

from zoetrope.address import Address, is_http, masked

SECRET = "http://user:secretpw@127.0.0.1:9/comfy/?token=secretq&plain"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://127.0.0.1:8188", "http://127.0.0.1:8188"),
        ("simulated:", "simulated:"),
        ("http://a@b@c/", "http://c/"),
        ("http://u:p@[::1]:8188/x?a=1&b=&c", "http://[::1]:8188/x?a=...&b=...&..."),
        ("https://me:secret@gpu.lan:8188/comfy?token=secret#x", "https://gpu.lan:8188/comfy?token=..."),
        ("http://[", "?"),
    ],
)  # fmt: skip
def test_an_address_is_shown_without_what_opens_it(url, shown):
    assert masked(url) == shown


def test_as_a_text_it_is_what_may_be_shown():
    address = Address(SECRET)
    assert str(address) == f"{address}" == "http://127.0.0.1:9/comfy/?token=...&..."
    assert "secret" not in repr(address)
    assert str(Address("http://127.0.0.1:8188/")) == "http://127.0.0.1:8188"


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("http://h:1", "http://h:1/view?a=x%20%26"),
        ("http://h:1/", "http://h:1/view?a=x%20%26"),
        ("http://u:p@h:1/comfy/?token=t", "http://u:p@h:1/comfy/view?token=t&a=x%20%26"),
    ],
)
def test_what_opens_it_goes_along_with_every_request(url, asked):
    assert Address(url).to("/view", a="x &") == asked


def test_without_a_query_of_its_own_it_asks_with_that_of_the_address():
    assert Address("http://h/?token=t").to("/queue") == "http://h/queue?token=t"
    assert Address("http://h").to("/queue") == "http://h/queue"


@pytest.mark.parametrize(
    "text",
    [
        f"{SECRET} is no address",
        "http://user:secretpw@127.0.0.1:9/ws?token=secretq&plain&clientId=1: 403",
        "nonnumeric port: 'secretpw@127.0.0.1:9'",
        "token 'secretq' is wrong",
        "url='http://127.0.0.1:9/system_stats?token=secretq&plain'",
    ],
)
def test_no_error_of_a_library_shows_it(text):
    redacted = Address(SECRET).redacted(text)
    assert "secret" not in redacted
    assert "user" not in redacted


def test_a_secret_is_found_however_it_is_quoted():
    address = Address("http://u:pass%40word@h/?token=a%2Fb%2Fc")
    for text in ("pass%40word", "pass@word", "a%2Fb%2Fc", "a/b/c"):
        assert address.redacted(f"<{text}>") == "<...>"


def test_short_words_stay_readable():
    address = Address("http://u:p@host/?t=1")
    assert address.redacted("port 11 at http://u:p@host/?t=1") == "port 11 at http://...host/?..."
    assert Address("http://host").redacted("http://host") == "http://host"


@pytest.mark.parametrize(
    ("url", "right"),
    [
        ("http://127.0.0.1:8188", True),
        ("https://[::1]/x", True),
        ("http://", False),
        ("http://[", False),
        ("http://h:99999", False),
        ("http://h:x", False),
        ("ftp://h", False),
        ("h:8188", False),
    ],
)
def test_an_address_of_a_server_is_told_from_none(url, right):
    assert is_http(url) is right
