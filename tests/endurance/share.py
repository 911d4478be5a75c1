"""Hostile things on the share: laid by members while the service works and honest pictures come in."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import time
import urllib.request
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.endurance.foes import KINDS, Foes, Ground, children
from tests.endurance.haste import hasten
from tests.endurance.part import Part, UnfitMachineError
from tests.endurance.world import World
from tests.fakes.members import GROUP, MEMBER

SECONDS = 10.0  # of a round, before all has to end well
FOES = 2
OLD = 1_000_000_000 * 10**9  # an access time before the time of change: any read sets it anew


def share(part: Part) -> None:
    """Let foes act, and people drop pictures, and the service be killed now and then; then look at everything."""
    world = World(part)
    world.whose = honest
    canary = Canary(world.service.root.parent / "outside", part.random.randbytes(12).hex())
    canary.prove()
    inbox, outbox = world.service.inbox, world.service.outbox
    ground = Ground(inbox=inbox, outbox=outbox, outside=canary.folder, open=canary.open)
    open_to_members(part, world)
    foes = Foes(ground)
    world.prepare = prepare
    part.points.update(dict.fromkeys(KINDS, 0))
    part.counts.update({"hostile things on the share": 0, "honest pictures among them": 0})
    try:
        world.engine.start()
        while part.left():
            foes.begin([part.random.randrange(2**32) for _ in range(FOES)])
            try:
                _live(part, world, canary)
            finally:
                foes.call_back()
            _count(part, foes)
            tidy(ground)
            world.service.kill()  # what a foe hid for a moment is found again by the next start
            part.counts["honest pictures among them"] += len(world.wanted)
            _look(part, world, canary)
            world.settle()
            _sweep(ground)
            part.tick()
    finally:
        world.close()


def honest(name: str) -> bool:
    """Tell the pictures of people who mean well from those of foes."""
    return name.startswith("cat")


def prepare() -> None:
    """In the service's process: what it makes is open to the group, as its unit has it."""
    hasten()
    os.umask(0o007)


def open_to_members(part: Part, world: World) -> None:
    """Make the inbox like one in a member's home, where claims are open to members; the state is not."""
    service = world.service
    for folder in (part.root.parent, part.root, service.root):
        folder.chmod(folder.stat().st_mode | 0o011)
    service.state.mkdir(mode=0o700, exist_ok=True)
    if os.geteuid() == 0:
        os.chown(service.inbox, MEMBER, GROUP)
        os.chown(service.outbox, MEMBER, GROUP)
    for folder in (service.inbox, service.outbox):
        folder.chmod(0o2770)


