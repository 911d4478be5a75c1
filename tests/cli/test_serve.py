import sys
import types


def test_a_good_settings_file_is_ok(tmp_path, run):
    file = tmp_path / "z.toml"
    file.write_text('[inbox]\npath = "/srv/in"\n')
    result = run("serve", "--check", file)
    assert result.exit_code == 0
    assert result.stdout == f"{file}: ok\n"


def test_every_mistake_of_a_settings_file_is_a_line(tmp_path, run):
    file = tmp_path / "z.toml"
    file.write_text('[inbox]\npaht = "/srv/in"\n[web]\nlisten = 3\n')
    result = run("serve", "--check", file)
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert len(lines) == 2
    assert "inbox.paht: unknown key; did you mean `path`?" in lines[0]
    assert "web.listen" in lines[1]


def test_a_settings_file_that_is_not_there_is_said(tmp_path, run):
    result = run("serve", "--check", tmp_path / "none.toml")
    assert result.exit_code == 1
    assert "cannot be read" in result.stderr


def test_serve_runs_the_service_with_the_settings_and_exits_as_it_says(tmp_path, run, monkeypatch):
    seen = []
    app = types.ModuleType("zoetrope.app")
    app.run = lambda read, debug: seen.append(read()) or 1
    monkeypatch.setitem(sys.modules, "zoetrope.app", app)
    file = tmp_path / "z.toml"
    file.write_text('[state]\npath = "/var/lib/other"\n')
    assert run("serve", "--config", file).exit_code == 1
    assert run("serve", ZOETROPE_CONFIG=str(file)).exit_code == 1
    assert [str(settings.state.path) for settings in seen] == ["/var/lib/other"] * 2
