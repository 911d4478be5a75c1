"""Graphs are refused with ComfyUI's own words."""

import pytest

from tests.engine.simulated.stage import node, tiny
from zoetrope.engine.simulated.models import DEFAULT_MODELS
from zoetrope.engine.simulated.validate import Lists, validate
from zoetrope.graphs import catalog
from zoetrope.graphs.document import read

LISTS = Lists(lambda folder: list(DEFAULT_MODELS.get(folder, ())), lambda name: name == "start.png")


def judge(graph, only=None):
    return validate(read(graph, "graph"), catalog.load(), LISTS, only)


def first_error(graph, node_id):
    return judge(graph).node_errors[node_id]["errors"][0]


def test_a_good_graph_has_its_outputs():
    verdict = judge(tiny())

    assert verdict.error is None
    assert verdict.outputs == ["17"]
    assert verdict.node_errors == {}


@pytest.mark.parametrize(
    ("node_id", "change", "kind", "details"),
    [
        ("13", {"steps": 20000}, "value_bigger_than_max", "steps"),
        ("12", {"width": 8}, "value_smaller_than_min", "width"),
        (
            "12",
            {"width": "abc"},
            "invalid_input_type",
            "width, abc, invalid literal for int() with base 10: 'abc'",
        ),
        (
            "15",
            {"vae": ["8", 0]},
            "return_type_mismatch",
            "vae, received_type(CONDITIONING) mismatch input_type(VAE)",
        ),
        ("15", {"vae": ["10"]}, "bad_linked_input", "vae"),
        (
            "11",
            {"image": "nope.png"},
            "custom_validation_failed",
            "image - Invalid image file: nope.png",
        ),
        (
            "13",
            {"scheduler": "odd"},
            "value_not_in_list",
            "scheduler: 'odd' not in ['simple', 'sgm_uniform', 'karras', 'exponential', 'ddim_uniform', 'beta', 'normal', 'linear_quadratic', 'kl_optimal', 'bong_tangent', 'beta57']",
        ),
        (
            "13",
            {"sampler_name": "odd"},
            "value_not_in_list",
            "sampler_name: 'odd' not in (list of length 63)",
        ),
    ],
)
def test_a_bad_value_is_named(node_id, change, kind, details):
    error = first_error(tiny(**{f"_{node_id}": change}), node_id)

    assert error["type"] == kind
    assert error["details"] == details
    assert error["extra_info"]["input_name"] == next(iter(change))


def test_a_missing_input_is_an_error_although_it_has_a_default():
    graph = tiny()
    del graph["13"]["inputs"]["cfg"]

    error = first_error(graph, "13")

    assert (error["type"], error["details"]) == ("required_input_missing", "cfg")


def test_an_unknown_class_refuses_the_whole_graph():
    graph = tiny()
    graph["5x"] = {"class_type": "Nope", "inputs": {}, "_meta": {"title": "Mine"}}

    error = judge(graph).error

    assert error["type"] == "missing_node_type"
    assert error["message"] == "Node 'Mine' not found. The custom node may not be installed."
    assert error["extra_info"] == {"node_id": "5x", "class_type": "Nope", "node_title": "Mine"}


@pytest.mark.parametrize("graph", [{}, {"1": node("VAELoader", vae_name="x")}])
def test_a_graph_without_output_is_refused(graph):
    assert judge(graph).error["type"] == "prompt_no_outputs"


def test_a_cycle_is_blamed_on_its_nodes():
    verdict = judge(tiny(_13={"latent_image": ["14", 0]}))

    assert {"13", "14"} <= set(verdict.node_errors)
    error = verdict.node_errors["13"]["errors"][0]
    assert error["type"] == "dependency_cycle"
    assert "(KSamplerAdvanced) -> " in error["details"]


def test_a_dangling_link_is_reported_at_the_node_that_holds_it():
    verdict = judge(tiny(_15={"vae": ["99", 0]}))

    assert verdict.node_errors["15"]["errors"][0]["type"] == "exception_during_inner_validation"
    assert verdict.node_errors["15"]["errors"][0]["extra_info"]["input_name"] == "images"


def test_numbers_in_text_are_converted():
    graph = tiny(_12={"width": "64"})

    verdict = judge(graph)
    assert verdict.error is None
    assert verdict.graph["12"].inputs["width"] == 64


def test_unknown_inputs_and_odd_steps_are_let_through():
    assert judge(tiny(_12={"width": 70, "length": 6, "nonsense": 1})).error is None


def test_only_the_asked_outputs_are_judged():
    graph = tiny()
    graph["18"] = node("PreviewImage", images=["99", 0])

    assert judge(graph, only=["17"]).outputs == ["17"]


