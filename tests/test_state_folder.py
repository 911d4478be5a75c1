"""Nobody but the service reads or changes its state, on a host whose state folder was open before too."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.fakes.members import GROUP, MEMBER, SERVICE, as_user, needs_root
from zoetrope import state_folder
from zoetrope.settings import InboxSettings, OutboxSettings, Settings, StateSettings

SECRETS = (
    "ledger.db",
    "login-key",
    "outbox.json",
    "work/ab/cat.png",
    "recipe-versions/cd/one.json",
)


@pytest.fixture
def settings() -> Iterator[Settings]:
    """A host as an earlier version left it: everything belongs to the share's group, which may write it."""
    root = Path(tempfile.mkdtemp(dir="/tmp"))
    root.chmod(0o755)
    state = root / "state"
    for name in SECRETS:
        (state / name).parent.mkdir(parents=True, exist_ok=True)
        (state / name).write_text("a secret")
    for folder in ("inbox", "state/share/outbox"):
        (root / folder).mkdir(parents=True)
    for path in root.rglob("*"):
        os.chown(path, SERVICE, GROUP)
        path.chmod(0o2770 if path.is_dir() else 0o660)
    yield Settings(
        state=StateSettings(path=state),
        inbox=InboxSettings(path=root / "inbox"),
        outbox=OutboxSettings(path=root / "outbox"),
    )
    shutil.rmtree(root)


def reached(settings: Settings) -> set[str]:
    """Name what a member of the share's group reads or changes of the state."""
    found = set()
    for name in SECRETS:
        path = settings.state.path / name

        def change(path: Path = path) -> None:
            assert path.read_text() == "a secret"
            path.write_text("a secret")

        if not as_user(MEMBER, change):
            found.add(name)
    return found


@needs_root
@pytest.mark.parametrize("inside", [False, True], ids=["apart", "the outbox is inside"])
def test_a_member_of_the_share_s_group_reaches_nothing_of_the_state(settings, inside):
    state = settings.state.path
    outbox = state / "share/outbox"
    if inside:
        settings = msgspec.structs.replace(settings, outbox=OutboxSettings(path=outbox))
    assert reached(settings) == set(SECRETS), "as an earlier version left it"
    assert as_user(SERVICE, lambda: state_folder.close(settings)) == ""
    assert reached(settings) == set()
    assert as_user(SERVICE, lambda: [(state / name).read_text() for name in SECRETS]) == ""

    assert as_user(MEMBER, lambda: (state / "work").rename(state / "mine")) != ""

    def share() -> None:
        (outbox / "theirs.txt").write_text("x")

    assert (as_user(MEMBER, share) == "") is inside


@needs_root
def test_a_new_folder_is_closed_and_one_of_another_user_is_left_alone(settings):
    new = settings.state.path / "new"
    fresh = msgspec.structs.replace(settings, state=StateSettings(path=new))
    assert as_user(SERVICE, lambda: state_folder.close(fresh)) == ""
    assert new.stat().st_mode & 0o777 == 0o700
    os.chown(settings.state.path, MEMBER, GROUP)
    assert as_user(SERVICE, lambda: state_folder.close(settings)) == ""
    assert settings.state.path.stat().st_mode & 0o777 == 0o770


async def test_a_share_that_does_not_answer_keeps_no_service_from_its_start(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(state_folder, "PATIENCE", 0.05)
    silent = threading.Event()
    realpath = os.path.realpath

    def slow(path):
        if str(path).endswith("inbox"):
            silent.wait(60)
        return realpath(path)

    monkeypatch.setattr(os.path, "realpath", slow)
    settings = Settings(
        state=StateSettings(path=tmp_path / "state"), inbox=InboxSettings(path=tmp_path / "inbox")
    )
    settings.state.path.mkdir()
    settings.state.path.chmod(0o777)
    await state_folder.close_in_time(settings)
    assert [record.action for record in caplog.records] == ["state-open"]
    # What is to be opened next is nothing that a member may write, however long the share is silent.
    async with asyncio.timeout(60):
        while settings.state.path.stat().st_mode & 0o022:
            await asyncio.sleep(0.01)
    silent.set()
    async with asyncio.timeout(60):
        while settings.state.path.stat().st_mode & 0o077:
            await asyncio.sleep(0.01)


def test_a_ring_of_links_in_the_settings_is_no_error_of_the_state(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    settings = Settings(
        state=StateSettings(path=tmp_path / "state"), inbox=InboxSettings(path=tmp_path / "a")
    )
    state_folder.close(settings)
    assert settings.state.path.stat().st_mode & 0o777 == 0o700
