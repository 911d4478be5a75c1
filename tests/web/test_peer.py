"""Who is at the other end of a connection within this host."""

import os
import socket
from ipaddress import ip_address

import pytest

from zoetrope.web import peer
from zoetrope.web.peer import Source, ask, look_up, other_host, source

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
ROW = "   0: {local} {remote} 01 00000000:00000000 00:00000000 00000000 {user:5} 0 {inode} 1 0 20 4 30 10 -1\n"


def end(connected):
    host, port, *_ = connected
    return ip_address(host), port


@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
@pytest.mark.parametrize("way", [ask, look_up])
def test_a_real_connection_belongs_to_the_user_who_made_it(family, host, way):
    with socket.socket(family) as server:
        try:
            server.bind((host, 0))
        except OSError:
            pytest.skip("this host has no IPv6")
        server.listen()
        with socket.create_connection(server.getsockname()[:2]) as client:
            there, here = end(client.getsockname()), end(server.getsockname())
            assert way(there, here) == os.getuid()
            assert way((there[0], here[1]), here) is None
            assert way(there, (here[0], there[1])) is None
        # What is left of a closed one is no user's.
        assert way(there, here) is None


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([("0100007F:1F90", "0100007F:1FFE", 7, 99)], 7),
        ([("0100007F:1F90", "0100007F:1FFF", 7, 99)], None),  # to another server
        ([("0200007F:1F90", "0100007F:1FFE", 7, 99)], None),
        # Closed, which the table shows as a socket of root.
        ([("0100007F:1F90", "0100007F:1FFE", 0, 0)], None),
        # An IPv6 socket that speaks IPv4.
        ([("0000000000000000FFFF00000100007F:1F90", "0000000000000000FFFF00000100007F:1FFE", 8, 99)], 8),
        ([], None),
    ],
)  # fmt: skip
def test_the_row_of_the_other_end_counts(tmp_path, rows, found):
    table = tmp_path / "tcp"
    table.write_text(
        HEAD
        + "".join(
            ROW.format(local=local, remote=remote, user=user, inode=inode)
            for local, remote, user, inode in rows
        )
    )
    there, here = (ip_address("127.0.0.1"), 0x1F90), (ip_address("127.0.0.1"), 0x1FFE)
    assert look_up(there, here, (tmp_path / "missing", table)) == found


def test_an_ipv6_host_is_its_network():
    assert other_host(ip_address("2001:db8::1")) == other_host(ip_address("2001:db8::ffff"))
    assert other_host(ip_address("2001:db8::1")) != other_host(ip_address("2001:db8:0:1::1"))
    assert other_host(ip_address("192.0.2.1")).name == "192.0.2.1"


class Transport:
    """A connection of these two ends."""

    def __init__(self, there, here=("127.0.0.1", 8190)):
        self.ends = {"peername": there, "sockname": here}

    def get_extra_info(self, name):
        return self.ends[name]


@pytest.mark.parametrize(
    ("there", "name"),
    [
        (("192.0.2.7", 1234), "192.0.2.7"),
        (("::ffff:192.0.2.7", 1234, 0, 0), "192.0.2.7"),
        (("2001:db8:1:2:3::4%eth0", 1234, 0, 0), "2001:db8:1:2::/64"),
    ],
)
def test_another_host_is_named_by_its_address(there, name):
    assert source(Transport(there)) == Source(name)


@pytest.mark.parametrize(
    "there", [None, (), ("/run/socket", 1), ("127.0.0.1", 1), ("::ffff:127.0.0.1", 1)]
)
def test_what_belongs_to_nobody_any_more_is_one_source_of_this_host(there):
    assert source(Transport(there)) == Source("a closed connection", local=True)
    assert source(None) == Source("a closed connection", local=True)


def test_where_the_kernel_does_not_say_the_users_of_this_host_are_one(monkeypatch):
    def forbidden(*_):
        raise PermissionError

    monkeypatch.setattr(peer, "ask", forbidden)
    assert source(Transport(("127.0.0.1", 1)), ()) == Source("this host", local=True)
