"""One check says whether a node's inputs fit its signature, as ComfyUI says it, and never more laxly."""

import pytest

from zoetrope.graphs import catalog
from zoetrope.graphs.catalog import Input, Signature, Slots
from zoetrope.graphs.document import Link
from zoetrope.graphs.fit import MisfitKind, accepts, astray, declared, faults, fitted, joins
from zoetrope.graphs.graph import Node as Given

PINNED = catalog.load()


def judged(item, value):
    return fitted(item, value, lambda known: known.options)


INT = Input(type="INT", min=0, max=100)
FLOAT = Input(type="FLOAT", min=0.0, max=1.0)
CHOICE = Input(type="COMBO", options=("a", "b", 8))
SEVERAL = Input(type="COMBO", options=("a", "b"), multiselect=True)
DYNAMIC = Input(type="COMFY_DYNAMICCOMBO_V3", options=("on", "off"))


@pytest.mark.parametrize(
    ("item", "value", "found"),
    [
        (INT, 7, 7),
        (INT, "64", 64),
        (INT, 2.7, 2),
        (INT, True, 1),
        (INT, {"__value__": "5"}, 5),
        (FLOAT, 1, 1.0),
        (FLOAT, "0.5", 0.5),
        (Input(type="STRING"), 5, "5"),
        (Input(type="STRING"), None, "None"),
        (Input(type="STRING"), {"__value__": ["a"]}, "['a']"),
        (Input(type="BOOLEAN"), "false", True),
        (CHOICE, "a", "a"),
        (CHOICE, 8, 8),
        (SEVERAL, {"__value__": ["a", "b"]}, ["a", "b"]),
        (SEVERAL, {"__value__": []}, []),
        (SEVERAL, "a", "a"),
        (DYNAMIC, "on", "on"),
        (Input(type="INT,FLOAT", min=0), 5, 5),
        (Input(type="*"), {"any": 1}, {"any": 1}),
        (Input(type="MODEL", required=False), None, None),
        (Input(type="COLOR"), "#fff", "#fff"),
    ],
)
def test_a_value_is_turned_into_the_inputs_type(item, value, found):
    given, kind, _ = judged(item, value)
    assert kind is None
    assert (given, type(given)) == (found, type(found))


@pytest.mark.parametrize(
    ("item", "value", "kind"),
    [
        (INT, -1, MisfitKind.SMALL),
        (INT, 101, MisfitKind.LARGE),
        (INT, "101", MisfitKind.LARGE),
        (INT, "much", MisfitKind.TYPE),
        (INT, "1.5", MisfitKind.TYPE),
        (INT, None, MisfitKind.TYPE),
        (INT, {}, MisfitKind.TYPE),
        (INT, float("inf"), MisfitKind.TYPE),
        (INT, "9" * 5000, MisfitKind.TYPE),
        (FLOAT, 1.5, MisfitKind.LARGE),
        (FLOAT, "nan", MisfitKind.TYPE),
        (FLOAT, 10**400, MisfitKind.TYPE),
        (Input(type="STRING"), 10**5000, MisfitKind.TYPE),
        (CHOICE, "c", MisfitKind.CHOICE),
        (CHOICE, "8", MisfitKind.CHOICE),
        (CHOICE, {"__value__": ["a"]}, MisfitKind.CHOICE),
        (CHOICE, {"a": 1}, MisfitKind.CHOICE),
        (SEVERAL, {"__value__": ["a", "c"]}, MisfitKind.CHOICE),
        (DYNAMIC, "maybe", MisfitKind.CHOICE),
        (Input(type="INT,FLOAT", min=0), "x", MisfitKind.TYPE),
        (Input(type="INT,FLOAT", min=0), -1, MisfitKind.SMALL),
        (Input(type="MODEL"), "unet", MisfitKind.HANDED),
        (Input(type="MODEL"), None, MisfitKind.HANDED),
        (Input(type="LATENT", required=False), 5, MisfitKind.HANDED),
    ],
    ids=lambda value: getattr(value, "type", None) or type(value).__name__,
)
def test_what_does_not_fit_is_named(item, value, kind):
    assert judged(item, value)[1] is kind


def test_options_that_nobody_can_tell_refuse_nothing():
    assert fitted(CHOICE, "c", lambda _: None) == ("c", None, "")


@pytest.mark.parametrize(
    ("given", "wanted", "fit"),
    [
        ("IMAGE", "IMAGE", True),
        ("IMAGE", "MASK", False),
        ("*", "MASK", True),
        ("IMAGE", "*", True),
        ("IMAGE", "IMAGE,MASK", True),
        ("COMFY_MATCHTYPE_V3", "MODEL", True),
        ("INT", "FLOAT, INT", True),
        ("STRING", "FLOAT,INT", False),
        ("FLOAT", "INT", False),
    ],
)
def test_outputs_fit_inputs_of_their_type(given, wanted, fit):
    assert accepts(given, wanted) is fit


def test_a_choice_in_the_older_spelling_takes_an_output_of_any_type_alone():
    older, newer = Input(type="COMBO"), Input(type="COMBO", multiselect=False)
    assert [joins(older, given) for given in ("COMBO", "STRING", "*")] == [False, False, True]
    assert [joins(newer, given) for given in ("COMBO", "STRING", "*")] == [True, False, True]


