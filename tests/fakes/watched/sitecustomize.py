"""Writes down each path below some folders that a Python process, or a child of it, gives to the system.

Python imports this module by itself where its folder is in PYTHONPATH. A name below a descriptor is no path.
"""

import functools
import os
import sys
import traceback

PLACES = tuple(os.fsencode(place) + b"/" for place in os.environ["WATCHED_FOLDERS"].split(":"))
RECORD = os.environ["WATCHED_RECORD"]
# What Python tells no audit hook of.
UNHEARD = ("stat", "lstat", "access", "readlink", "statvfs", "mkfifo", "pathconf")


def note(event: str, args: tuple[object, ...]) -> None:
    for arg in args:
        if not isinstance(arg, str | bytes | os.PathLike):
            continue
        # A plain name comes with a descriptor; the service works in no folder of its own.
        if os.path.normpath(os.fsencode(arg)).startswith(PLACES):
            calls = [f"{f.filename}:{f.lineno}" for f in traceback.extract_stack()[:-1]]
            ours = [call for call in calls if "/zoetrope/" in call and "/lib/python" not in call]
            line = f"{event}\t{os.fsdecode(arg)}\t{' '.join(ours[-3:] or calls[-3:])}\n"
            handle = real_open(RECORD, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            os.write(handle, os.fsencode(line))
            os.close(handle)


def heard(event: str, args: tuple[object, ...]) -> None:
    if event == "open" or event.startswith(("os.", "shutil.", "glob.", "pathlib.")):
        note(event, args)


def wrap(name: str) -> None:
    real = getattr(os, name)

    @functools.wraps(real)
    def call(*args: object, **kwargs: object) -> object:
        note(f"os.{name}", args[:1])
        return real(*args, **kwargs)

    setattr(os, name, call)


real_open = os.open
for each in UNHEARD:
    wrap(each)
sys.addaudithook(heard)