class Canary:
    """A folder outside of the share that nobody may list, read, move or write to."""

    def __init__(self, folder: Path, marker: str) -> None:
        self.folder = folder
        self.marker = marker.encode()
        self.open = folder.with_name("open.png")
        for name in ("secret", "cat", "tiny/cat", f"{'ab' * 16}/cat", "rejected/cat"):
            place = folder / f"{name}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            self._draw(place)
            place.with_suffix(".toml").write_text(f'prompt = "{marker}"')
            place.with_name(f"{place.name}.why.txt").write_text(marker)
        (folder / "receipt.json").write_text(f'{{"job": "{"ab" * 16}", "marker": "{marker}"}}')
        (folder / "ticket.toml").write_text(f'prompt = "{marker}"')
        self._draw(self.open)
        if os.geteuid() == 0:
            os.chown(self.open, MEMBER, GROUP)
        self.digests = {
            hashlib.sha256(file.read_bytes()).hexdigest() for file in (folder / "secret.png", self.open)
        }  # fmt: skip
        self.paths = sorted((folder, self.open, *folder.rglob("*")), reverse=True)
        self._names = set(folder.rglob("*"))
        for path in self.paths:
            if path.is_dir():  # foes cannot list it either, so whoever does is the service
                path.chmod(0o711)
            os.utime(path, ns=(OLD, OLD + 1))
        self._seen = {path: self.state(path) for path in self.paths}

    def prove(self) -> None:
        """See that a read and a listing are noticed here: where a file system notes neither, all would seem well."""
        read, listed = self.folder / "secret.png", self.folder / "tiny"
        read.read_bytes()
        children(listed)
        if blind := {str(read), str(listed)} - set(self.check()):
            raise UnfitMachineError(
                f"This part cannot run: that {sorted(blind)} were read leaves no trace, as their file system is mounted"
                " with noatime; set TMPDIR to a folder on one that notes when files are read."
            )

    def check(self) -> list[str]:
        """Name what is not as it was: bytes, names, modes, and what somebody has read or listed since the last look."""
        found = [
            str(path)
            for path in self.paths
            if not os.path.lexists(path) or self.state(path) != self._seen[path]
        ]
        found += [str(path) for path in set(self.folder.rglob("*")) ^ self._names]
        for path in self.paths:
            if path.exists():
                os.utime(path, ns=(OLD, OLD + 1))
        return found

    def told(self, folders: tuple[Path, ...]) -> list[str]:
        """Name the files in which what lies outside can be read."""
        own = {(status.st_dev, status.st_ino) for status in map(os.lstat, self.paths)}
        found = []
        for path in (path for folder in folders for path in (folder, *folder.rglob("*"))):
            with contextlib.suppress(FileNotFoundError):
                if path.is_symlink() or not path.is_file():
                    continue
                status = path.stat()
                if (status.st_dev, status.st_ino) in own:
                    continue
                if self.marker in path.read_bytes():
                    found.append(str(path))
        return found

    def _draw(self, place: Path) -> None:
        text = PngInfo()
        text.add_text("Comment", self.marker.decode())
        Image.new("RGB", (64, 64), (255, 0, 255)).save(place, "PNG", pnginfo=text)

    def state(self, path: Path) -> tuple[int, ...]:
        status = path.lstat()
        # A link to the open one counts its names, and its change time.
        names = 0 if path == self.open else status.st_nlink
        return status.st_mode, status.st_size, status.st_mtime_ns, status.st_atime_ns, names


def tidy(ground: Ground) -> None:
    """Remove what stands in the way of people, as an operator does who was told of it."""
    for place in (ground.claimed, ground.inbox / "rejected", ground.outbox / "review"):
        if place.is_symlink():
            place.unlink()
    (ground.inbox / "ticket.toml").unlink(missing_ok=True)


def _sweep(ground: Ground) -> None:
    """Remove what foes laid, so that the next round is not about the rubbish of this one."""
    for folder in (ground.inbox, ground.claimed, ground.inbox / "rejected", ground.outbox):
        for path in children(folder):
            if path.name in (".zoetrope", ".zoetrope-outbox", "rejected"):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _live(part: Part, world: World, canary: Canary) -> None:
    until = time.monotonic() + SECONDS
    world.service.start(prepare=world.prepare)  # no round leaves it running
    while time.monotonic() < until:
        process = world.service.process
        assert process is not None
        if (ended := process.poll()) is not None:
            part.promise(ended == -signal.SIGKILL, f"the service ended by itself with {ended}")
            world.service.start(prepare=world.prepare)
        world.drop_something()
        time.sleep(part.random.uniform(0.5, 1.5))
        with urllib.request.urlopen(f"{world.service.url}/healthz", timeout=30) as answer:
            part.promise(answer.status == 200, "the service does not answer")
        if part.random.random() < 0.15:
            world.service.kill()
            part.counts["kills"] += 1


def _count(part: Part, foes: Foes) -> None:
    for kind, number in foes.counts().items():
        part.counts["hostile things on the share"] += number - part.points[kind]
        part.points[kind] = number


def _look(part: Part, world: World, canary: Canary) -> None:
    """See that nothing outside was touched, and nothing of it told."""
    service = world.service
    touched = canary.check()
    names = sorted(os.path.relpath(each, canary.folder.parent) for each in touched)
    part.promise(not touched, f"outside of the share was touched: {names}")
    told = canary.told((service.inbox, service.outbox, service.state, service.log))
    part.promise(not told, f"what lies outside of the share is in {told}")
    images = {image.sha256: job.stem for job in world.jobs() for image in job.images}
    taken = [images[digest] for digest in canary.digests & set(images)]
    part.promise(not taken, f"of pictures outside of the share there are jobs: {taken}")
