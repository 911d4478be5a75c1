import asyncio
import os
import random
import socket

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.fakes import IMAGE, make_job
from tests.web.test_jobs import problem
from zoetrope.domain.job import Progress, Stage, State
from zoetrope.domain.values import Artefact, Ticket
from zoetrope.jobs.outbox import Outbox, contents, pieces
from zoetrope.web.files import ByteRange, span
from zoetrope.web.problems import BadRange

CLIP = random.Random(7).randbytes(1_000_000)  # more than one piece


def artefact(file):
    return Artefact(file=file, size=1, sha256="0" * 64)


def stages(*names, review=False):
    return tuple(
        Stage(
            name=name,
            state=Progress.DONE,
            review=review,
            artefacts=(artefact(f"{name}-1.mp4"),),
            poster=f"{name}-1.jpg",
        )
        for name in names
    )


@pytest.fixture
def put(parts):
    """Write a job and its files as they lie on the disk in its state."""

    async def put(state=State.DONE, **changes):
        made = stages("i2v", "upscale")
        if state is not State.DONE:
            made = (*stages("i2v", review=True), Stage(name="upscale"))
        job = make_job(state, **{"stages": made, **changes})
        work = parts.settings.work / job.id
        work.mkdir(parents=True)
        (work / "source.png").write_bytes(b"the source")
        for stage in made:
            for each in stage.artefacts:
                (work / each.file).write_bytes(stage.name.encode() + CLIP)
            if stage.poster:
                (work / stage.poster).write_bytes(b"poster of " + stage.name.encode())
        if state is State.DONE:
            name = Outbox(parts.settings.outbox.path).publish(job, work, b'{"schema": 1}')
            job = msgspec.structs.replace(job, outbox=name)
        await parts.ledger.add(job, claim=job.id)
        return job

    return put


async def listed(client, job):
    response = await client.get(f"/api/v1/jobs/{job.id}/artefacts")
    assert response.status == 200
    return {each["name"]: each for each in (await response.json())["artefacts"]}


async def test_a_finished_job_lists_all_that_it_has(client, put):
    job = await put()
    found = await listed(client, job)
    assert {name: each["kind"] for name, each in found.items()} == {
        "source.png": "source",
        "stage-i2v.mp4": "stage",
        "poster.jpg": "poster",
        "video.mp4": "video",
        "receipt.json": "receipt",
    }
    assert found["video.mp4"]["type"] == "video/mp4"
    assert found["video.mp4"]["size"] == len(b"upscale" + CLIP)
    for each in found.values():
        response = await client.get(each["url"])
        assert response.status == 200
        assert response.content_type == each["type"]
        assert len(await response.read()) == each["size"]


async def test_a_job_in_review_shows_the_clip_that_is_to_be_looked_at(client, put):
    job = await put(State.REVIEW)
    shown = await (await client.get(f"/api/v1/jobs/{job.id}")).json()
    assert await (await client.get(shown["video"])).read() == b"i2v" + CLIP
    assert await (await client.get(shown["poster"])).read() == b"poster of i2v"
    found = await listed(client, job)
    assert found["stage-i2v.mp4"]["kind"] == "review"
    assert "receipt.json" not in found


async def test_a_finished_job_shows_its_video_and_last_poster(client, put):
    job = await put()
    shown = await (await client.get(f"/api/v1/jobs/{job.id}")).json()
    assert await (await client.get(shown["video"])).read() == b"upscale" + CLIP
    assert await (await client.get(shown["poster"])).read() == b"poster of upscale"


async def test_before_there_is_a_clip_the_picture_itself_is_shown_small(client, parts):
    job = make_job(State.QUEUED)
    (image,) = job.images
    image = msgspec.structs.replace(image, small="source-small.jpg")
    job = msgspec.structs.replace(job, images=(image,))
    work = parts.settings.work / job.id
    work.mkdir(parents=True)
    (work / "source-small.jpg").write_bytes(b"small")
    await parts.ledger.add(job, claim=job.id)
    shown = await (await client.get(f"/api/v1/jobs/{job.id}")).json()
    answer = await client.get(shown["poster"])
    assert (await answer.read(), answer.content_type) == (b"small", "image/jpeg")
    assert "poster.jpg" not in contents(job)  # it goes with the work folder


