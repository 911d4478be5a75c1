import msgspec
import pytest

from tests.inbox.conftest import write_recipe
from zoetrope.beneath import Place
from zoetrope.domain.values import Ticket
from zoetrope.errors import Rejected
from zoetrope.graphs.shelf import Recipes, shipped
from zoetrope.inbox import ticket as tickets


@pytest.fixture
def recipes(tmp_path):
    write_recipe(tmp_path, "plain")
    write_recipe(tmp_path, "hero")
    return Recipes((tmp_path,))


def parse(text, recipes, name="cat.toml", folder=""):
    values = tickets.parse(text.encode() if isinstance(text, str) else text, name)
    recipe = tickets.find(recipes, values, folder, "plain")
    return tickets.resolve(values, recipe)


def reason(text, recipes, name="cat.toml", folder=""):
    with pytest.raises(Rejected) as refused:
        parse(text, recipes, name, folder)
    assert refused.value.reason.sentence
    assert refused.value.reason.next_step
    return refused.value.reason


def test_a_ticket_says_everything_that_can_be_said(recipes):
    ticket = parse(
        """
        recipe = "hero"
        prompt = " she turns "
        negative = "blur"
        seed = 7
        seconds = 2
        width = 640
        height = 480
        name = "holiday.mp4"
        review = false
        auto_resize = false
        steps = 30
        """,
        recipes,
    )
    assert ticket == Ticket(
        recipe="hero",
        prompt="she turns",
        negative="blur",
        seed=7,
        seconds=2.0,
        width=640,
        height=480,
        name="holiday",
        review=False,
        auto_resize=False,
        parameters={"steps": 30},
    )


def test_a_text_is_the_prompt_alone(recipes):
    assert parse("she turns\n", recipes, "cat.txt").prompt == "she turns"
    assert parse(" \n", recipes, "cat.txt").prompt is None


def test_parameters_may_stand_in_their_table(recipes):
    assert parse("[parameters]\nsteps = 30", recipes).parameters == {"steps": 30}
    assert "twice" in reason("steps = 1\n[parameters]\nsteps = 2", recipes).sentence
    assert reason("parameters = 3", recipes).key == "ticket-value"


@pytest.mark.parametrize(
    ("own", "folder", "recipe"),
    [("", "", "plain"), ("", "hero", "hero"), ('recipe = "plain"', "hero", "plain")],
)
def test_the_tickets_recipe_wins_over_the_folder_and_that_over_the_default(
    recipes, own, folder, recipe
):
    assert parse(own, recipes, folder=folder).recipe == recipe


def test_an_unknown_key_is_named_with_the_nearest_valid_one(recipes):
    found = reason("prmpt = 'x'", recipes)
    assert found.key == "ticket-key"
    assert "prmpt" in found.sentence
    assert "did you mean `prompt`?" in found.sentence
    assert "did you mean `steps`?" in reason("[parameters]\nstep = 2", recipes).sentence


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed = 'seven'", "a whole number"),
        ("seed = 7.5", "a whole number"),
        ("seed = true", "a whole number"),
        ("prompt = 3", "a text"),
        ("review = 1", "true or false"),
        ("seconds = 'long'", "a number"),
        ("recipe = 5", "a text"),
        ("steps = [1, 2]", "a text, a number, or true or false"),
        ("name = 'a/b'", "not a file name"),
        ("name = ''", "not a file name"),
    ],
)
def test_a_wrong_type_is_said_with_what_is_allowed(recipes, text, words):
    found = reason(text, recipes)
    assert found.key == "ticket-value"
    assert words in found.sentence


@pytest.mark.parametrize(
    "text",
    [
        "seed = -1",
        f"seed = {2**64}",
        "seconds = 0",
        "seconds = nan",
        "seconds = inf",
        "frames = 0",
        "width = 0",
        "height = 100000",
    ],
)
def test_a_value_out_of_range_is_said_with_the_range(recipes, text):
    found = reason(text, recipes)
    assert text.split()[0] in found.sentence
    assert "allowed is" in found.sentence


def test_words_for_a_recipe_that_makes_nothing_of_them_are_refused_without_naming_them_as_valid():
    upscale = Recipes((shipped(),)).get("seedvr2-rife-upscale")
    with pytest.raises(Rejected, match="unknown to the recipe") as refused:
        tickets.resolve({"prompt": "she turns"}, upscale)
    assert "`prompt`" not in refused.value.reason.sentence


def test_a_list_of_beats_gets_the_times_of_the_clip_that_the_same_ticket_asks_for(recipes):
    text = "prompt = ['she looks up', 'a slow smile']\nseconds = 4"
    assert (
        parse(text, recipes).prompt == "Beat 1 (0-2s): she looks up. Beat 2 (2-4s): a slow smile."
    )
    text = "prompt = ['she looks up']\nframes = 82"  # which becomes 81
    assert parse(text, recipes).prompt == "Beat 1 (0-5s): she looks up."


