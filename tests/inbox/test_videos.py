"""Videos on their way in: the right recipe takes them, any other says where they belong."""

import hashlib

import msgspec
import pytest

from tests.conftest import RECIPES
from tests.inbox.test_moving import film
from zoetrope.domain import steps
from zoetrope.domain.job import State
from zoetrope.graphs.shelf import Recipes, load

UPSCALE = "seedvr2-rife-upscale"
SHIPPED = RECIPES.parent.parent / "workflows"


@pytest.fixture
def shop(world):
    """The small world with the shipped recipe for videos beside its own."""
    world.recipes = Recipes((world.root / "recipes", SHIPPED))
    world.make_intake()
    return world


def drop(world, name, data, folder=UPSCALE):
    file = world.inbox / folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(data)
    return f"{folder}/{name}" if folder else name


async def test_a_video_becomes_a_job_with_its_first_frame(shop):
    job = await shop.take(drop(shop, "cat.mp4", film()))
    assert (job.state, job.ticket.recipe) == (State.QUEUED, UPSCALE)
    [video] = job.images
    assert (video.format, video.width, video.height, video.frames) == ("MP4", 64, 48, 9)
    assert (video.source, video.file) == ("source.mp4", "upright.png")
    assert (shop.settings.work / job.id / "upright.png").is_file()
    assert [stage.name for stage in job.stages] == ["upscale"]


async def test_a_video_for_a_recipe_of_pictures_is_told_where_it_belongs(shop):
    job = await shop.take(drop(shop, "cat.mp4", film(), folder=""))
    assert job.reason.key == "video-unwanted"
    assert UPSCALE in job.reason.next_step


async def test_a_picture_for_a_recipe_of_videos_is_refused(shop, picture):
    (shop.inbox / UPSCALE).mkdir()
    picture("cat.png").rename(shop.inbox / UPSCALE / "cat.png")
    assert (await shop.take(f"{UPSCALE}/cat.png")).reason.key == "video-wanted"


@pytest.mark.parametrize(
    ("ticket", "key"),
    [
        ("frames = 9", "ticket-key"),
        ("width = 640", "ticket-key"),
        ("prompt = 'she turns'", "ticket-key"),
        ("resolution = 481", "ticket-value"),
        ("batch = 12", "ticket-value"),
    ],
)
async def test_what_a_video_has_of_its_own_cannot_be_asked_for(shop, ticket, key):
    path = drop(shop, "cat.mp4", film())
    drop(shop, "cat.toml", ticket.encode())
    job = await shop.take(path, tickets=(f"{UPSCALE}/cat.toml",))
    assert job.reason.key == key


@pytest.mark.parametrize(
    ("video", "key"),
    [
        (lambda: film(frames=4), "video-length"),
        (lambda: film(frames=242, size=(32, 16)), "video-too-long"),
        (lambda: film(fps=100), "video-rate"),
        (lambda: b"no video at all", "video-unknown"),
    ],
)
async def test_a_video_out_of_range_is_refused_before_any_work(shop, video, key):
    assert (await shop.take(drop(shop, "cat.mp4", video()))).reason.key == key


async def test_a_video_that_would_not_grow_is_refused_with_a_size_that_would(shop):
    job = await shop.take(drop(shop, "big.mp4", film(size=(1920, 1080), frames=5)))
    assert job.reason.key == "video-size"
    assert "resolution = 1620" in job.reason.next_step


async def test_a_clip_of_ours_is_worked_on_further_but_not_twice_by_the_same_recipe(shop, picture):
    first = await shop.take(picture("cat.png").name)
    await _publish(shop, first, film())
    second = await shop.take(drop(shop, "cat.mp4", film()))
    assert second.state is State.QUEUED
    await _publish(shop, second, film(frames=11))
    third = await shop.take(drop(shop, "cat-again.mp4", film(frames=11)))
    assert third.reason.key == "own-output"
    assert second.short in third.reason.sentence


async def test_a_picture_that_we_made_ourselves_is_refused(shop, picture):
    made = picture("cat.png")
    data = made.read_bytes()
    await _publish(shop, await shop.take("cat.png"), data)
    (shop.inbox / "again.png").write_bytes(data)
    assert (await shop.take("again.png")).reason.key == "own-output"


def test_the_recipe_does_to_a_video_what_the_hero_does_to_its_clip():
    hero = load(SHIPPED / "wan22-i2v-hero")
    own = load(SHIPPED / UPSCALE)
    one, other = hero.graphs["workflow-upscale-only.json"], own.graphs["workflow.json"]
    for node in ("dit", "upvae", "upscale", "rife"):
        assert one[node] == other[node]
    assert hero.stage("upscale").fallbacks == own.stage("upscale").fallbacks


async def _publish(world, job, data):
    """Say that these bytes are what a job made."""

    def done(before):
        before = msgspec.structs.replace(before, state=State.RUNNING, stages=())
        return steps.publish(before, 2.0, "made")

    await world.ledger.publish(job.id, done, [hashlib.sha256(data).hexdigest()])