async def test_a_job_without_a_clip_shows_none(client, parts):
    job = make_job(State.QUEUED)
    await parts.ledger.add(job, claim=job.id)
    shown = await (await client.get(f"/api/v1/jobs/{job.id}")).json()
    assert shown["video"] == shown["poster"] == ""
    assert await listed(client, job) == {}  # its source was never written here


async def test_the_receipt_comes_with_the_video_only(client, put):
    done, review = await put(), await put(State.REVIEW)
    response = await client.get(f"/api/v1/jobs/{done.id}/receipt")
    assert await response.json() == {"schema": 1}
    body = await problem(await client.get(f"/api/v1/jobs/{review.id}/receipt"), 404, "receipt")
    assert "review" in body["detail"]


# By name only


@pytest.mark.parametrize(
    "name",
    [
        "../receipt.json",
        "..%2f..%2fstate%2fledger.db",
        "%2e%2e%2freceipt.json",
        "%2fetc%2fpasswd",
        "stages/i2v.mp4",
        "stages%2fi2v.mp4",
        "cat.mp4",  # the file's own name is no address
        "i2v-1.mp4",
        "source.png%00",
        "SOURCE.PNG",
        "",
        "%ff",
    ],
)
async def test_what_is_not_in_the_list_is_not_served(client, put, name):
    job = await put()
    response = await client.get(f"/api/v1/jobs/{job.id}/artefacts/{name}")
    assert response.status in (404, 400), await response.text()
    assert response.content_type == "application/problem+json"


@pytest.mark.parametrize("name", ["cat.mp4", "stages/i2v.mp4"])
async def test_a_link_in_a_files_place_is_not_followed(client, put, parts, tmp_path, name):
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(b"secret")
    job = await put()
    file = parts.settings.outbox.path / job.outbox / name
    file.unlink()
    file.symlink_to(secret)
    served = "video.mp4" if name == "cat.mp4" else "stage-i2v.mp4"
    assert served not in await listed(client, job)
    url = f"/api/v1/jobs/{job.id}/artefacts/{served}"
    body = await problem(await client.get(url), 404, "file-gone")
    assert str(tmp_path) not in body["detail"]


@pytest.mark.parametrize("folder", ["", "stages"])
async def test_a_link_in_a_folders_place_is_not_followed(client, put, parts, tmp_path, folder):
    job = await put()
    own = parts.settings.outbox.path / job.outbox / folder
    elsewhere = tmp_path / "elsewhere"
    own.rename(elsewhere)
    own.symlink_to(elsewhere, target_is_directory=True)
    url = f"/api/v1/jobs/{job.id}/artefacts/stage-i2v.mp4"
    await problem(await client.get(url), 404, "file-gone")


@pytest.mark.parametrize("kind", ["pipe", "socket", "folder", "nothing"])
async def test_what_is_no_file_is_gone_and_nothing_waits_for_it(client, put, parts, kind):
    job = await put()
    file = parts.settings.outbox.path / job.outbox / "cat.mp4"
    file.unlink()
    with socket.socket(socket.AF_UNIX) as line:
        if kind == "pipe":
            os.mkfifo(file)
        elif kind == "socket":
            # by the folder's descriptor: an address has room for 108 bytes
            folder = os.open(file.parent, os.O_PATH)
            line.bind(f"/proc/self/fd/{folder}/{file.name}")
            os.close(folder)
            assert file.is_socket()
        elif kind == "folder":
            file.mkdir()
        async with asyncio.timeout(45):
            url = f"/api/v1/jobs/{job.id}/artefacts/video.mp4"
            await problem(await client.get(url), 404, "file-gone")