def test_a_growing_group_counts_as_its_slots_and_needs_the_first_ones():
    group = Input(type="COMFY_AUTOGROW_V3", slots=Slots(type="IMAGE", prefix="image", min=2))
    found = declared(
        Signature(inputs={"images": group}), {"images.image1": ["a", 0], "images.x": 1}
    )

    assert [(name, item.required) for name, item in found] == [
        ("images.image0", True),
        ("images.image1", True),
        ("images.x", False),
    ]
    spare = Input(type="COMFY_AUTOGROW_V3", required=False, slots=group.slots)
    assert declared(Signature(inputs={"images": spare}), {}) == []


def test_links_are_looked_at_in_the_graph_that_they_are_in():
    graph = {"vae": Given(class_type="VAELoader"), "odd": Given(class_type="Nobody")}

    assert astray(Link("vae", 0), graph, PINNED) is None
    assert astray(Link("odd", 9), graph, PINNED) is None
    for link, kind in ((Link("vae", 1), MisfitKind.NO_OUTPUT), (Link("vae", -1), MisfitKind.NO_OUTPUT),
                       (Link("gone", 0), MisfitKind.NO_NODE)):  # fmt: skip
        assert astray(link, graph, PINNED)[0] is kind


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (["vae"], MisfitKind.NO_LINK),
        ([7, 0], MisfitKind.NO_LINK),
        (["vae", 0.0], MisfitKind.NO_LINK),
        (["gone", 0], MisfitKind.NO_NODE),
        (["vae", -1], MisfitKind.NO_OUTPUT),
        (["image", 0], MisfitKind.OTHER_TYPE),
        ("vae", MisfitKind.HANDED),
    ],
)
def test_a_nodes_faults_are_listed_in_the_order_of_its_signature(value, kind):
    graph = {"vae": Given(class_type="VAELoader"), "image": Given(class_type="LoadImage")}
    node = Given(class_type="VAEDecode", inputs={"vae": value, "more": 1})
    found = list(faults(node, PINNED.nodes["VAEDecode"], graph, PINNED, lambda _: None))

    assert [(fault.input, fault.kind) for fault in found] == [
        ("samples", MisfitKind.MISSING),
        ("vae", kind),
    ]


ASKS = Input(
    type="COMFY_DYNAMICCOMBO_V3",
    options=("size", "factor", "as it is"),
    branches={
        "size": {"width": Input(type="INT", min=0), "crop": Input(type="COMBO", options=("no",))},
        "factor": {"by": Input(type="FLOAT", required=False)},
    },
)


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ("size", ["how", "how.width", "how.crop"]),
        ("factor", ["how", "how.by"]),
        ("as it is", ["how"]),
        ("odd", ["how"]),
        (["a", 0], ["how"]),
        ({"__value__": "size"}, ["how"]),
        (None, ["how"]),
    ],
)
def test_a_dynamic_choice_asks_for_the_inputs_of_its_option(chosen, names):
    assert [n for n, _ in declared(Signature(inputs={"how": ASKS}), {"how": chosen})] == names


def test_what_an_option_asks_for_is_checked_like_any_input():
    image = Given(class_type="EmptyImage")
    given = {"input": ["image", 0], "scale_method": "area", "resize_type": "scale dimensions"}
    node = Given(
        class_type="ResizeImageMaskNode",
        inputs={**given, "resize_type.width": -1, "resize_type.crop": "odd"},
    )
    signature = PINNED.nodes["ResizeImageMaskNode"]
    found = faults(node, signature, {"image": image}, PINNED, lambda item: item.options)

    assert [(fault.input, fault.kind) for fault in found] == [
        ("resize_type.width", MisfitKind.SMALL),
        ("resize_type.height", MisfitKind.MISSING),
        ("resize_type.crop", MisfitKind.CHOICE),
    ]


@pytest.mark.parametrize(
    ("written", "astray"),
    [
        ({"codec": "h264"}, []),
        ({}, []),
        ({"format.codec": "h264"}, []),
        ({"format.codec": "h264", "format.codec.encoding": "auto"}, []),
        ({"format.codec": "mpeg2"}, ["format.codec"]),
        ({"format.codec": "h264", "format.codec.encoding": "re-encode"},
         ["format.codec.encoding.crf", "format.codec.encoding.color_space"]),
    ],
)  # fmt: skip
def test_a_choice_within_a_choice_may_be_left_out_and_is_checked_where_it_is_written(
    written, astray
):
    video = Given(class_type="LoadVideo")
    given = {"video": ["video", 0], "filename_prefix": "x", "format": "mp4"}
    node = Given(class_type="SaveVideo", inputs={**given, **written})
    signature = PINNED.nodes["SaveVideo"]
    found = faults(node, signature, {"video": video}, PINNED, lambda item: item.options)

    assert [fault.input for fault in found] == astray


@pytest.mark.parametrize("value", [["vae", 0], ["gone", 0]])
def test_a_value_that_the_server_would_follow_as_a_link_is_no_value(value):
    kind = judged(Input(type="*"), {"__value__": value})[1]
    assert kind is MisfitKind.HANDED
    assert judged(Input(type="*"), {"__value__": [1, 2, 3]})[1] is None


def test_the_name_of_an_input_file_comes_from_no_other_node():
    graph = {"text": Given(class_type="PrimitiveString"), "odd": Given(class_type="Nobody")}
    signature = PINNED.nodes["LoadImage"]

    def found(link):
        node = Given(class_type="LoadImage", inputs={"image": link})
        return [fault.kind for fault in faults(node, signature, graph, PINNED, lambda _: None)]

    assert found(["text", 0]) == [MisfitKind.FILE]
    assert found(["odd", 0]) == []
