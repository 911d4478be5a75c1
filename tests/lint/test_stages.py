"""Samplers of every runtime are read, and who goes on with whose latent is known."""

from tests.lint.graphs import At, changed, clownshark, hero, lightning, node, one_sampler, wrapper
from zoetrope.graphs import catalog
from zoetrope.lint import stages
from zoetrope.lint.graph_view import GraphView


def found(graph):
    return stages.find(GraphView(graph, catalog.load()))


def custom():
    """The hero's high stage with SamplerCustomAdvanced."""
    return {
        **hero(),
        "guider": node(
            "CFGGuider", model=At("shift_high"), positive=At("cond"), negative=At("cond:1"), cfg=3.5
        ),
        "schedule": node(
            "BasicScheduler", model=At("shift_high"), scheduler="simple", steps=20, denoise=1.0
        ),
        "parts": node("SplitSigmas", sigmas=At("schedule"), step=5),
        "kind": node("KSamplerSelect", sampler_name="euler"),
        "noise": node("RandomNoise", noise_seed=1),
        "ks_high": node(
            "SamplerCustomAdvanced",
            noise=At("noise"),
            guider=At("guider"),
            sampler=At("kind"),
            sigmas=At("parts"),
            latent_image=At("cond:2"),
        ),
    }


def test_the_pair_is_read_with_all_its_settings():
    high, low = (found(hero())[name] for name in ("ks_high", "ks_low"))

    assert (high.expert, high.steps, high.start, high.end, high.ran) == ("high", 20, 0, 5, 5)
    assert (high.cfg, high.sampler, high.scheduler) == (3.5, "euler", "simple")
    assert (high.noise, high.leftover, high.shift) == (True, True, 8.0)
    assert (low.previous, low.ran, low.noise, low.leftover) == ("ks_high", 15, False, False)


def test_a_pair_is_joined_through_nodes_that_only_resize_the_latent():
    resize = node("LatentUpscaleBy", samples=At("ks_high"), upscale_method="area", scale_by=1.5)
    graph = changed({**hero(), "larger": resize}, ks_low__latent_image=At("larger"))
    assert found(graph)["ks_low"].previous == "ks_high"


def test_without_a_node_for_it_wan_has_the_shift_that_comfyui_gives_it():
    graph = changed(hero(), ks_low__model=At("unet_low"))
    assert found(graph)["ks_low"].shift == 8.0
    assert found(graph)["ks_low"].shift_place is None


def test_a_chained_sampler_goes_on_with_the_schedule_of_the_first():
    low = found(clownshark())["ks_low"]
    assert (low.steps, low.scheduler, low.start, low.ran) == (10, "simple", 3, 7)


def test_the_wrappers_sampler_has_its_settings_under_other_names():
    high, low = (found(wrapper())[name] for name in ("ks_high", "ks_low"))
    assert (high.runtime, high.end, high.shift, high.scheduler) == ("wrapper", 5, 8.0, "unipc")
    assert (low.previous, low.end, low.ran) == ("ks_high", -1, 15)


def test_the_wrappers_newer_sampler_has_its_schedule_in_a_node_of_its_own():
    schedule = node("WanVideoSchedulerv2", scheduler="euler", steps=20, shift=5.0, start_step=5)
    inputs = {**wrapper()["ks_low"].inputs, "scheduler": ["schedule", 0]}
    graph = {**wrapper(), "schedule": schedule, "ks_low": node("WanVideoSamplerv2", **inputs)}
    low = found(graph)["ks_low"]
    assert (low.steps, low.shift, low.start, low.ran) == (20, 5.0, 5, 15)
    assert low.place("start") == ("schedule", "start_step")


def test_a_stage_whose_end_is_not_known_ran_nobody_knows_how_long():
    graph = changed({**hero(), "odd": node("Somebody")}, ks_high__end_at_step=At("odd"))
    assert found(graph)["ks_high"].ran is None


def test_a_custom_sampler_is_read_over_the_nodes_before_it():
    high = found(custom())["ks_high"]
    assert (high.cfg, high.steps, high.end, high.sampler) == (3.5, 20, 5, "euler")
    assert high.expert == "high"
    assert high.place("cfg") == ("guider", "cfg")
    assert high.place("end") == ("parts", "step")


def test_what_conditions_a_sampler_ends_at_models_and_other_samplers():
    view = GraphView(lightning(), catalog.load())
    low = stages.find(view)["ks_low"]
    assert stages.around(view, low) == {"cond", "pos", "neg", "clip", "vae", "image"}


def test_a_sampler_before_another_is_found_over_frames_as_well():
    graph = changed(one_sampler(), decode2=node("VAEDecode", samples=At("ks_low"), vae=At("vae")))
    again = node("WanImageToVideo", start_image=At("decode2"))
    graph = {**graph, "again": again, "ks2": node("KSampler", latent_image=At("again:2"))}
    view = GraphView(graph, catalog.load())
    second = stages.find(view)["ks2"]
    assert set(stages.before(view, second, stages.around(view, second))) == {"ks_low"}
    assert second.previous is None