async def test_a_browser_saves_what_it_should_not_show(client, put):
    job = await put(
        stem='Köt"er\r\n', ticket=Ticket(recipe="r", name="Strand <b>")
    )  # no name of a job has control characters; none may break a header if one had
    url = f"/api/v1/jobs/{job.id}/artefacts/video.mp4"
    assert "Content-Disposition" not in (await client.get(url)).headers
    saved = (await client.get(f"{url}?download=1")).headers["Content-Disposition"]
    assert saved == "attachment; filename*=UTF-8''Strand%20%3Cb%3E.mp4"
    saved = (await client.get(url.replace("video.mp4", "poster.jpg") + "?download=true")).headers
    assert saved["Content-Disposition"].endswith("-poster.jpg")
    assert saved["X-Content-Type-Options"] == "nosniff"


async def test_a_source_of_an_unknown_kind_is_only_ever_saved(client, put, parts):
    job = await put(State.REVIEW, images=(msgspec.structs.replace(IMAGE, source="source.svg"),))
    (parts.settings.work / job.id / "source.svg").write_bytes(b"<svg onload='alert(1)'/>")
    response = await client.get(f"/api/v1/jobs/{job.id}/artefacts/source.svg")
    assert response.content_type == "application/octet-stream"
    assert response.headers["Content-Disposition"].startswith("attachment")
    assert response.headers["X-Content-Type-Options"] == "nosniff"


# In parts


@pytest.fixture
async def clip(put):
    job = await put()
    return f"/api/v1/jobs/{job.id}/artefacts/video.mp4", b"upscale" + CLIP


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=5-", slice(5, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=300000-600000", slice(300_000, 600_001)),
        ("bytes=100-99999999999", slice(100, None)),
        ("bytes=-99999999999", slice(0, None)),
        ("bytes=-99999999999999999999", slice(0, None)),
        ("bytes=-" + "9" * 5000, slice(0, None)),
        ("bytes=" + "0" * 5000 + "5-" + "9" * 2000, slice(5, None)),
    ],
)
async def test_a_part_is_what_was_asked_for(client, clip, asked, part):
    url, whole = clip
    response = await client.get(url, headers={"Range": asked})
    assert response.status == 206
    wanted = whole[part]
    assert await response.read() == wanted
    start, stop, _ = part.indices(len(whole))
    assert response.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(whole)}"
    assert int(response.headers["Content-Length"]) == len(wanted)


@pytest.mark.parametrize(
    "asked",
    ["bytes=", "bytes=-", "bytes=x-y", "bytes=9-5", "bytes=9999999999-", "bytes=-0", "bytes=1", "bytes=0x1-2", "bytes=٣-", "bytes= 1-2", "bytes=1-2-3", "bytes=" + "9" * 5000 + "-", "bytes=a,b"],
)  # fmt: skip
async def test_a_range_that_is_nonsense_is_not_satisfiable(client, clip, asked):
    url, whole = clip
    response = await client.get(url, headers={"Range": asked})
    await problem(response, 416, "range")
    assert response.headers["Content-Range"] == f"bytes */{len(whole)}"


@pytest.mark.parametrize("asked", ["bananas=1-2", "bytes", "", "bytes=0-1,5-6"])
async def test_a_range_that_need_not_be_understood_gives_all_of_it(client, clip, asked):
    url, whole = clip
    response = await client.get(url, headers={"Range": asked})
    assert response.status == 200
    assert await response.read() == whole
    assert response.headers["Accept-Ranges"] == "bytes"


@given(
    size=st.integers(0, 40),
    first=st.none() | st.integers(0, 45),
    last=st.none() | st.integers(0, 45),
)
def test_every_range_is_a_true_part_or_none(size, first, last):
    text = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    whole = bytes(range(size))
    if first is None:
        wanted = whole[-last:] if last else b""
    else:
        wanted = whole[first : None if last is None else last + 1]
    try:
        found = span(text, size)
    except BadRange:
        assert wanted == b""
    else:
        assert isinstance(found, ByteRange)
        assert found.length >= 1
        assert whole[found.start : found.start + found.length] == wanted


