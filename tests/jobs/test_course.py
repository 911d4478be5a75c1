import msgspec
import pytest

from tests.conftest import RECIPES
from zoetrope.errors import RecipeError
from zoetrope.graphs.shelf import load
from zoetrope.jobs.course import FORM_BYTES, Course
from zoetrope.jobs.job import Artefact, Job, Progress, Stage, State, Still, Ticket, submit

TINY = load(RECIPES / "tiny")
CLIP = Artefact(file="i2v-1.mp4", size=10_000, sha256="c" * 64)
WHOLE = Artefact(file="i2v-1-whole.mkv", size=50_000_000, sha256="f" * 64)


def job(handoff: Artefact | None = WHOLE) -> Job:
    still = Still(
        name="cat.png",
        sha256="a" * 64,
        size=1,
        format="PNG",
        width=64,
        height=64,
        source="source.png",
        file="upright.png",
    )
    made = Stage(name="i2v", state=Progress.DONE, artefacts=(CLIP,), handoff=handoff)
    return Job(
        id="0" * 32,
        created=1.0,
        updated=1.0,
        state=State.QUEUED,
        stem="cat",
        stills=(still,),
        ticket=Ticket(recipe="tiny"),
        stages=(made, Stage(name="upscale")),
    )


def source(given: Job, *, max_upload: int = 100 * 1024 * 1024) -> str:
    return Course(TINY, given, (), max_upload=max_upload).source


def test_the_next_stage_gets_the_frames_without_loss():
    course = Course(TINY, job(), (), max_upload=100 * 1024 * 1024)
    assert course.files() == {"source": WHOLE.file}
    assert course.names() == {"source": "f" * 24 + ".mkv"}


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
    course = Course(TINY, fresh, (), max_upload=0)
    assert (course.source, course.files()) == ("", {"picture": "upright.png"})


def test_both_files_of_an_attempt_have_names_of_their_own():
    fresh = msgspec.structs.replace(job(), stages=(Stage(name="i2v"), Stage(name="upscale")))
    graph = Course(TINY, fresh, (), max_upload=0).graph({"picture": "a.png"})
    prefixes = [graph[node].inputs["filename_prefix"] for node in ("save", "keep")]
    assert prefixes == ["zoetrope/00000000-i2v-1", "zoetrope/00000000-i2v-1-whole"]


def test_a_recipe_that_keeps_frames_at_a_node_it_lacks_is_refused(tmp_path):
    for file in (RECIPES / "tiny").iterdir():
        text = file.read_text().replace('output = "keep"', 'output = "kept"')
        (tmp_path / file.name).write_text(text)
    with pytest.raises(RecipeError, match="has no node 'kept'"):
        load(tmp_path)
