"""Who is at the other end of a connection: another host, or which user of this one."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec

# Sockets of this host, with the user that each belongs to; for kernels that do not answer a question about one.
TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))

# The sockets of a process that has closed them belong to nobody.
CLOSED = "a closed connection"

# linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h
NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST = 1
ANY = 0xFFFFFFFF
HEAD = struct.Struct("=IHHII")
ASKED = struct.Struct("=BBBBI")
PORTS = struct.Struct("!HH")
# Both ports, user and inode, between what is not needed.
ANSWER = struct.Struct("=16x 4x 4s 44x 12x II")
SECONDS = 1.0  # the kernel answers at once, or something is wrong

IP = ipaddress.IPv4Address | ipaddress.IPv6Address
End = tuple[IP, int]


class Source(msgspec.Struct, frozen=True):
    """Where requests come from: another host, or a user of this one."""

    name: str
    local: bool = False


def source(transport: asyncio.BaseTransport | None, tables: tuple[Path, ...] = TABLES) -> Source:
    """Say who is at the other end; without tables, a kernel that does not answer means any user of this host."""
    if transport is None:
        return Source(CLOSED, local=True)
    there = _end(transport.get_extra_info("peername"))
    here = _end(transport.get_extra_info("sockname"))
    if there is None or here is None:
        return Source(CLOSED, local=True)
    if not there[0].is_loopback:
        return other_host(there[0])
    try:
        user = ask(there, here)
    except OSError:
        if not tables:
            return Source("this host", local=True)
        user = look_up(there, here, tables)
    return Source(CLOSED if user is None else f"user {user} of this host", local=True)


def other_host(address: IP) -> Source:
    """Name the source that an address stands for; of IPv6 a host commonly has 2^64 to choose from."""
    if isinstance(address, ipaddress.IPv6Address):
        return Source(str(ipaddress.ip_network((address, 64), strict=False)))
    return Source(str(address))


def ask(there: End, here: End) -> int | None:
    """Ask the kernel whose socket the other end of a connection within this host is.

    OSError: it does not answer such questions, or a sandbox forbids them.
    """
    family = socket.AF_INET if there[0].version == 4 else socket.AF_INET6
    ends = b"".join(end[0].packed.ljust(16, b"\0") for end in (there, here))
    about = PORTS.pack(there[1], here[1]) + ends + struct.pack("=III", 0, ANY, ANY)
    asked = ASKED.pack(family, socket.IPPROTO_TCP, 0, 0, ANY) + about
    head = HEAD.pack(HEAD.size + len(asked), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 0, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG) as kernel:
        kernel.settimeout(SECONDS)
        kernel.send(head + asked)
        answer = kernel.recv(4096)
    if len(answer) < ANSWER.size or HEAD.unpack_from(answer)[1] != SOCK_DIAG_BY_FAMILY:
        (error,) = struct.unpack_from("=i", answer, HEAD.size)
        if error in (-2, 0):  # no such socket
            return None
        raise OSError(-error, "the kernel does not say whose socket it is")
    ends, user, inode = ANSWER.unpack_from(answer)
    if ends != about[: PORTS.size]:  # a socket that listens there
        return None
    # A socket without an inode is no process's any more, and the kernel names user 0 for it.
    return int(user) if inode else None


def look_up(there: End, here: End, tables: tuple[Path, ...] = TABLES) -> int | None:
    """Find the same in the kernel's tables of all sockets, which takes longer the more there are."""
    for table in tables:
        for local, remote, user in _rows(table, there[1]):
            if (local, remote) == (there, here):
                return user
    return None


def _rows(table: Path, port: int) -> Iterator[tuple[End, End, int]]:
    try:
        text = table.read_text(encoding="ascii")
    except OSError:
        return
    ends = f":{port:04X}"
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[1].endswith(ends) and fields[9] != "0":
            yield _written(fields[1]), _written(fields[2]), int(fields[7])


def _written(text: str) -> End:
    """Read an end as the kernel writes it: words of four bytes in the order of the processor."""
    host, _, port = text.partition(":")
    packed = b"".join(bytes.fromhex(host[at : at + 8])[::-1] for at in range(0, len(host), 8))
    return _plain(packed), int(port, 16)


def _end(name: object) -> End | None:
    if not isinstance(name, tuple) or len(name) < 2:
        return None
    try:
        ip = ipaddress.ip_address(str(name[0]).partition("%")[0])
    except ValueError:
        return None
    return _plain(ip.packed), int(name[1])


def _plain(packed: bytes) -> IP:
    ip = ipaddress.ip_address(packed)
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return ip if mapped is None else mapped
