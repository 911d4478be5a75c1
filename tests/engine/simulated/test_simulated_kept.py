"""An engine that runs for months: it keeps the files and the history of the prompts that ended last, and nothing grows."""

import gc
from pathlib import Path

import msgspec

from tests.engine.simulated.stage import node, picture, png, tiny
from tests.engine.simulated.test_simulated_protocol import upload
from zoetrope.engine.simulated.kept import KeptFiles


def lay(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def there(home):
    return {p.relative_to(home).as_posix() for p in home.rglob("*") if p.is_file()} - {"made.txt"}


def opened(home, keep=3):
    kept = KeptFiles(home, keep)
    kept.open()
    return kept


def test_files_of_the_prompts_that_ended_last_stay_and_older_ones_go_with_their_folders(tmp_path):
    kept = opened(tmp_path)
    for number in range(10):
        lay(kept.made(tmp_path / f"output/{number}/x.mp4"))
        kept.ended([], [])
    assert there(tmp_path) == {f"output/{n}/x.mp4" for n in (7, 8, 9)}
    assert {p.name for p in (tmp_path / "output").iterdir()} == {"7", "8", "9"}
    assert len(kept) == 3


def test_an_upload_stays_while_prompts_use_it_and_longer_while_none_has(tmp_path):
    kept = opened(tmp_path)
    used, fresh = lay(tmp_path / "input/used.png"), lay(tmp_path / "input/fresh.png")
    for path in (used, fresh):
        with kept.lock:
            kept.given(path, new=True)
    for _ in range(5):
        kept.ended([used], [])
    for _ in range(2):
        kept.ended([], [])
    assert there(tmp_path) == {"input/used.png", "input/fresh.png"}
    kept.ended([], [])
    assert there(tmp_path) == {"input/fresh.png"}
    for _ in range(30):
        kept.ended([], [])
    assert there(tmp_path) == set()


def test_what_a_waiting_prompt_needs_stays_however_old_it_is(tmp_path):
    kept = opened(tmp_path)
    needed = lay(kept.made(tmp_path / "output/latent.latent"))
    for _ in range(50):
        kept.ended([], [needed])
    assert needed.exists()
    # Asked for again in the moment in which it would go.
    kept.wanted([needed])
    kept.ended([], [])
    assert needed.exists()


def test_files_of_others_are_never_touched(tmp_path):
    mine = [lay(tmp_path / f"{folder}/mine.png") for folder in ("input", "output", "models")]
    kept = opened(tmp_path)
    with kept.lock:
        # An upload of the same name and content, or over it: the file was there before.
        kept.given(mine[0], new=False)
    for _ in range(50):
        kept.ended(mine, [])
    assert all(path.exists() for path in mine)


def test_a_later_process_knows_what_an_earlier_one_made(tmp_path):
    kept = opened(tmp_path)
    lay(tmp_path / "output/theirs.png")
    for number in range(3):
        lay(kept.made(tmp_path / f"output/{number}.png"))
    for _ in range(4):
        kept = opened(tmp_path)
        for _ in range(3):
            kept.ended([], [])
        assert len(there(tmp_path)) == 4
    kept.ended([], [])
    assert there(tmp_path) == {"output/theirs.png"}


def test_the_list_of_what_was_made_does_not_grow_and_names_nothing_outside(tmp_path):
    outside = lay(tmp_path / "precious")
    home = tmp_path / "home"
    home.mkdir()
    (home / "made.txt").write_text(f"../precious\n{outside}\n/etc/hostname\n\n\x00\n")
    kept = opened(home)
    for number in range(1200):
        lay(kept.made(home / f"output/{number}"))
        kept.ended([], [])
    assert outside.exists()
    assert len((home / "made.txt").read_text().splitlines()) < 1000


def test_an_engine_that_keeps_everything_removes_nothing(tmp_path):
    kept = opened(tmp_path, keep=0)
    for number in range(20):
        lay(kept.made(tmp_path / f"output/{number}"))
        kept.ended([], [])
    assert len(there(tmp_path)) == 20


#: The least that a prompt can be: one picture in, one out.
def small(name, number):
    return {
        "1": node("LoadImage", image=name),
        "2": node("SaveImage", images=["1", 0], filename_prefix=f"zoetrope/{number}/small"),
    }


async def feed(client, numbers):
    """Give the engine pictures and prompts as the service does, each of its own; return the last history."""
    for number in numbers:
        name = f"{number}.png"
        status, _ = await upload(
            client, name, png(picture(16, 16 + number % 7)) + b"%d" % number, subfolder="zoetrope"
        )
        assert status == 200
        prompt_id = await client.submit(small(f"zoetrope/{name}", number))
        entry = await client.ended(prompt_id)
        assert entry["status"]["completed"], entry
        # What a client relies on: an ended prompt is in the history, and its files can be fetched.
        (shown,) = entry["outputs"]["2"]["images"]
        path = f"/view?filename={shown['filename']}&subfolder={shown['subfolder']}"
        assert (await client.get(path))[0] == 200


def held():
    """Count what answers, events and entries are made of; timers and the like come and go."""
    gc.collect()
    ours = (dict, list, tuple, set, frozenset, msgspec.Struct)
    return sum(isinstance(each, ours) for each in gc.get_objects())


async def test_100_prompts_later_there_are_no_more_files_entries_or_objects(start):
    keep = 10
    client = await start(keep=keep)
    # First, so that the caches of the libraries are as full as they get.
    await feed(client, range(130))
    before = held()
    await feed(client, range(130, 230))
    after = held()
    # A picture that a client put there itself, and what the last prompts made and read.
    assert len(there(client.home)) == 1 + 2 * keep
    assert len((await client.get("/history"))[1]) == keep
    assert (await client.get("/api/jobs"))[1]["pagination"]["total"] == keep
    assert len(list((client.home / "output/zoetrope").iterdir())) == keep
    # One that stays for each prompt would be 100.
    assert after - before < 50


async def test_pictures_of_prompts_that_wait_outlast_every_prompt_before_them(start):
    client = await start(keep=2)
    for number in range(12):
        await upload(client, f"{number}.png", png(picture(16, 16 + number)), subfolder="zoetrope")
    ids = [await client.submit(small(f"zoetrope/{n}.png", n)) for n in range(12)]
    for prompt_id in ids[-2:]:
        assert (await client.ended(prompt_id))["status"]["completed"]
    history = (await client.get("/history"))[1]
    assert list(history) == ids[-2:]


async def test_a_video_goes_with_the_picture_next_to_it(start):
    client = await start(keep=1)
    graph = tiny()
    graph["16"] = node("VHS_VideoCombine", **VHS)
    del graph["17"]
    played = await client.play(graph)
    made = there(client.home) - {"input/start.png"}
    assert {Path(name).suffix for name in made} == {".mp4", ".png"}
    assert played.entry["status"]["completed"]
    for number in range(2):
        prompt_id = await client.submit(small("start.png", number))
        await client.ended(prompt_id)
    assert not made & there(client.home)
    assert (client.home / "input/start.png").exists()


VHS = {
    "images": ["15", 0],
    "frame_rate": 16.0,
    "loop_count": 0,
    "filename_prefix": "zt/vhs",
    "format": "video/h264-mp4",
    "pingpong": False,
    "save_output": True,
}
