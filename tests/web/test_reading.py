"""What can be asked of the service beside jobs: recipes, engines, settings; and an earlier job again."""

import hashlib

import msgspec
import pytest

from tests.web.fakes import IMAGE, make_job, settings
from tests.web.test_jobs import problem
from zoetrope.domain.job import Progress, Stage, State
from zoetrope.domain.values import Ticket
from zoetrope.errors import Reason
from zoetrope.graphs.shelf import Recipes
from zoetrope.inbox.status import Held
from zoetrope.settings import Settings, parse
from zoetrope.web.api.settings import plain, without_secrets
from zoetrope.web.views import warnings

# Recipes


async def test_every_shipped_recipe_is_listed_with_all_that_may_be_asked_of_it(client, parts):
    parts.ship()
    found = (await (await client.get("/api/v1/recipes")).json())["recipes"]
    assert [each["name"] for each in found] == parts.recipes.names()
    assert [each["name"] for each in found if each["default"]] == ["wan22-i2v-hero"]
    for each in found:
        assert each["title"]
        assert each["problem"] is None
        assert each["stages"]
        alone = await (await client.get(f"/api/v1/recipes/{each['name']}")).json()
        assert alone == each
    hero = next(each for each in found if each["default"])
    assert hero["parameters"]["prompt"]["type"] == "text"
    assert hero["size"]["multiple"] == 16
    assert hero["length"]["fps"] == 16
    assert {"5s", "no-talking"} <= {preset["name"] for preset in hero["presets"]}
    assert {each["pictures"] for each in found} == {1, 2}
    assert [each["name"] for each in found if each["clip"]] == [
        "seedvr2-rife-native",
        "seedvr2-rife-upscale",
    ]


async def test_what_is_listed_is_what_a_ticket_may_say(client, parts):
    tiny = await (await client.get("/api/v1/recipes/tiny")).json()
    recipe = parts.recipes.get("tiny")
    assert set(tiny["parameters"]) <= recipe.ticket_keys()
    assert tiny["parameters"]["steps"] == {
        "type": "int", "about": "", "source": "", "default": 4, "min": 2.0, "max": 100.0,
        "step": None, "unit": "", "options": [],
    }  # fmt: skip


async def test_a_broken_recipe_is_listed_with_what_is_wrong_with_it(client, parts, tmp_path):
    (tmp_path / "shelf/odd").mkdir(parents=True)
    (tmp_path / "shelf/odd/recipe.toml").write_text("titel = 1")
    parts.recipes = Recipes((tmp_path / "shelf",))
    (odd,) = (await (await client.get("/api/v1/recipes")).json())["recipes"]
    assert odd["name"] == odd["title"] == "odd"
    assert "titel" in odd["problem"]["sentence"]


@pytest.mark.parametrize("name", ["tinny", "..", "%2e%2e%2ftiny", "x" * 5000, "%00"])
async def test_an_unknown_recipe_is_not_found(client, name):
    response = await client.get(f"/api/v1/recipes/{name}")
    assert response.status == 404
    if name == "tinny":
        body = await problem(response, 404, "recipe-unknown")
        assert "did you mean `tiny`?" in body["detail"]


# Engines and settings


async def test_the_engines_are_those_of_the_status(client, parts):
    found = (await (await client.get("/api/v1/engines")).json())["engines"]
    assert found == (await (await client.get("/api/v1/status")).json())["engines"]
    assert found[0]["url"] == "http://127.0.0.1:8188"


async def test_of_thousands_of_pictures_that_wait_the_status_names_a_few(client, parts):
    names = [f"closed/{number:04} {'x' * 200}.png" for number in range(3000)]
    reason = Reason("folder-closed", "The folder is closed.", "Open it.")
    parts.intake.status.held = tuple(Held(name, reason) for name in names)
    parts.watcher.status.unreadable = tuple(names)
    body = await (await client.get("/api/v1/status")).read()
    assert len(body) < 32 * 1024
    inbox = msgspec.json.decode(body)["inbox"]
    assert (inbox["held_count"], inbox["unreadable_count"]) == (3000, 3000)
    assert [held["name"] for held in inbox["held"]] == inbox["unreadable"] == names[:20]


async def test_the_settings_are_shown_without_secrets(tmp_path):
    made = settings(tmp_path)
    text = f"""
        [inbox]
        path = "{made.inbox.path}"
        [outbox]
        path = "{made.outbox.path}"
        [state]
        path = "{made.state.path}"
        [[engines]]
        name = "e"
        url = "http://me:secret@127.0.0.1:8188"
        [models]
        token_file = "/run/secrets/hub"
        [[models.extra]]
        file = "a.safetensors"
        folder = "loras"
        url = "https://example.invalid/get/7?type=Model&token=secret"
        sha256 = "{"0" * 64}"
        [web]
        token_file = "/run/secrets/page"
        """
    shown = without_secrets(msgspec.to_builtins(parse(text, "x"), enc_hook=str))
    assert "secret@" not in str(shown)
    assert "=secret" not in str(shown)
    assert shown["web"]["token_file"] == "/run/secrets/page"
    assert shown["models"]["extra"][0]["url"] == "https://example.invalid/get/7?type=...&token=..."
    msgspec.convert(shown, plain(Settings))


