"""Mutations of inputs: what cables, editors and bad people make of bytes."""

from __future__ import annotations

import random

#: What parsers stumble over.
TOKENS = (
    *(b"[" * 1000, b"{" * 600, b'{"a":' * 300, b'"', b"\\", b"\0", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf"),
    *(b"\r\n", b"\n", b"'''", b'"""', b"=", b".", b"..", b"/", b"../../etc/passwd", b"%00", b"%", b"\x1b[2J"),
    *(b"NaN", b"Infinity", b"-inf", b"1e999", b"-1", b"0", b"9" * 400, b"9" * 5000, b"18446744073709551616"),
    *(b"null", b"true", b"[]", b"{}", b"1979-05-27T07:32:00Z", b"0x7f", b"1_0", b"\\u0000", b"\\ud800"),
    *("\u202e".encode(), "é".encode(), "\U0001f600".encode(), b"\xed\xa0\x80", b"\xc0\x80", b"\x80"),
    *(b"a" * 300, b"A" * 70_000, b"://", b"[::1", b"http://[", b"@", b"?", b"#", b":", b";", b"*", b"(?:a+)+$"),
)  # fmt: skip


def mutated(start: bytes, others: tuple[bytes, ...], chance: random.Random) -> bytes:
    """Change an input a little, a few times."""
    data = bytearray(start)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        at = chance.randrange(len(data) + 1)
        until = min(len(data), at + chance.choice((1, 1, 2, 4, 16, 64)))
        match chance.randrange(8):
            case 0 if data:
                data[at - 1] ^= 1 << chance.randrange(8)
            case 1 if data:
                data[at - 1] = chance.randrange(256)
            case 2:
                del data[at:until]
            case 3:
                data[at:at] = data[at:until] * chance.choice((1, 2, 50))
            case 4:
                data[at:at] = chance.choice(TOKENS)
            case 5:
                data[at:until] = chance.choice(TOKENS)
            case 6:
                other = chance.choice(others)
                begin = chance.randrange(len(other) + 1)
                data[at:until] = other[begin : begin + chance.choice((4, 16, 64, 1000))]
            case _:
                data[at:at] = chance.randbytes(chance.choice((1, 2, 8, 40)))
    return bytes(data[:200_000])