@pytest.mark.parametrize("prompt", ["[1, 2]", "['she turns', 3]", "[['she turns']]"])
def test_beats_that_are_no_texts_are_refused(recipes, prompt):
    assert "one for each beat" in reason(f"prompt = {prompt}", recipes).sentence


def test_beats_for_a_clip_that_cannot_be_are_refused_for_the_clip(recipes):
    assert "out of range" in reason("prompt = ['a', 'b']\nseconds = 900", recipes).sentence


def test_the_largest_seed_is_possible(recipes):
    assert parse(f"seed = {2**64 - 1}", recipes).seed == 2**64 - 1


def test_seconds_and_frames_exclude_each_other(recipes):
    assert "both" in reason("seconds = 1\nframes = 17", recipes).sentence


def test_broken_toml_is_said_with_its_place(recipes):
    found = reason("prompt = she turns\nseed = 1", recipes)
    assert found.key == "ticket-file"
    assert "line 1" in found.sentence


def test_a_ticket_in_another_encoding_is_said(recipes):
    assert "UTF-8" in reason("prompt = 'ö'".encode("utf-16"), recipes).sentence
    assert "UTF-8" in reason("prompt = 'ö'".encode("latin-1"), recipes).sentence


def test_a_byte_order_mark_is_no_harm(recipes):
    assert parse(b"\xef\xbb\xbfprompt = 'x'", recipes).prompt == "x"


def test_a_huge_ticket_is_refused(recipes):
    assert "64 KB" in reason(b"#" * (64 * 1024 + 1), recipes).sentence


def test_an_unknown_recipe_is_named_with_the_nearest_one(recipes):
    assert "did you mean `hero`?" in reason("recipe = 'heroo'", recipes).sentence
    found = reason("", recipes, folder="heros")
    assert "The folder 'heros' is not a recipe; did you mean `hero`?" in found.sentence


def test_values_of_the_api_may_be_null(recipes):
    recipe = recipes.get("plain")
    assert tickets.resolve({"prompt": None, "seed": 3}, recipe) == Ticket(recipe="plain", seed=3)


def test_own_values_win_key_by_key():
    defaults = {"prompt": "a", "seconds": 2, "parameters": {"steps": 1, "cfg": 2}}
    own = {"prompt": "b", "frames": 17, "parameters": {"steps": 3}}
    assert tickets.overlay(defaults, own) == {
        "prompt": "b",
        "frames": 17,
        "parameters": {"steps": 3, "cfg": 2},
    }


def test_a_ticket_that_is_a_link_is_not_read(tmp_path):
    (tmp_path / "cat.toml").symlink_to("/etc/passwd")
    with pytest.raises(Rejected) as refused:
        tickets.read(Place(tmp_path, "cat.toml"))
    assert refused.value.reason.key == "ticket-link"


@pytest.fixture
def with_presets(tmp_path):
    write_recipe(tmp_path, "plain")
    (tmp_path / "shared.toml").write_text(
        """
        [presets.long]
        title = "Long"
        values = { seconds = 1, steps = 30 }
        [presets.quiet]
        title = "Quiet"
        values = { prompt = "No talking." }
        [presets.still]
        title = "Still"
        values = { prompt = "No zoom." }
        """
    )
    return Recipes((tmp_path,))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('preset = "long"', {"seconds": 1.0, "parameters": {"steps": 30}}),
        ('preset = "long"\nsteps = 9', {"seconds": 1.0, "parameters": {"steps": 9}}),
        ('preset = "long"\nframes = 9', {"frames": 9, "parameters": {"steps": 30}}),
        ('preset = ["quiet", "still"]', {"prompt": "No talking. No zoom."}),
        ('preset = ["quiet", "quiet"]', {"prompt": "No talking."}),
        ('preset = "quiet"\nprompt = "She turns."', {"prompt": "She turns."}),
        ("preset = []", {}),
    ],
)
def test_a_preset_stands_for_values_and_the_tickets_own_come_first(with_presets, text, found):
    ticket = msgspec.to_builtins(parse(text, with_presets))
    assert {k: v for k, v in ticket.items() if k not in ("recipe", "preset")} == found


def test_a_ticket_remembers_the_presets_that_it_named(with_presets):
    assert parse('preset = ["still", "quiet"]', with_presets).preset == ("still", "quiet")


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("preset = 'quite'", "ticket-value", "did you mean `quiet`?"),
        ("preset = 3", "ticket-value", "a name, or a list of names"),
        ("preset = ['quiet', 3]", "ticket-value", "a name, or a list of names"),
    ],
)
def test_a_preset_that_there_is_not_is_said(with_presets, text, key, words):
    found = reason(text, with_presets)
    assert found.key == key
    assert words in found.sentence


def test_a_recipe_without_presets_knows_no_such_key(tmp_path, with_presets):
    (tmp_path / "shared.toml").write_text("")
    assert reason("preset = 'quiet'", with_presets).key == "ticket-key"