async def test_a_reader_that_has_the_file_is_not_sent_it_again(client, clip, put):
    url, _ = clip
    tag = (await client.get(url)).headers["ETag"]
    for known in (tag, f'"x", {tag}', f"W/{tag}", "*"):
        response = await client.get(url, headers={"If-None-Match": known})
        assert response.status == 304
        assert response.headers["ETag"] == tag
        assert await response.read() == b""
    assert (await client.get(url, headers={"If-None-Match": '"x"'})).status == 200
    other = await put()
    response = await client.get(f"/api/v1/jobs/{other.id}/artefacts/video.mp4")
    assert response.headers["ETag"] != tag


async def test_parts_of_two_different_files_are_never_joined(client, clip):
    url, whole = clip
    tag = (await client.get(url)).headers["ETag"]
    part = {"Range": "bytes=5-9"}
    response = await client.get(url, headers={**part, "If-Range": tag})
    assert (response.status, await response.read()) == (206, whole[5:10])
    for old in ('"x"', "Wed, 21 Oct 2015 07:28:00 GMT"):
        response = await client.get(url, headers={**part, "If-Range": old})
        assert (response.status, await response.read()) == (200, whole)
    assert (await client.get(url, headers={"If-Match": '"x"'})).status == 412
    assert (await client.get(url, headers={"If-Match": tag})).status == 200


async def test_head_tells_the_same_without_the_bytes(client, clip):
    url, whole = clip
    response = await client.head(url)
    assert (response.status, int(response.headers["Content-Length"])) == (200, len(whole))
    assert await response.read() == b""
    response = await client.head(url, headers={"Range": "bytes=0-9"})
    assert (response.status, response.headers["Content-Length"]) == (206, "10")
    assert (await client.head(url)).headers["ETag"] == (await client.get(url)).headers["ETag"]


async def test_an_empty_file_is_given_and_has_no_part(client, put, parts):
    job = await put()
    (parts.settings.outbox.path / job.outbox / "cat.mp4").write_bytes(b"")
    url = f"/api/v1/jobs/{job.id}/artefacts/video.mp4"
    response = await client.get(url)
    assert (response.status, await response.read()) == (200, b"")
    await problem(await client.get(url, headers={"Range": "bytes=0-"}), 416, "range")


@pytest.mark.system("curl")
async def test_curl_takes_a_file_in_parts_and_goes_on_where_it_was(client, clip, tmp_path):
    url, whole = clip
    address = str(client.make_url(url))
    target = tmp_path / "clip.mp4"

    async def curl(*args):
        process = await asyncio.create_subprocess_exec(
            "curl", "-sS", "--fail", *args, address, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        assert process.returncode == 0
        return out

    assert await curl("-r", "100000-299999") == whole[100_000:300_000]
    target.write_bytes(whole[:123_456])
    await curl("-C", "-", "-o", str(target))
    assert target.read_bytes() == whole
    tag = tmp_path / "tag"
    await curl("--etag-save", str(tag), "-o", str(target))
    assert await curl("--etag-compare", str(tag)) == b""


# What there is


def test_a_clip_called_source_does_not_take_the_sources_place():
    image = msgspec.structs.replace(IMAGE, source="source.mp4")
    job = make_job(State.DONE, stem="source", images=(image,), stages=stages("upscale"))
    published = [piece.published for piece in pieces(job)]
    assert published == ["source.mp4", "source-video.mp4", "poster.jpg"]


def test_names_are_plain_whatever_people_called_their_files():
    job = make_job(
        State.DONE, stem="?#<b>", outbox="?#<b>-1", stages=stages("i2v", "upscale"),
        ticket=Ticket(recipe="r", name="stages:i2v"),
    )  # fmt: skip
    assert [piece.name for piece in pieces(job)] == [
        "source.png", "stage-i2v.mp4", "video.mp4", "poster.jpg", "receipt.json",
    ]  # fmt: skip
