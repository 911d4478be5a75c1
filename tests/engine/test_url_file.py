"""The address of an engine in a file of its own."""

import pytest

from zoetrope.engine.url_file import with_urls
from zoetrope.errors import SettingsError
from zoetrope.reload import reload
from zoetrope.settings import parse
from zoetrope.web.api.settings import without_secrets

SECRET = "http://zoe:pass-word@gpu.example:8188"


def settings(file, more=""):
    return parse(f'[[engines]]\nname = "far"\nurl_file = "{file}"\n{more}', "test")


def test_the_file_says_the_address_and_a_changed_one_counts_at_a_reload(tmp_path):
    file = tmp_path / "far"
    file.write_text(f"{SECRET}\n")
    found = with_urls(settings(file))
    assert found.engines[0].url == SECRET
    assert found.engines[0].url_file == file
    assert reload(found, with_urls(settings(file))).changed == ()
    file.write_text("http://gpu.example:8189")
    assert reload(found, with_urls(settings(file))).changed == ("engines",)
    shown = str(without_secrets({"url": found.engines[0].url}))
    assert "pass-word" not in shown


@pytest.mark.parametrize(
    "content",
    [b"", b"pass-word", b"ftp://zoe:pass-word@x", b"simulated:", b"\xff", b"http://a:1 http://b:2"],
)
def test_what_is_no_address_is_said_and_never_quoted(tmp_path, content):
    file = tmp_path / "far"
    file.write_bytes(content)
    with pytest.raises(SettingsError) as error:
        with_urls(settings(file))
    assert str(file) in str(error.value)
    assert error.value.reason.next_step
    assert "pass-word" not in str(error.value)


def test_a_file_that_is_not_there_and_an_address_of_two_engines_are_said(tmp_path):
    file = tmp_path / "far"
    with pytest.raises(SettingsError, match=r"engines\.url_file of far: .* cannot be read"):
        with_urls(settings(file))
    file.write_text(SECRET)
    both = settings(file, f'[[engines]]\nname = "near"\nurl_file = "{file}"')
    with pytest.raises(SettingsError, match="far and near have the same address") as error:
        with_urls(both)
    assert "pass-word" not in str(error.value)


@pytest.mark.parametrize(
    ("engine", "says"),
    [
        ('url_file = "far"', "allowed is an absolute path"),
        ('url_file = "/far"\nurl = "http://x:1"', "exactly one of `url` and `url_file`"),
        ('url_file = "/far"\nurl = "simulated:"', "exactly one of `url` and `url_file`"),
    ],
)
def test_what_the_settings_cannot_say_is_named(engine, says):
    with pytest.raises(SettingsError, match=says):
        parse(f'[[engines]]\nname = "far"\n{engine}', "test")


def test_two_engines_with_files_are_two(tmp_path):
    more = '[[engines]]\nname = "near"\nurl_file = "/near"\n[[engines]]\nname = "here"'
    found = settings("/far", more)
    assert [engine.simulated for engine in found.engines] == [False] * 3
