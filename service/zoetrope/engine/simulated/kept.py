"""Which files an engine keeps: those of the prompts that ended last, so that its disk does not fill over months."""

import contextlib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

#: So many prompts that have ended keep their files, and their entry in the history.
KEPT_PROMPTS = 200
#: An upload that no prompt has used waits longer: its prompt may still come.
_PATIENCE = 10
#: Files are written down as they come, so that a later process knows them; others are never touched.
_BOOK = "made.txt"
_WASTE = 4


class KeptFiles:
    """The files that this engine made or was given, each with the number of the ended prompt that used it last."""

    def __init__(self, home: Path, keep: int = KEPT_PROMPTS) -> None:
        self.lock = threading.Lock()
        self._home = home
        self._keep = keep  # 0: all of them
        self._ended = 0
        # After how many ended prompts each file goes.
        self._due: OrderedDict[Path, int] = OrderedDict()
        self._lines = 0

    def __len__(self) -> int:
        return len(self._due)

    def open(self) -> None:
        """Take up what earlier processes made; its time begins anew."""
        if not self._keep:
            return
        with self.lock:
            with contextlib.suppress(FileNotFoundError):
                text = (self._home / _BOOK).read_text(errors="surrogateescape")
                for line in text.splitlines():
                    path = Path(os.path.normpath(self._home / line))
                    # Only what lies in the engine's own folders, whatever the file says.
                    if path.is_relative_to(self._home) and path.is_file():
                        self._due[path] = self._keep
            self._write_all()

    def made(self, path: Path) -> Path:
        """A node is about to write this file."""
        with self.lock:
            self._note(path, self._keep)
        return path

    def given(self, path: Path, new: bool) -> None:
        """A client has uploaded this file; the caller holds the lock since before it was written."""
        # A file that lay there already, and is not the engine's, belongs to somebody.
        if new or path in self._due:
            self._note(path, self._keep * _PATIENCE)

    def wanted(self, paths: Iterable[Path]) -> None:
        """A prompt that comes now needs these files: they stay as if they were new."""
        with self.lock:
            for path in paths:
                if path in self._due:
                    self._note(path, self._keep * _PATIENCE)

    def ended(self, used: Iterable[Path], wanted: Iterable[Path]) -> None:
        """A prompt has ended that used these files; others wait for those that are `wanted`."""
        if not self._keep:
            return
        with self.lock:
            for path in used:
                if path in self._due:
                    self._note(path, self._keep)
            self._ended += 1
            still = set(wanted)
            old = [
                path for path, due in self._due.items() if due < self._ended and path not in still
            ]
            for path in old:
                del self._due[path]
                _remove(path, self._home)
            if old and self._lines > _WASTE * (len(self._due) + KEPT_PROMPTS):
                self._write_all()

    def _note(self, path: Path, more: int) -> None:
        if not self._keep:
            return
        if path not in self._due:
            line = os.fsencode(path.relative_to(self._home)) + b"\n"
            with (self._home / _BOOK).open("ab") as book:
                book.write(line)
            self._lines += 1
        self._due[path] = self._ended + more

    def _write_all(self) -> None:
        """Write down what is there now, and nothing of what is gone."""
        lines = [os.fsencode(path.relative_to(self._home)) + b"\n" for path in self._due]
        part = self._home / f"{_BOOK}.part"
        part.write_bytes(b"".join(lines))
        part.replace(self._home / _BOOK)
        self._lines = len(lines)


def _remove(path: Path, home: Path) -> None:
    """Remove a file, and the folders below input, output and temp that it leaves empty."""
    path.unlink(missing_ok=True)
    for folder in path.parents:
        if folder.parent == home or folder == home:
            return
        try:
            folder.rmdir()
        except OSError:  # other files are in it
            return
