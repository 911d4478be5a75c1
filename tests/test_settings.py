import ast
import re
from pathlib import Path

import pytest

from zoetrope import settings
from zoetrope.errors import SettingsError

PACKAGE = Path(settings.__file__).parent


def mistakes(text: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        settings.parse(text, "zoetrope.toml")
    return str(caught.value).splitlines()


def test_an_empty_file_gives_the_defaults():
    assert settings.parse("", "zoetrope.toml") == settings.Settings()


def test_every_key_can_be_written_in_toml():
    found = settings.parse(
        """
        [inbox]
        path = "/data/in"
        settle_seconds = 1
        claim = "copy"
        [outbox]
        path = "/data/out"
        [state]
        path = "/data/state"
        [recipes]
        path = ["/data/recipes"]
        default = "mine"
        [jobs]
        review = false
        retries = 0
        [[engines]]
        name = "0"
        url = "http://127.0.0.1:8188"
        restart = { unit = "zoetrope-comfyui@0.service" }
        [[engines]]
        name = "1"
        url = "http://127.0.0.1:8189"
        restart = { command = ["/bin/again", "1"] }
        [web]
        listen = "[::1]:9000"
        """,
        "zoetrope.toml",
    )
    assert found.inbox.path == Path("/data/in")
    assert found.inbox.settle_seconds == 1.0
    assert found.jobs.review is False
    assert [engine.name for engine in found.engines] == ["0", "1"]
    assert found.engines[1].restart == settings.Restart(command=("/bin/again", "1"))
    assert (found.web.host, found.web.port, found.web.loopback) == ("::1", 9000, True)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "jobs.hours = '22-7'",
            "jobs.hours: '22-7' is not a range like 22:00-07:00; allowed are ranges of the local time",
        ),
        (
            "jobs.free_after_minutes = -1",
            "jobs.free_after_minutes: found -1, allowed is a number at least 0, at most 10080",
        ),
        ("[inbox]\npth = '/x'", "inbox.pth: unknown key; did you mean `path`?"),
        ("inbx = 1", "inbx: unknown key; did you mean `inbox`?"),
        ("inbox = 1", "inbox: found 1, a table is allowed here"),
        ("[inbox]\nsettle_seconds = '3'", "inbox.settle_seconds: found '3', allowed is a number"),
        ("[inbox]\nsettle_seconds = -1", "inbox.settle_seconds: found -1, allowed is a number"),
        ("[inbox]\nsettle_seconds = inf", "inbox.settle_seconds: found inf, allowed is a finite"),
        ("[inbox]\nsettle_seconds = nan", "inbox.settle_seconds: found nan, allowed is a finite"),
        ("[inbox]\ndecode_seconds = 1e400", "inbox.decode_seconds: found inf, allowed is a finite"),
        ("[[engines]]\nname='a'\nsilence_seconds=inf", "engines[0].silence_seconds: found inf"),
        (f"[inbox]\nmax_megabytes = {10**30}", "inbox.max_megabytes: found 1000000000"),
        pytest.param(
            f"[inbox]\nmax_megabytes = {'9' * 5000}",
            "line 2: a number has too many digits; allowed is",
            id="many digits",
        ),
        pytest.param(
            f"[inbox]\nmax_megabytes = 0x{'f' * 6000}",
            "found a number of about 7225 digits",
            id="many hexadecimal digits",
        ),
        pytest.param(
            f"[recipes]\npath = {'[' * 500}{']' * 500}",
            "nested deeper than the 64 levels that are allowed",
            id="deep lists",
        ),
        pytest.param(
            f"{'.'.join('a' * 1200)} = 1",
            "nested deeper than the 64 levels that are allowed",
            id="a key of too many parts",
        ),
        pytest.param(
            f"{'.'.join('a' * 900)} = 1",
            "values nested deeper than 64 levels",
            id="a key of many parts",
        ),
        pytest.param(f"[web]\nlisten = {'[' * 60}{']' * 60}", "web.listen: found [[[", id="lists"),
        ("[inbox]\nclaim = 'steal'", 'inbox.claim: found \'steal\', allowed is "move" or "copy"'),
        ("[outbox]\npath = 3", "outbox.path: found 3, allowed is a path"),
        ("[outbox]\npath = 'out'", "outbox.path: found 'out', allowed is an absolute path"),
        ("[keep]\nwork_day = 3", "keep.work_day: unknown key; did you mean `work_days`?"),
        ("[keep]\nwork_days = -1", "keep.work_days: found -1, allowed is a number at least 0"),
        ("[keep]\noutbox_days = 'no'", "keep.outbox_days: found 'no', allowed is a number"),
        ("[kept]\nwork_days = 3", "kept: unknown key; did you mean `keep`?"),
        ("[jobs]\nreview = 'no'", "jobs.review: found 'no', allowed is true or false"),
        ("[jobs]\nretries = true", "jobs.retries: found true, allowed is a whole number"),
        ("[[engines]]\nurl = 'http://x'", "engines[0]: the key `name` is missing"),
        ("[[engines]]\nname = 'a b'", "engines[0].name: found 'a b', allowed is a text of letters"),
        ("engines = []", "engines: found an empty list"),
        ("[[engines]]\nname = 'a'\nurl = 'x'", "engines[0].url: found 'x', allowed is"),
        ("[[engines]]\nname='a'\nrestart={}", "engines[0].restart: allowed is exactly one of"),
        ("[[engines]]\nname='a'\nreport='0.json'", "engines[0].report: found '0.json', allowed is"),
        ("[[engines]]\nname='a'\nrestart={unit=3}", "engines[0].restart.unit: found 3, allowed is"),
        ("[web]\nlisten = '80'", "web.listen: found '80', allowed is \"ADDRESS:PORT\""),
        ("[web]\nlisten = '0.0.0.0:80'", "web.token_file is needed"),
        ("[web]\nallowed_hosts = [1]", "web.allowed_hosts[0]: found 1, allowed is a text"),
    ],
)
def test_a_mistake_names_file_place_finding_and_what_is_allowed(text: str, line: str):
    (told,) = mistakes(text)
    assert told.startswith("zoetrope.toml: ")
    assert line in told


