"""Foes: members of the share who lay links, pipes, forged claims and odd names there while the service works."""

from __future__ import annotations

import contextlib
import io
import os
import random
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tests.endurance.processes import FORK
from tests.endurance.world import draw
from tests.fakes.members import GROUP, MEMBER

#: A foe's pictures are no one else's, and so is every name that a foe makes up.
FIRST_NUMBER = 4_000_000
#: In so many seconds all foes end what they do, however busy the machine is.
CALLED_BACK = 120.0
PAUSES = (0.0, 0.02, 0.05, 0.1)
SOUND = (
    0.03  # of the pictures that foes drop; the others are none, and no engine has to work for them
)

#: What begins with a foe's own stem, and what has to stand at the very beginning of a name.
ENDS = (
    *(b"\n.png", b"\x1b[2J.png", b"\xff\xfe.png", b"\xed\xa0\x80.png", b" .png", b"\xe2\x80\xaegnp.png"),
    *(b".start.png", b".end.png", b".start.end.png", b".png.png", b".PNG", b"%s{}.png", b"$(id).png", b"`id`.png"),
    *(b"x" * 200 + b".png", b"\xc3\xa9" * 110 + b".jpg", b"'\";--.webp", b"<b>.gif", b"\\..\\a.png", b".why.txt.png"),
)  # fmt: skip
BEGINNINGS = (
    b"-rf ",
    b"--",
    b"~",
    b"..",
    b"$HOME",
    b"%2e%2e%2f",
    b" ",
    b"\xef\xbb\xbf",
    b"CON",
    b"*",
    b"#",
)
TICKETS = (
    *(b"seed = nan", b"prompt = ", b"\xff\xfe", b"\0" * 64, b"a = " + b"[" * 3000, b"[a]\n" * 20_000),
    *(b'recipe = "../../outside"', b'name = "../../out"', b'name = "/etc/passwd"', b'name = "\\u0000"', b"seed = 1e400"),
    *(b'prompt = "\\u001b[2J"', b"frames = -1", b"seconds = 1e308", b'recipe = "\\n"', b"x" * 2_000_000, b""),
)  # fmt: skip

KINDS = (
    *("hostile names", "links", "hard links", "pipes", "sockets", "tickets", "folder tickets"),
    *("forged claims", "stuffed claims", "exchanged claims", "exchanged folders", "names of the outbox"),
)  # fmt: skip


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """Where foes act, and what lies outside of it that they want the service to touch."""

    inbox: Path
    outbox: Path
    outside: Path
    open: Path  # a file outside that members may link to

    @property
    def claimed(self) -> Path:
        """Where claims lie."""
        return self.inbox / ".zoetrope"