async def test_the_settings_in_force_are_shown(client, parts):
    shown = await (await client.get("/api/v1/settings")).json()
    assert shown["state"]["path"] == str(parts.settings.state.path)
    assert shown["inbox"]["settle_seconds"] == 3.0


async def test_while_the_service_starts_reading_says_so(client, parts):
    parts.recipes = parts.conductor = None
    for path in ("recipes", "recipes/x", "engines"):
        await problem(await client.get(f"/api/v1/{path}"), 503, "starting")
    assert (await client.get("/api/v1/settings")).status == 200


# Once more


@pytest.fixture
async def done(parts):
    content = b"the source"
    image = msgspec.structs.replace(IMAGE, sha256=hashlib.sha256(content).hexdigest())
    job = make_job(State.FAILED, images=(image,))
    folder = parts.settings.work / job.id
    folder.mkdir(parents=True)
    (folder / "source.png").write_bytes(content)
    await parts.ledger.add(job, claim=job.id)
    return job


async def test_an_earlier_job_is_made_once_more_with_changes(client, parts, done):
    response = await client.post(
        f"/api/v1/jobs/{done.short}/again", json={"seed": 7, "prompt": "y", "steps": 8}
    )
    assert response.status == 201, await response.text()
    body = await response.json()
    assert response.headers["Location"] == f"/api/v1/jobs/{body['id']}"
    assert body["parent"] == done.id
    (taken,) = parts.submissions.taken
    assert taken["files"] == [(b"the source", "cat.png")]
    assert taken["ticket"] == {"seed": 7, "prompt": "y", "steps": 8}
    assert list(parts.uploads.iterdir()) == []


async def test_nothing_need_be_changed(client, parts, done):
    assert (await client.post(f"/api/v1/jobs/{done.id}/again")).status == 201
    assert parts.submissions.taken[0]["ticket"] == {}


async def test_a_source_that_somebody_changed_is_not_taken_for_the_same(client, parts, done):
    (parts.settings.work / done.id / "source.png").write_bytes(b"another")
    response = await client.post(f"/api/v1/jobs/{done.id}/again")
    await problem(response, 422, "source-changed")
    assert parts.submissions.taken == []


async def test_a_source_that_is_gone_or_a_link_is_not_there(client, parts, done, tmp_path):
    source = parts.settings.work / done.id / "source.png"
    source.rename(tmp_path / "elsewhere.png")
    source.symlink_to(tmp_path / "elsewhere.png")
    await problem(await client.post(f"/api/v1/jobs/{done.id}/again"), 404, "file-gone")


async def test_a_job_whose_files_were_removed_says_so_everywhere(client, parts):
    job = make_job(State.FAILED, removed=1_800_000_000.0)
    await parts.ledger.add(job, claim=job.id)
    shown = await (await client.get(f"/api/v1/jobs/{job.id}")).json()
    assert (shown["removed"], shown["actions"]) == (1_800_000_000.0, [])
    assert (shown["poster"], shown["video"], shown["outbox"]) == ("", "", "")
    for action in ("retry", "again"):
        response = await client.post(f"/api/v1/jobs/{job.id}/{action}")
        said = await problem(response, 409, "removed")
        assert "was removed on 2027-01-1" in str(said)
    found = await (await client.get(f"/api/v1/jobs/{job.id}/artefacts")).json()
    assert found == {"artefacts": []}
    response = await client.get(f"/api/v1/jobs/{job.id}/artefacts/source.png")
    await problem(response, 404, "removed")


async def test_a_job_without_all_of_its_pictures_cannot_be_made_again(client, parts):
    half = make_job(State.WAITING, half="start", stages=())
    await parts.ledger.add(half, claim=half.id)
    await problem(await client.post(f"/api/v1/jobs/{half.id}/again"), 422, "source")


async def test_a_picture_of_the_inbox_is_taken_by_its_path(client, parts):
    response = await client.post(
        f"/api/v1/jobs?parent={'a' * 32}", json={"path": "flf/cat.png", "seed": 7}
    )
    assert response.status == 201
    assert parts.submissions.taken == [
        {"path": "flf/cat.png", "ticket": {"seed": 7}, "parent": "a" * 32}
    ]


# What a job says of itself


def test_a_job_warns_of_what_is_not_as_it_was_asked_for():
    image = msgspec.structs.replace(IMAGE, changes=("turned upright",))
    job = make_job(
        State.DONE,
        notes=("80 frames became 81.",),
        images=(image, image),
        stages=(
            Stage(name="i2v", state=Progress.DONE, fallbacks=("tiled", "smaller")),
            Stage(name="upscale", fallbacks=("tiled",)),
        ),
    )
    assert warnings(job) == (
        "80 frames became 81.",
        "cat.png: turned upright",
        "The stage i2v succeeded with fallbacks: tiled, smaller.",
    )


@pytest.mark.parametrize(
    ("state", "actions"),
    [
        (State.QUEUED, ["cancel"]),
        (State.REVIEW, ["approve", "decline", "cancel"]),
        (State.FAILED, ["retry", "again"]),
        (State.DONE, ["again"]),
    ],
)
async def test_a_job_names_what_can_be_done_with_it(client, parts, state, actions):
    job = make_job(state, ticket=Ticket(recipe="r"))
    await parts.ledger.add(job, claim=job.id)
    assert (await (await client.get(f"/api/v1/jobs/{job.id}")).json())["actions"] == actions
