"""What lies on the disk, told from sizes and remembered hashes."""

import hashlib
import os

import pytest

from zoetrope.models.manifest import Model
from zoetrope.models.store import VERIFIED, ModelState, Store, share

CONTENT = b"weights" * 1000
MODEL = Model(
    file="m.safetensors",
    folder="vae",
    bytes=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
)


@pytest.fixture
def store(tmp_path):
    (tmp_path / "own/vae").mkdir(parents=True)
    (tmp_path / "other/vae").mkdir(parents=True)
    return Store(tmp_path / "own", (tmp_path / "other",))


def test_a_file_goes_from_missing_over_partial_to_there_and_verified(store):
    assert store.look(MODEL).state is ModelState.MISSING
    store.part(MODEL).write_bytes(CONTENT[:100])
    assert (store.look(MODEL).state, store.look(MODEL).have) == (ModelState.PARTIAL, 100)
    store.part(MODEL).rename(store.target(MODEL))
    assert store.look(MODEL).state is ModelState.WRONG_SIZE
    store.target(MODEL).write_bytes(CONTENT)
    assert store.look(MODEL).state is ModelState.THERE
    assert store.verify(MODEL).state is ModelState.VERIFIED
    assert store.look(MODEL).state is ModelState.VERIFIED


def test_a_file_with_another_content_is_damaged_once_it_was_read(store):
    store.target(MODEL).write_bytes(b"x" * len(CONTENT))
    assert store.look(MODEL).state is ModelState.THERE
    assert store.verify(MODEL).state is ModelState.DAMAGED
    assert store.look(MODEL).state is ModelState.DAMAGED


def test_a_changed_file_is_no_longer_verified(store):
    target = store.target(MODEL)
    target.write_bytes(CONTENT)
    store.verify(MODEL)
    os.utime(target, ns=(1, 1))
    assert store.look(MODEL).state is ModelState.THERE


def test_a_file_of_another_folder_serves_and_a_whole_one_comes_first(store, tmp_path):
    store.target(MODEL).write_bytes(b"half")
    elsewhere = tmp_path / "other/vae/m.safetensors"
    elsewhere.write_bytes(CONTENT)
    found = store.look(MODEL)
    assert (found.state, found.path) == (ModelState.THERE, elsewhere)
    assert store.verify(MODEL).state is ModelState.VERIFIED
    assert not (tmp_path / "other" / VERIFIED).exists(), "it is only read"


@pytest.mark.parametrize("note", [b"no json", b'{"\xb2": 1}', b'{"a": ' + b"[" * 5000])
def test_an_unreadable_note_costs_nothing_but_a_computation(store, note):
    store.target(MODEL).write_bytes(CONTENT)
    (store.path / VERIFIED).write_bytes(note)
    assert store.look(MODEL).state is ModelState.THERE
    assert store.verify(MODEL).state is ModelState.VERIFIED


def test_how_much_is_there_goes_by_bytes(store):
    other = Model(file="n", folder="vae", bytes=3 * len(CONTENT))
    store.target(MODEL).write_bytes(CONTENT)
    assert share([store.look(MODEL), store.look(other)]) == 0.25
    store.part(other).write_bytes(CONTENT)
    assert share([store.look(MODEL), store.look(other)]) == 0.5
    assert share([]) == 1.0