class Foes:
    """Some foes, each a process of its own, until they are called back; what they hold away comes back then."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._counts: Any = FORK.Array("q", len(KINDS), lock=True)
        self._over: Any = FORK.Value("b", 0, lock=False)
        self._numbers: Any = FORK.Value("q", FIRST_NUMBER, lock=True)
        self.processes: list[Any] = []

    def begin(self, seeds: Sequence[int]) -> None:
        """Let one foe act for each seed."""
        self._over.value = 0
        for seed in seeds:
            process = FORK.Process(target=self.be, args=(seed,))
            process.start()
            self.processes.append(process)

    def call_back(self) -> None:
        """Wait until each has ended what it does; one that does not is ended, and that is an error."""
        self._over.value = 1
        last = time.monotonic() + CALLED_BACK
        for process in self.processes:
            process.join(max(0.0, last - time.monotonic()))
            if process.exitcode is None:
                process.kill()
                process.join()
        codes = [process.exitcode for process in self.processes]
        self.processes = []
        assert not any(codes), f"foes ended with {codes}"

    def counts(self) -> dict[str, int]:
        """Say how much of each kind was laid."""
        return dict(zip(KINDS, self._counts, strict=True))

    def be(self, seed: int) -> None:
        """Be one of them, in a process of its own, until all are called back."""
        if os.geteuid() == 0:
            os.setgroups([GROUP])
            os.setresgid(GROUP, GROUP, GROUP)
            os.setresuid(MEMBER, MEMBER, MEMBER)
        os.umask(0o007)
        foe = Foe(self._ground, random.Random(seed), self._number)
        while not self._over.value:
            kind = foe.chance.choice(KINDS)
            with contextlib.suppress(OSError):
                laid = foe.acts[kind]()
                with self._counts.get_lock():
                    self._counts[KINDS.index(kind)] += laid
            time.sleep(foe.chance.choice(PAUSES))
        os._exit(0)

    def _number(self) -> int:
        with self._numbers.get_lock():
            self._numbers.value += 1
            return int(self._numbers.value)


class Foe:
    """One of them; each act returns how many things it laid, leaves honest pictures where they are, and brings back what it moved away."""

    def __init__(self, ground: Ground, chance: random.Random, number: Callable[[], int]) -> None:
        self.chance = chance
        self._ground = ground
        self._number = number
        self.acts: dict[str, Callable[[], int]] = {
            "hostile names": self._name,
            "links": self._link,
            "hard links": self._hard_link,
            "pipes": self._pipe,
            "sockets": self._socket,
            "tickets": self._ticket,
            "folder tickets": self._folder_ticket,
            "forged claims": self._forge,
            "stuffed claims": self._stuff,
            "exchanged claims": self._exchange,
            "exchanged folders": self._swap,
            "names of the outbox": self._crowd_outbox,
        }

    def _pipe(self) -> int:
        os.mkfifo(self._place())
        return 1

    def _socket(self) -> int:
        bind(self._place())
        return 1

    def _name(self) -> int:
        stem = f"foe{self._number()}".encode()
        if self.chance.random() < 0.5:
            name = stem + self.chance.choice(ENDS)
        else:
            name = self.chance.choice(BEGINNINGS) + stem + b".png"
        folder = self._ground.inbox
        if self.chance.random() < 0.2:
            folder /= self.chance.choice(("tiny", "foe\n", "foe" * 80, "a/" * 40 + "a"))
            folder.mkdir(parents=True, exist_ok=True)
        (folder / os.fsdecode(name)).write_bytes(self._picture())
        return 1

    def _link(self) -> int:
        place = self._place()
        target = self._target()
        if place.suffix == ".toml" or self.chance.random() < 0.2:
            place.with_suffix(".png").write_bytes(self._picture())
            place = place.with_suffix(".toml")
        elif self.chance.random() < 0.2:
            place = place.with_suffix("")  # like a recipe's folder
        place.symlink_to(target)
        return 1

    def _hard_link(self) -> int:
        place = self._place()
        if place.suffix == ".toml":
            place.with_suffix(".png").write_bytes(self._picture())
        place.hardlink_to(self._ground.open)
        return 1

    def _ticket(self) -> int:
        """A picture's ticket that no program should swallow, and that may be another one when it is read."""
        picture = self._ground.inbox / f"foe{self._number()}.png"
        ticket = picture.with_suffix(self.chance.choice((".toml", ".txt")))
        ticket.write_bytes(self.chance.choice(TICKETS))
        picture.write_bytes(self._picture())
        if self.chance.random() < 0.3:
            with self._flipping(ticket):
                time.sleep(0.2)
        return 1

    def _folder_ticket(self) -> int:
        """All pictures wait while the inbox's own ticket cannot be used."""
        place = self._ground.inbox / "ticket.toml"
        aside = place.with_name(f"foe{self._number()}.tmp")
        if self.chance.random() < 0.5:
            aside.write_text("prmpt = 1")
        else:
            aside.symlink_to(self._ground.outside / "secret.toml")
        aside.rename(place)
        time.sleep(self.chance.uniform(0.0, 0.3))
        place.unlink(missing_ok=True)  # another foe's may be gone with it
        return 1

    def _forge(self) -> int:
        name = self.chance.choice(
            (
                *(self.chance.randbytes(16).hex() for _ in range(4)),
                *(f"{self.chance.randbytes(16).hex()}\n", "A" * 32, "not an id\n", "../x"[3:]),
            )
        )
        if self.chance.random() < 0.3 and (known := self._known()):
            name = self.chance.choice(known)[0]
        home = self._ground.claimed
        if self.chance.random() < 0.1:
            home = self._ground.inbox / "tiny" / ".zoetrope"
            home.mkdir(parents=True, exist_ok=True)
        folder = home / name
        kind = self.chance.randrange(6)
        if kind == 0:
            folder.symlink_to(self._target())
            return 1
        if kind == 1:
            os.mkfifo(folder)
            return 1
        folder.mkdir()
        stem = f"foe{self._number()}"
        (folder / f"{stem}.png").write_bytes(self._picture())
        if kind == 2:
            (folder / f"{stem}.toml").symlink_to(self._ground.outside / "secret.toml")
        elif kind == 3:
            (folder / "tiny").symlink_to(self._ground.outside)
        elif kind == 4:
            (folder / f"{stem}-2.png").symlink_to(self._ground.outside / "secret.png")
        else:
            (folder / f"{stem}-2.png").hardlink_to(self._ground.open)
        return 1

    def _stuff(self) -> int:
        """Put something more into a claim that is another's."""
        laid = 0
        for claim_id, _ in self._known():
            stem = f"foe{self._number()}"
            place = self._ground.claimed / claim_id / f"{stem}.png"
            with contextlib.suppress(OSError):
                if self.chance.random() < 0.5:
                    place.write_bytes(self._picture())
                else:
                    place.symlink_to(self._target())
                laid += 1
        return laid

    def _exchange(self) -> int:
        """Exchange what was claimed of foes' own pictures, as fast as can be."""
        for _ in range(6):
            (self._ground.inbox / f"foe{self._number()}.png").write_bytes(self._picture())
        laid = 0
        until = time.monotonic() + self.chance.uniform(0.1, 0.6)
        while time.monotonic() < until:
            for claim in children(self._ground.claimed):
                files = children(claim)
                if not files or not all(file.name.startswith("foe") for file in files):
                    continue
                for place in (*files, claim):
                    aside = self._ground.inbox / f"foe{self._number()}.tmp"
                    with contextlib.suppress(OSError):
                        place.rename(aside)
                        self._lay(place, folder=place == claim)
                        laid += 1
        return laid

    def _swap(self) -> int:
        """Put a link in the place of a folder of the service's own, for a moment."""
        place = self.chance.choice(
            (
                self._ground.inbox / "rejected",
                self._ground.claimed,
                self._ground.inbox / "tiny",
                self._ground.outbox / "review",
            )
        )
        aside = place.with_name(f"foe{self._number()}.tmp")
        laid, moved = 0, False
        with contextlib.suppress(OSError):
            place.rename(aside)
            moved = True
        try:
            with contextlib.suppress(FileExistsError):
                place.symlink_to(self._ground.outside)
                laid = 1
                time.sleep(self.chance.choice((0.0, 0.01, 0.1)))
        finally:
            if place.is_symlink():
                place.unlink()
            if moved:
                put_back(aside, place)
        return laid

    def _crowd_outbox(self) -> int:
        """Stand at the names under which a job's video is going to be put in place."""
        laid = 0
        for claim_id, stem in self._known()[:3]:
            final = self._ground.outbox / f"{stem}-{claim_id[:8]}"
            for place in (final, self._ground.outbox / f".{claim_id}.part"):
                with self.standing(place) as stands:
                    laid += stands
                    time.sleep(self.chance.choice((0.0, 0.05, 0.3)))
        return laid

    @contextlib.contextmanager
    def standing(self, place: Path) -> Iterator[bool]:
        """Stand at a place while the block runs, unless something is there; give whether it does."""
        try:
            kind = self.chance.randrange(3)
            if kind == 0:
                place.symlink_to(self._target())
            elif kind == 1:
                os.mkfifo(place)
            else:
                # To write to what is there waits for ever at a pipe of another foe's, which has no reader.
                with place.open("x") as file:
                    file.write("in the way")
        except FileExistsError:
            yield False
            return
        try:
            yield True
        finally:
            # Nothing but what is a foe's own; unlink removes no folder.
            with contextlib.suppress(OSError):
                place.unlink()

    @contextlib.contextmanager
    def _flipping(self, place: Path) -> Iterator[None]:
        """Have another thread put a link in a file's place, and the file again."""
        over = threading.Event()
        file = place.with_name(f"foe{self._number()}.tmp")
        link = place.with_name(f"foe{self._number()}.tmp")

        def flip() -> None:
            while not over.is_set():
                with contextlib.suppress(OSError):
                    file.write_bytes(b"seed = 1")
                    link.symlink_to(self._ground.outside / "secret.toml")
                    link.rename(place)
                    file.rename(place)

        thread = threading.Thread(target=flip)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _lay(self, place: Path, *, folder: bool) -> None:
        kind = self.chance.randrange(4)
        if kind == 0:
            outside = self._ground.outside
            place.symlink_to(outside if folder else outside / "secret.png")
        elif kind == 1:
            os.mkfifo(place)
        elif kind == 2:
            place.mkdir()
        else:
            bind(place)

    def _place(self) -> Path:
        stem = f"foe{self._number()}"
        folder = self.chance.choice(("", "", "", "tiny", "rejected"))
        end = self.chance.choice((".png", ".png", ".toml", ".png.why.txt"))
        (self._ground.inbox / folder).mkdir(exist_ok=True)
        return self._ground.inbox / folder / f"{stem}{end}"

    def _target(self) -> Path | str:
        outside = self._ground.outside
        return self.chance.choice(
            (
                *(outside / "secret.png", outside / "secret.png", outside / "secret.toml", outside),
                *("/dev/zero", "/proc/self/environ", "/nowhere", ".", "../state/ledger.db"),
            )
        )

    def _picture(self) -> bytes:
        if self.chance.random() < SOUND:
            file = io.BytesIO()
            draw(self._number()).save(file, "PNG")
            return file.getvalue()
        return b"no picture " + self.chance.randbytes(20)

    def _known(self) -> list[tuple[str, str]]:
        """List the claims of honest pictures that can be seen now, with their stems."""
        return [
            (claim.name, file.stem)
            for claim in children(self._ground.claimed)
            for file in children(claim)
            if file.name.startswith("cat")
        ]


def bind(place: Path) -> None:
    """Make a socket; its address is bounded, so it is made from within its folder."""
    os.chdir(place.parent)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(place.name)


def children(folder: Path) -> list[Path]:
    """List a folder of which nobody knows whether it is still there, and through no link."""
    try:
        return [] if folder.is_symlink() else list(folder.iterdir())
    except OSError:
        return []


def put_back(aside: Path, place: Path) -> None:
    """Bring a folder back to where it was; the service may have made another there meanwhile."""
    with contextlib.suppress(OSError):
        aside.rename(place)
        return
    for each in children(aside):
        with contextlib.suppress(OSError):
            each.rename(place / each.name)
    shutil.rmtree(aside, ignore_errors=True)