def test_a_growing_input_takes_links_by_its_dotted_name():
    graph = tiny()
    graph["20"] = node("BatchImagesNode", **{"images.image0": ["11", 0], "images.image1": ["8", 0]})
    graph["21"] = node("PreviewImage", images=["20", 0])

    error = first_error(graph, "20")

    assert (error["type"], error["extra_info"]["input_name"]) == (
        "return_type_mismatch",
        "images.image1",
    )


IMAGE = node("EmptyImage", width=64, height=64, batch_size=1, color=0)
TEXT = node("PrimitiveString", value="start.png")
SWITCH = node("ComfySwitchNode", switch=True, on_true=["text", 0], on_false=["text", 0])


NO_NAME = "'NoneType' object has no attribute 'endswith'"


def resize(**given):
    return node("ResizeImageMaskNode", input=["image", 0], scale_method="area", **given)


def dotted(choice, **given):
    return {"resize_type": choice, **{f"resize_type.{name}": each for name, each in given.items()}}


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (
            resize(**dotted("scale dimensions", width=32, height=32)),
            {("required_input_missing", "crop")},
        ),
        (
            resize(**dotted("scale dimensions", width=-32, height="x", crop="odd")),
            {
                ("value_smaller_than_min", "resize_type.width"),
                (
                    "invalid_input_type",
                    "resize_type.height, x, invalid literal for int() with base 10: 'x'",
                ),
                (
                    "value_not_in_list",
                    "resize_type.crop: 'odd' not in ['disabled', 'center']",
                ),
            },
        ),
        *(
            (asked, {("exception_during_inner_validation", NO_NAME)})
            for asked in (
                node("LoadImage", image=["text", 0]),
                node("LoadImage", image=["switch", 0]),
                node("LoadImageMask", image=["switch", 0], channel="red"),
                node("LoadLatent", latent=["switch", 0]),
                node("LoadVideo", file=["switch", 0]),
                node("LoadImageOutput", image=["text", 0]),
                node("WebcamCapture", image=["text", 0], width=0, height=0, capture_on_queue=True),
            )
        ),
    ],
)
def test_what_the_real_server_rejected_is_rejected_in_its_words(asked, answer):
    """Recorded from ComfyUI 0.27.1."""
    verdict = judge({"image": IMAGE, "text": TEXT, "switch": SWITCH, "asked": asked,
                     "out": node("PreviewAny", source=["asked", 0])})  # fmt: skip

    errors = verdict.node_errors["asked"]["errors"]
    assert verdict.outputs == []
    assert {(error["type"], error["details"]) for error in errors} == answer


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (node("LoadImageOutput", image="nope.png"), "image - Invalid image file: nope.png"),
        (node("VHS_LoadImagePath", image="/nope", custom_width=0, custom_height=0), "image - Invalid file path: /nope"),
        (node("VHS_LoadAudio", audio_file="x.wav"), "audio_file - Invalid file path: x.wav"),
        (node("VHS_LoadImagesPath", directory=""), "directory - Directory '' cannot be found."),
    ],
)  # fmt: skip
def test_a_path_on_the_host_that_is_not_there_is_rejected(asked, told):
    """Recorded from ComfyUI 0.27.1; a path that comes from another node is looked for only when it runs."""
    graph = {"text": TEXT, "asked": asked, "out": node("PreviewAny", source=["asked", 0])}
    (error,) = judge(graph).node_errors["asked"]["errors"]
    assert (error["type"], error["details"]) == ("custom_validation_failed", told)

    if asked["class_type"].startswith("VHS"):
        asked["inputs"][error["extra_info"]["input_name"]] = ["text", 0]
        assert judge(graph).error is None


def test_values_of_a_dynamic_choice_are_converted():
    asked = resize(**dotted("scale dimensions", width="32", height=32.5, crop="center"))

    verdict = judge({"image": IMAGE, "asked": asked, "out": node("PreviewImage", images=["asked", 0])})  # fmt: skip

    assert verdict.error is None
    assert verdict.graph["asked"].inputs["resize_type.width"] == 32
    assert verdict.graph["asked"].inputs["resize_type.height"] == 32


@pytest.mark.parametrize("slot", [["image", 0], ["gone", 0], ["image", 9]])
def test_a_wrapped_list_that_reads_like_a_link_is_rejected(slot):
    """A real server queues it; where it leads to no node, that prompt is the last that its queue ever begins."""
    graph = {"image": IMAGE, "out": node("PreviewAny", source={"__value__": slot})}

    assert judge(graph).error["type"] == "prompt_outputs_failed_validation"
