"""No name that a person gives makes a name of ours too long, or unfit for a share."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.fakes.source_image import plain_image
from zoetrope.beneath import Beneath, hidden_name
from zoetrope.domain.job import Job, Progress, Stage, State
from zoetrope.domain.values import Artefact, Ticket
from zoetrope.file_names import NAME_BYTES, STEM_BYTES, fitted, safe_stem
from zoetrope.host import shown
from zoetrope.inbox.claim import Claim
from zoetrope.inbox.entry import classify
from zoetrope.inbox.job_input import from_claim, from_upload
from zoetrope.inbox.refusal import free_names, reason_name
from zoetrope.jobs.outbox import contents, folder_name

ID = "1f3a9c2e" * 4


@pytest.mark.parametrize(
    ("stem", "safe"),
    [
        ("Жук & co (1)", "Жук & co (1)"),
        ("🐈\u200d⬛", "🐈\u200d⬛"),
        ("-rf", "_rf"),
        ("two\nlines", "two_lines"),
        ("what?: <a|b>", "what__ _a_b_"),
        ("evil\u202egnp", "evil_gnp"),
        ("e\u0301", "\u00e9"),
        ("trailing. . ", "trailing"),
        (" ", "picture"),
        ("\udcff", "_"),
    ],
)
def test_a_stem_is_made_safe_for_every_share(stem, safe):
    assert safe_stem(stem) == safe


@pytest.mark.parametrize("device", ["con", "AUX", "Lpt1", "com²", "nul.b", "prn .x"])
def test_no_file_is_called_like_a_device_of_windows(device):
    assert safe_stem(device) == safe_stem(f" {device}.") == f"_{device}"
    assert len(safe_stem(f"con.{'x' * STEM_BYTES}").encode()) <= STEM_BYTES
    for harmless in (f"{device.partition('.')[0].strip()}a", f"a {device}"):
        assert not safe_stem(harmless).startswith("_")


def test_long_stems_that_begin_alike_stay_apart_and_are_cut_once():
    one, other = (safe_stem("Ж" * 120 + end) for end in ("a", "b"))
    assert one != other
    assert one.startswith("Ж" * 90)
    assert safe_stem(one) == one


def names(job: Job) -> Iterator[str]:
    """Give every name that the service makes for a job, in its inbox, its outbox and its review."""
    for whole in (False, True):
        yield folder_name(job, whole=whole)
        yield f"{folder_name(job, whole=whole)}-9" if whole else folder_name(job)
    for path in contents(job):
        yield from path.split("/")
        yield hidden_name(path).rpartition("/")[2]
    for image in job.images:
        for name in (image.name, fitted(image.name, f"-{job.short}.png")):
            yield reason_name(name)
            yield fitted(name, " (99).png")


RAW = st.one_of(
    st.binary(min_size=1, max_size=255),
    # The longest ones, of letters of one to four bytes.
    st.tuples(st.sampled_from("aé漢🐈."), st.integers(242, 255)).map(
        lambda each: (each[0].encode() * 255)[: each[1]]
    ),
).filter(lambda raw: b"/" not in raw and b"\0" not in raw)


@given(RAW, RAW)
@example(b"a" * 251 + b".png", b"a" * 255)
@example("🐈".encode() * 63 + b".md", b"\xff" * 255)
def test_whatever_a_picture_and_its_video_are_called_every_name_fits(raw, title):
    name = os.fsdecode(raw)
    entry = classify(name)
    claim = Claim(id=ID, inbox=Path("/inbox"), home=".zoetrope/x", pictures=(name,))
    stems = {safe_stem(entry.stem or name), from_upload(ID, ((Path("/x"), name),), {}).stem}
    if entry.stem:
        stems.add(from_claim(claim, 0.0).stem)
    for stem in stems:
        assert 0 < len(stem.encode()) <= STEM_BYTES
        for called in (None, safe_stem(os.fsdecode(title))):
            for made in names(job_of(stem, shown(name), called)):
                assert 0 < len(os.fsencode(made)) <= NAME_BYTES
                assert "/" not in made
                made.encode()  # no letter is cut in two


def job_of(stem: str, name: str, called: str | None) -> Job:
    def stage(of: str) -> Stage:
        files = tuple(Artefact(file=f"{of}-{n}.webm", size=1, sha256="1" * 64) for n in range(3))
        return Stage(name=of, state=Progress.DONE, artefacts=files, poster=f"{of}.jpg")

    job = Job(
        id=ID,
        created=1.0,
        updated=1.0,
        state=State.RUNNING,
        stem=stem,
        ticket=Ticket(recipe="tiny", name=called),
        images=(plain_image("cat.png", size=3, width=1, height=1, file="upright.png"),) * 2,
        stages=(stage("i" * 64), stage("upscale")),
    )
    images = tuple(msgspec.structs.replace(image, name=name) for image in job.images)
    return msgspec.structs.replace(job, images=images)


@given(RAW)
@example(b"a" * 251 + b".png")
@example("漢".encode() * 85)
def test_a_name_that_is_taken_gets_a_number_that_fits(raw):
    name = os.fsdecode(raw)
    if name in (".", ".."):
        return
    with tempfile.TemporaryDirectory() as root, Beneath(root) as tree:
        for _ in range(3):
            (free,) = free_names(tree, "", [name])
            assert len(os.fsencode(free)) <= NAME_BYTES
            Path(root, free).touch(exist_ok=False)


def test_a_job_of_an_earlier_version_with_a_longer_stem_is_published_too():
    job = job_of("a" * 246, "cat.png", None)
    assert all(len(os.fsencode(made)) <= NAME_BYTES for made in names(job))
    assert folder_name(job) == "a" * 246 + "-1f3a9c2e"
