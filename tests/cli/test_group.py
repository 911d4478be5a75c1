import importlib
import subprocess
import sys

import pytest

from zoetrope.cli.group import COMMANDS, MODULES, cli


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['zoetrope', '--help']\n"
        "import zoetrope.cli\n"
        "try: zoetrope.cli.main()\n"
        "except SystemExit: pass\n"
        "print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "click" in loaded
    assert not loaded & {"aiohttp", "rich", "msgspec", "asyncio", "sqlite3", "http", "numpy", "PIL"}


@pytest.mark.parametrize(
    "module", sorted({MODULES.get(name, name).replace("-", "_") for name in COMMANDS})
)
def test_no_command_imports_the_server_or_rich_before_it_must(module):
    code = (
        f"import sys, zoetrope.cli.{module}\n"
        "print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert not set(done.stdout.split()) & {"aiohttp", "rich", "numpy", "PIL"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_teaches_by_an_example(name, run):
    result = run(name, "--help")
    assert result.exit_code == 0
    assert f"Example:\n    zoetrope {name}" in result.stdout
    module = MODULES.get(name, name).replace("-", "_")
    command = getattr(importlib.import_module(f"zoetrope.cli.{module}"), name.replace("-", "_"))
    assert {"url", "token_file", "json", "debug"} <= {option.name for option in command.params}


@pytest.mark.parametrize(
    ("name", "shown", "hidden"),
    [("jobs", ("--url", "--json"), ()), ("verify", ("--json",), ("--url", "--token-file"))]
    + [(name, ("--debug",), ("--url", "--token-file", "--json")) for name in ("demo", "serve")],
)
def test_a_command_that_asks_no_service_does_not_list_where_one_is(name, shown, hidden, run):
    text = run(name, "--help").stdout
    assert [option in text for option in (*shown, *hidden)] == [True] * len(shown) + [False] * len(
        hidden
    )
    # It still takes them, as every command does.
    assert run(name, "--url", "http://127.0.0.1:9", "--help").exit_code == 0


def test_the_help_lists_every_command_with_its_line(run):
    text = run("--help").stdout
    for name, line in COMMANDS.items():
        assert name in text
        assert line in text


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["stats"], "There is no command 'stats'; did you mean `status`? (see zoetrope --help)"),
        (["xyzzy"], "There is no command 'xyzzy'. (see zoetrope --help)"),
        (["jobs", "--stat", "done"], "--stat"),
        (["job"], "Missing argument 'ID'"),
        (["jobs", "--limit", "0"], "--limit"),
        (["jobs", "--state", "finished"], "'finished' is not one of"),
    ],
)
def test_a_usage_error_is_one_line_and_exits_with_2(run, args, said):
    result = run(*args)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert said in result.stderr
    assert "--help" in result.stderr


def test_no_command_at_all_shows_the_help_and_exits_with_2(run):
    result = run()
    assert result.exit_code == 2
    assert "Make videos:" in result.stderr


def test_a_service_that_is_not_running_is_one_line_that_says_what_to_do(run):
    for command in (["status"], ["jobs"], ["job", "1"], ["cancel", "1"]):
        result = run(*command, "--url", "http://127.0.0.1:9")
        assert result.exit_code == 1
        assert result.stderr.count("\n") == 1
        assert "No zoetrope service answers at http://127.0.0.1:9" in result.stderr
        assert "systemctl start zoetrope" in result.stderr


def test_debug_shows_the_traceback(run):
    result = run("jobs", "--url", "http://127.0.0.1:9", "--debug")
    assert result.exception is not None
    assert not isinstance(result.exception, SystemExit)


def test_an_address_that_is_none_is_said(run):
    result = run("jobs", "--url", "ftp://x")
    assert result.exit_code == 1
    assert "is not the address of a service" in result.stderr


def test_a_flag_wins_over_the_environment_before_and_after_the_command(service, run):
    for args in (["--url", service.url, "jobs"], ["jobs", "--url", service.url]):
        result = run(*args, ZOETROPE_URL="http://127.0.0.1:9")
        assert result.exit_code == 0, result.stderr


def test_something_else_on_the_address_is_told_from_zoetrope(run, service):
    result = run("status", "--url", f"{service.url}/page")
    assert result.exit_code == 1
    assert "This address does not exist." in result.stderr


def test_the_console_script_runs():
    assert cli.name == "zoetrope"
    done = subprocess.run(
        [sys.executable, "-c", "import zoetrope.cli; zoetrope.cli.main()", "--version"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.startswith("zoetrope 0.")
