"""A model is followed from the sampler to its file, and what lies on the way is told."""

from tests.lint.graphs import HIGH, LORA_HIGH, At, changed, hero, lightning, node, wrapper
from zoetrope.graphs import catalog
from zoetrope.lint.chains import LONGEST, walk
from zoetrope.lint.graph_view import GraphView


def chain(graph, sampler="ks_high"):
    return walk(GraphView(graph, catalog.load()), sampler)


def test_the_way_leads_to_the_file():
    found = chain(hero())

    assert found.nodes == ("shift_high", "unet_high")
    assert (found.loader, found.tag.name) == ("unet_high", HIGH)
    assert (found.shift, found.shift_node) == (8.0, "shift_high")
    assert not found.distilled


def test_loras_on_the_way_are_told_with_their_strength():
    found = chain(lightning())

    assert [(lora.node, lora.tag.name, lora.strength) for lora in found.loras] == [
        ("lora_high", LORA_HIGH, 1.0)
    ]
    assert found.distilled


def test_a_lora_without_strength_distils_nothing():
    assert not chain(changed(lightning(), lora_high__strength_model=0.0)).distilled


def test_weights_that_are_distilled_themselves_need_no_lora():
    name = "WAN2.2-I2V_A14B-DISTILL-LIGHTX2V-4STEP-high_noise-Q4_K_M.gguf"
    assert chain(changed(hero(), unet_high__unet_name=name)).distilled


def test_patches_of_every_pack_are_passed():
    graph = hero()
    before = "unet_high"
    for i, (class_type, extra) in enumerate(
        (
            ("PathchSageAttentionKJ", {"sage_attention": "auto"}),
            ("TorchCompileModelWanVideoV2", {}),
            ("WanVideoNAG", {}),
            ("ModelPatchTorchSettings", {}),
            ("EasyCache", {}),
            ("CFGZeroStar", {}),
            ("SkipLayerGuidanceWanVideo", {}),
            ("PatchOfTomorrow", {}),
        )
    ):
        graph[f"p{i}"] = node(class_type, model=At(before), **extra)
        before = f"p{i}"
    assert chain(changed(graph, shift_high__model=At(before))).loader == "unet_high"


def test_the_shift_nearest_to_the_sampler_counts():
    graph = {**hero(), "again": node("ModelSamplingSD3", model=At("shift_high"), shift=3.0)}
    assert chain(changed(graph, ks_high__model=At("again"))).shift == 3.0


def test_a_merge_ends_the_way_because_nobody_can_say_which_expert_it_is():
    merge = node("ModelMergeSimple", model1=At("unet_high"), model2=At("unet_low"), ratio=0.5)
    found = chain(changed({**hero(), "merge": merge}, shift_high__model=At("merge")))

    assert found.loader is None
    assert not found.tag.wan


def test_what_is_missing_and_what_is_unknown_are_told_apart():
    missing = chain(changed(hero(), unet_high=None))
    unknown = chain(changed(hero(), unet_high=node("LoaderOfTomorrow")))
    unnamed = chain(changed(hero(), unet_high__unet_name=At("vae")))

    assert (missing.dangling, unknown.dangling, unnamed.dangling) == (True, False, False)
    assert not any(found.whole or found.undistilled for found in (missing, unknown, unnamed))
    assert chain(hero()).undistilled


def test_a_shift_behind_a_node_that_nobody_knows_is_not_known():
    graph = {**hero(), "odd": node("PatchOfTomorrow", model=At("shift_high"))}
    found = chain(changed(graph, ks_high__model=At("odd")))
    assert (found.shift, found.shift_node, found.loader) == (None, None, "unet_high")


def test_a_circle_ends_where_it_began():
    found = chain(changed(hero(), shift_high__model=At("shift_high")))
    assert (found.nodes, found.loader) == (("shift_high",), None)


def test_a_chain_without_end_is_left_alone():
    graph = {**hero(), "p0": node("CFGZeroStar", model=At("unet_high"))}
    for i in range(1, 5000):
        graph[f"p{i}"] = node("CFGZeroStar", model=At(f"p{i - 1}"))
    found = chain(changed(graph, shift_high__model=At("p4999")))

    assert len(found.nodes) == LONGEST
    assert found.loader is None


def test_the_wrappers_loras_come_over_their_own_input():
    graph = {
        **wrapper(),
        "first": node("WanVideoLoraSelectByName", lora_name="style", strength=0.5),
        "second": node(
            "WanVideoLoraSelect",
            lora=LORA_HIGH,
            strength=1.0,
            prev_lora=At("first"),
            merge_loras=False,
        ),
        "many": node(
            "WanVideoLoraSelectMulti",
            lora_0="none",
            lora_1="other.safetensors",
            strength_1=0.25,
            prev_lora=At("second"),
        ),
    }
    found = chain(changed(graph, unet_high__lora=At("many")))
    assert [lora.merged for lora in found.loras] == [True, False, True]

    assert [(lora.node, lora.input, lora.strength) for lora in found.loras] == [
        ("many", "lora_1", 0.25),
        ("second", "lora", 1.0),
        ("first", "lora_name", 0.5),
    ]
    assert found.distilled


def test_a_lora_of_several_that_nobody_can_name_leaves_the_chain_unknown():
    several = node("WanVideoLoraSelectMulti", lora_0="none", lora_1=LORA_HIGH)
    graph = changed(wrapper(), several=several, unet_high__lora=At("several"))

    assert chain(graph).whole
    assert len(chain(graph).loras) == 1
    assert not chain(changed(graph, several__lora_2=At("vae"))).whole