@pytest.mark.parametrize(
    ("inbox", "outbox", "state", "line"),
    [
        ("/a", "/a/b", "/s", "outbox.path: /a/b lies inside inbox.path (/a)"),
        ("/a", "/a", "/s", "outbox.path: is the same path as inbox.path"),
        ("/a", "/x/../a/b", "/s", "outbox.path: /a/b lies inside inbox.path (/a)"),
        ("/a/b", "/a", "/s", "inbox.path: /a/b lies inside outbox.path (/a)"),
        ("/a", "/b", "/a/s", "state.path: /a/s lies inside inbox.path (/a)"),
        ("/a", "/s", "/s", "outbox.path: is the same path as state.path"),
        ("/s", "/b", "/s", "state.path: is the same path as inbox.path"),
        ("/s/work", "/b", "/s", "inbox.path: /s/work lies inside /s/work"),
    ],
)
def test_folders_that_swallow_each_other_are_refused(inbox, outbox, state, line):
    told = mistakes(
        f"[inbox]\npath = '{inbox}'\n[outbox]\npath = '{outbox}'\n[state]\npath = '{state}'"
    )
    assert any(line in each for each in told), told


def test_the_inbox_may_lie_beside_the_ledger():
    text = "[inbox]\npath = '/s/inbox'\n[outbox]\npath = '/s/outbox'\n[state]\npath = '/s'"
    assert settings.parse(text, "x").inbox.path == Path("/s/inbox")


def test_engines_must_differ():
    told = mistakes(
        "[[engines]]\nname='a'\nurl='http://h:1'\n[[engines]]\nname='a'\nurl='http://h:1/'"
    )
    assert len(told) == 2
    assert "engines[1].name: 'a' is also the name of engines[0]" in told[0]
    assert "engines[1].url" in told[1]


def test_all_mistakes_are_told_at_once():
    assert len(mistakes("x = 1\n[inbox]\npath = 3\n[web]\nlisten = 1")) == 3


def test_broken_toml_names_the_place():
    (told,) = mistakes("[inbox\n")
    assert re.search(r"not valid TOML: .*line 1", told)


def test_an_unreadable_file_is_one_line(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read"):
        settings.load(tmp_path / "absent.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="not UTF-8"):
        settings.load(tmp_path / "binary.toml")


def test_the_file_given_wins_over_the_environment():
    env = {"ZOETROPE_CONFIG": "/env.toml"}
    assert settings.find_file("/given.toml", env) == Path("/given.toml")
    assert settings.find_file(None, env) == Path("/env.toml")


@pytest.mark.parametrize("url", ["simulated:", "rehearsal:"])
def test_the_simulated_engine_is_known_by_both_of_its_urls(url):
    (engine,) = settings.parse(f"[[engines]]\nname = 'a'\nurl = '{url}'", "z.toml").engines
    assert engine.simulated


def test_an_engine_at_an_address_is_not_simulated():
    assert not settings.EngineSettings(name="a").simulated


@pytest.mark.parametrize(
    "text",
    [
        'engines = [ { name = "comfy\\n" } ]',
        'recipes.default = "hero\\n"',
        '[gpu.profiles."quiet\\n"]\nmax_core_mhz = 2000',
        '[lint.ignore]\n"P001\\n" = "we know"',
        '[[models.extra]]\nfile = "a\\n"\nfolder = "vae"\nurl = "https://x/a"\nsha256 = "'
        + "1" * 64
        + '"',
        '[[models.extra]]\nfile = "a"\nfolder = "vae\\n"\nurl = "https://x/a"\nsha256 = "'
        + "1" * 64
        + '"',
        '[[models.extra]]\nfile = "a"\nfolder = "vae"\nurl = "https://x/a"\nsha256 = "'
        + "1" * 64
        + '\\n"',
    ],
)
def test_no_name_ends_with_a_line_break(text):
    assert mistakes(text)


def test_no_pattern_of_the_package_lets_a_line_break_through_at_its_end():
    patterns = {
        (module.name, word.value.value)
        for module in PACKAGE.rglob("*.py")
        for word in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(word, ast.keyword) and word.arg == "pattern"
        if isinstance(word.value, ast.Constant)
    }
    assert len(patterns) > 5
    assert [each for each in patterns if not each[1].endswith((r"$(?!\n)", r"\Z"))] == []
