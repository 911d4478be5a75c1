"""The texts behind a sampler are found, and what they say of time and length is read."""

import pytest

from tests.lint.graphs import At, changed, hero, node, text_to_video, wrapper
from zoetrope.graphs import catalog
from zoetrope.lint import stages
from zoetrope.lint.graph_view import GraphView
from zoetrope.lint.prompts import Prompt, estimated_tokens, last_beat, texts, under_nag


def found(graph, side, sampler="ks_low"):
    view = GraphView(graph, catalog.load())
    return texts(view, stages.find(view)[sampler], side)


def test_the_text_is_found_behind_the_picture_node_on_its_own_side():
    graph = hero(text="yes", negative="no")
    assert found(graph, "positive") == (Prompt("pos", "text", "yes"),)
    assert found(graph, "negative") == (Prompt("neg", "text", "no"),)


def test_the_text_is_found_right_before_the_sampler():
    assert [prompt.node for prompt in found(text_to_video(), "negative")] == ["neg"]


def test_a_conditioning_of_zeros_has_no_text():
    zero = node("ConditioningZeroOut", conditioning=At("pos"))
    graph = changed({**hero(), "zero": zero}, cond__negative=At("zero"))
    assert found(graph, "negative") == ()


def test_combined_texts_are_all_found():
    graph = {
        **hero(),
        "more": node("CLIPTextEncode", clip=At("clip"), text="more"),
        "both": node("ConditioningCombine", conditioning_1=At("pos"), conditioning_2=At("more")),
    }
    graph = changed(graph, cond__positive=At("both"))
    assert {prompt.node for prompt in found(graph, "positive")} == {"pos", "more"}


def test_a_text_from_elsewhere_is_followed_and_an_unknown_one_is_none():
    words = node("PrimitiveStringMultiline", value="from elsewhere")
    graph = changed({**hero(), "words": words}, pos__text=At("words"))
    assert found(graph, "positive")[0].text == "from elsewhere"
    graph = changed(graph, words=node("Somebody"))
    assert found(graph, "positive")[0].text is None


def test_the_wrappers_texts_are_found_on_one_node():
    assert [p.input for p in found(wrapper(), "positive")] == ["positive_prompt"]
    assert [p.input for p in found(wrapper(), "negative")] == ["negative_prompt"]


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("Beat 1 (0-2s): a. Beat 2 (2-4.5s): b.", 4.5),
        ("From 0 to 3 seconds she walks.", 3.0),
        ("0\u20136 s: all of it", 6.0),
        ("3-5 people", None),
        ("", None),
    ],
)
def test_the_last_beat_is_read(text, end):
    assert last_beat(text) == end


def test_tokens_are_estimated_from_below():
    assert estimated_tokens("one two, three") == 3
    assert estimated_tokens("静止不动的画面") == 3


def test_a_guider_without_a_negative_side_has_one_text():
    guider = node("BasicGuider", model=At("shift_low"), conditioning=At("pos"))
    sampler = node("SamplerCustomAdvanced", guider=At("guider"), latent_image=At("cond:2"))
    graph = {**hero(), "guider": guider, "ks_low": sampler}
    assert [prompt.node for prompt in found(graph, "positive")] == ["pos"]
    assert found(graph, "negative") == ()


def test_a_negative_text_for_nag_is_not_the_text_that_is_guided_by():
    nag = node(
        "WanVideoApplyNAG",
        original_text_embeds=At("text"),
        nag_text_embeds=At("other"),
        nag_scale=11.0,
    )
    other = node("WanVideoTextEncode", t5=At("t5"), positive_prompt="nag", negative_prompt="")
    graph = changed({**wrapper(), "nag": nag, "other": other}, ks_low__text_embeds=At("nag"))
    assert [prompt.node for prompt in found(graph, "positive")] == ["text"]


@pytest.mark.parametrize(
    ("encoder", "slot", "text"),
    [
        ("WanVideoTextEncode", 0, "yes"),
        ("WanVideoTextEncodeCached", 0, "yes"),
        ("WanVideoTextEncodeCached", 1, "no"),
    ],
)
def test_the_wrappers_nag_steers_away_from_what_its_encoder_has_as_a_positive_text(
    encoder, slot, text
):
    other = node(encoder, positive_prompt="yes", negative_prompt="no")
    nag = node("WanVideoApplyNAG", nag_text_embeds=At(f"other:{slot}"))
    view = GraphView({"nag": nag, "other": other}, catalog.load())
    assert [prompt.text for prompt in under_nag(view, "nag")] == [text]


def test_a_text_that_is_encoded_alone_has_no_negative_side():
    single = node("WanVideoTextEncodeSingle", t5=At("t5"), prompt="alone")
    graph = changed(wrapper(), text=single)
    assert [prompt.text for prompt in found(graph, "positive")] == ["alone"]
    assert found(graph, "negative") == ()


def test_the_cores_nag_steers_away_from_its_conditioning():
    nag = node("WanVideoNAG", model=At("unet_low"), conditioning=At("cond:1"))
    view = GraphView({**hero(text="yes", negative="no"), "nag": nag}, catalog.load())
    assert [prompt.text for prompt in under_nag(view, "nag")] == ["no"]
