import os
import socket

import pytest

from zoetrope.engine.process import EngineProcess, find


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_who_listens_at_an_address_is_found(family):
    try:
        listener = socket.create_server(("", 0), family=family)
    except OSError:
        pytest.skip("this host has no such addresses")
    with listener:
        port = listener.getsockname()[1]
        assert find(f"http://localhost:{port}").pid == os.getpid()
    assert find(f"http://localhost:{port}") is None


@pytest.mark.parametrize("url", ["http://host", "http://host:99999", "simulated:"])
def test_an_address_without_a_port_is_nobodys(url):
    assert find(url) is None


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ("0::/system.slice/a.service\n", "/system.slice/a.service"),
        ("5:cpu:/x\n4:memory:/limits/a\n0::/\n", "/limits/a"),
        ("4:hugetlb,memory:/b:c\n", "/b:c"),
        ("nonsense\n", ""),
        (None, ""),
    ],
)
def test_the_group_is_the_one_in_which_memory_counts(tmp_path, text, group):
    (tmp_path / "net").mkdir()
    row = "0: 0100007F:1FF4 00000000:0000 0A 00000000:00000000 00:00000000 00000000 1000 0 4242 1"
    (tmp_path / "net/tcp").write_text(f"  sl  local_address ...\n   {row}\n")
    files = tmp_path / "77/fd"
    files.mkdir(parents=True)
    (files / "3").symlink_to("socket:[4242]")
    if text is not None:
        (tmp_path / "77/cgroup").write_text(text)
    assert find("http://127.0.0.1:8180", tmp_path) == EngineProcess(77, group)
    assert find("http://127.0.0.1:8181", tmp_path) is None
