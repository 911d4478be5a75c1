import msgspec
import pytest

from tests.conftest import RECIPES
from tests.fakes.source_image import plain_image
from zoetrope.domain.job import Job, Progress, Stage, State
from zoetrope.domain.steps import finish_stage, start, submit, try_again
from zoetrope.domain.values import Artefact, Failure, Ticket
from zoetrope.engine.protocol import MOST_FETCHED
from zoetrope.errors import RecipeError
from zoetrope.graphs.recipe_file import Memory
from zoetrope.graphs.shelf import load, shipped
from zoetrope.jobs.stage_request import FORM_BYTES, StageRequest, expectation, most_bytes
from zoetrope.verify.expected import Expected

TINY = load(RECIPES / "tiny")
CLIP = Artefact(file="i2v-1.mp4", size=10_000, sha256="c" * 64)
WHOLE = Artefact(file="i2v-1-whole.mkv", size=50_000_000, sha256="f" * 64)


def job(handoff: Artefact | None = WHOLE) -> Job:
    image = plain_image(sha256="a" * 64, source="source.png", file="upright.png")
    made = Stage(name="i2v", state=Progress.DONE, artefacts=(CLIP,), handoff=handoff)
    return Job(
        id="0" * 32,
        created=1.0,
        updated=1.0,
        state=State.QUEUED,
        stem="cat",
        images=(image,),
        ticket=Ticket(recipe="tiny"),
        stages=(made, Stage(name="upscale")),
    )


def source(given: Job, *, max_upload: int = 100 * 1024 * 1024) -> str:
    return StageRequest(TINY, given, (), max_upload=max_upload).source


def test_the_next_stage_gets_the_frames_without_loss():
    request = StageRequest(TINY, job(), (), max_upload=100 * 1024 * 1024)
    assert request.files() == {"source": WHOLE.file}
    assert request.names() == {"source": "f" * 24 + ".mkv"}


def test_an_engine_that_takes_no_upload_so_large_gets_the_clip():
    assert source(job(), max_upload=WHOLE.size + FORM_BYTES) == WHOLE.file
    assert source(job(), max_upload=WHOLE.size + FORM_BYTES - 1) == CLIP.file


def test_a_stage_that_kept_nothing_hands_over_its_clip():
    assert source(job(handoff=None)) == CLIP.file


@pytest.mark.parametrize("chosen", [CLIP.file, WHOLE.file])
def test_an_open_attempt_goes_on_with_the_file_it_was_decided_with(chosen):
    begun = submit(job(), 2.0, "e", source=chosen)
    assert source(begun, max_upload=1) == chosen
    assert source(begun, max_upload=10**9) == chosen


def test_the_first_stage_reads_the_picture_alone():
    fresh = msgspec.structs.replace(job(), stages=(Stage(name="i2v"), Stage(name="upscale")))
    request = StageRequest(TINY, fresh, (), max_upload=0)
    assert (request.source, request.files()) == ("", {"picture": "upright.png"})


def test_both_files_of_an_attempt_have_names_of_their_own():
    fresh = msgspec.structs.replace(job(), stages=(Stage(name="i2v"), Stage(name="upscale")))
    graph = StageRequest(TINY, fresh, (), max_upload=0).graph({"picture": "a.png"})
    prefixes = [graph[node].inputs["filename_prefix"] for node in ("save", "keep")]
    assert prefixes == ["zoetrope/00000000-i2v-1", "zoetrope/00000000-i2v-1-whole"]


CARDS = {16: Memory(), 24: Memory(pixels=16384), 80: Memory(pixels=65536)}
SIZED = msgspec.structs.replace(TINY, file=msgspec.structs.replace(TINY.file, memory=CARDS))
FRESH = msgspec.structs.replace(job(), stages=(Stage(name="i2v"), Stage(name="upscale")))


def test_a_job_is_planned_for_the_card_that_it_goes_to():
    sizes = {
        gb: StageRequest(SIZED, FRESH, (), max_upload=0, memory=gb).plan.width
        for gb in (0.0, 23.6, 79.2)
    }
    assert sizes == {0.0: 64, 23.6: 128, 79.2: 256}


def test_an_open_attempt_keeps_the_size_of_the_card_that_it_was_decided_for():
    begun = submit(FRESH, 2.0, "e", memory=23.6)
    request = StageRequest(SIZED, begun, (), max_upload=0, memory=79.2)
    assert (request.plan.width, request.memory) == (128, 23.6)
    assert expectation(SIZED, request.spec, begun).width == 128


def test_a_clip_keeps_its_size_on_whatever_card_it_goes_on():
    made = finish_stage(start(submit(FRESH, 2.0, "e", memory=23.6), 3.0), 4.0, (CLIP,))
    request = StageRequest(SIZED, made, (), max_upload=0, memory=79.2)
    assert (request.spec.name, request.plan.width, request.memory) == ("upscale", 128, 79.2)


def test_a_stage_that_failed_is_planned_anew_for_the_next_card():
    failure = Failure(kind="oom", message="no room")
    failed = try_again(start(submit(FRESH, 2.0, "e", memory=79.2), 3.0), 4.0, failure, ())
    assert StageRequest(SIZED, failed, (), max_upload=0, memory=23.6).plan.width == 128


def test_the_recipe_is_that_of_the_card_in_all_its_settings():
    cards = {16: Memory(), 24: Memory(set={"ks_high.steps": 9})}
    recipe = msgspec.structs.replace(
        TINY,
        file=msgspec.structs.replace(
            TINY.file,
            memory=cards,
            parameters={k: v for k, v in TINY.file.parameters.items() if k != "steps"},
        ),
    )
    for gigabytes, steps in ((15.6, 4), (23.6, 9)):
        request = StageRequest(recipe, FRESH, (), max_upload=0, memory=gigabytes)
        assert request.graph({"picture": "a.png"})["ks_high"].inputs["steps"] == steps


@pytest.mark.parametrize(("second", "frames"), [("a", 80), ("b", 81)])
def test_of_a_loop_one_frame_fewer_is_expected(second, frames):
    flf = load(shipped() / "wan22-flf")
    first = FRESH.images[0]
    last = msgspec.structs.replace(first, sha256=second * 64, file="upright-end.png")
    pair = msgspec.structs.replace(FRESH, images=(first, last), stages=(Stage(name="flf"),))
    request = StageRequest(flf, pair, (), max_upload=0)
    assert request.files() == {"picture": "upright.png", "end_picture": "upright-end.png"}
    assert expectation(flf, request.spec, pair).frames == frames
    assert (
        request.graph({"picture": "a.png", "end_picture": "b.png"})["frames"].inputs["length"]
        == frames
    )


def test_a_recipe_that_keeps_frames_at_a_node_it_lacks_is_refused(tmp_path):
    for file in (RECIPES / "tiny").iterdir():
        text = file.read_text().replace('output = "keep"', 'output = "kept"')
        (tmp_path / file.name).write_text(text)
    with pytest.raises(RecipeError, match="has no node 'kept'"):
        load(tmp_path)


def test_a_file_is_at_most_as_large_as_its_frames_without_compression():
    clip = Expected(frames=81, width=1280, height=720)
    assert most_bytes(clip) == (256 << 20) + 81 * 1280 * 720 * 6
    larger = msgspec.structs.replace(clip, size="larger")
    assert most_bytes(larger) > 16 * 81 * 1280 * 720
    assert most_bytes(Expected()) == MOST_FETCHED
    assert most_bytes(Expected(frames=10**9, width=10**6, height=10**6)) == MOST_FETCHED
