"""The system call openat2: the kernel itself walks a path below a folder and follows no link on the way.

Not every kernel has it, and a sandbox may forbid it: systemd's RestrictSUIDSGID does, since a filter cannot
look into the call's arguments. Whoever asks here therefore walks by themselves where this gives nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import platform
from collections.abc import Callable

from .lazy import lazy

# The same on every architecture that Linux numbered anew; on others (alpha, mips) nothing is tried.
_NUMBER = 437
_MACHINES = frozenset(
    {"x86_64", "i686", "aarch64", "armv7l", "riscv64", "ppc64le", "s390x", "loongarch64"}
)
_NO_MAGICLINKS = 0x02  # those of /proc, which lead anywhere
_NO_SYMLINKS = 0x04
_BENEATH = 0x08
_TRIES = 4  # a rename elsewhere, or a signal, may disturb the kernel's walk

# Flags and path, below a descriptor; an errno is negative.
Call = Callable[[int, bytes, int], int]


def _bound() -> Call:
    """Bind the C library's `syscall`."""
    import ctypes  # late: a process that opens nothing below a shared folder does without

    class How(ctypes.Structure):
        _fields_ = (
            ("flags", ctypes.c_uint64),
            ("mode", ctypes.c_uint64),
            ("resolve", ctypes.c_uint64),
        )

    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    syscall.argtypes = (
        *(ctypes.c_long, ctypes.c_int, ctypes.c_char_p),
        *(ctypes.POINTER(How), ctypes.c_size_t),
    )
    size = ctypes.sizeof(How)

    def call(at: int, path: bytes, flags: int) -> int:
        how = How(flags, 0, _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS)
        found = syscall(_NUMBER, at, path, ctypes.byref(how), size)
        return found if found >= 0 else -ctypes.get_errno()

    return call


class Openat2:
    """The call of a kernel that may have it."""

    def __init__(self, bind: Callable[[], Call] = _bound) -> None:
        self._bind = bind

    def below(self, at: int, path: str, flags: int) -> int | None:
        """Open what stands at a path below a folder; None where the kernel cannot, or says no.

        A no has no reason here: the caller's own walk finds the place that it is about.
        """
        if self._call is None or "\0" in path:
            return None
        encoded = os.fsencode(path)
        for _ in range(_TRIES):
            found = self._call(at, encoded, flags)
            if found >= 0:
                return found
            if -found not in (errno.EAGAIN, errno.EINTR):
                break
        return None

    def available(self) -> bool:
        """Tell whether this process may use the call; asked once."""
        return self._call is not None

    @lazy
    def _call(self) -> Call | None:
        """Find the call and try it once, on a folder that every host has."""
        if platform.machine() not in _MACHINES:
            return None
        with contextlib.suppress(ImportError, OSError, AttributeError, MemoryError):
            call = self._bind()
            try:
                at = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError:
                return None
            try:
                found = call(at, b".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            finally:
                os.close(at)
            if found >= 0:
                os.close(found)
                return call
        return None


_HOST = Openat2()
below = _HOST.below
available = _HOST.available
