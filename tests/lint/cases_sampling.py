"""S, C, F, E, R: stages, guidance, frames, first and last pictures, interpolation."""

from tests.lint.case import case
from tests.lint.graphs import (
    HIGH,
    LOW,
    At,
    advanced,
    changed,
    clownshark,
    first_and_last,
    full,
    hero,
    lightning,
    native_upscale,
    node,
    one_sampler,
    small,
    upscale,
    wrapper,
)

PORTRAIT = {"width": 480, "height": 832}


def reversed_experts():
    return hero(high=LOW, low=HIGH)


def reversed_over_frames():
    """The low expert's frames are encoded again for the high expert."""
    graph = one_sampler()
    inputs = {**graph["cond"].inputs, "start_image": ["between", 0]}
    sampler = {**graph["ks_low"].inputs, "model": ["shift_high", 0]}
    sampler |= {"positive": ["again", 0], "negative": ["again", 1], "latent_image": ["again", 2]}
    return changed(
        {
            **graph,
            "between": node("VAEDecode", samples=At("ks_low"), vae=At("vae")),
            "again": node("WanImageToVideo", **inputs),
            "ks_high": node("KSampler", **sampler),
        },
        decode__samples=At("ks_high"),
    )


def unjoined(**settings):
    """The hero, whose low stage is given the empty latent instead of the high stage's."""
    return changed(hero(), **{"ks_low__latent_image": At("cond:2"), **settings})


def two_passes(**settings):
    """A pair makes a clip, and a third sampler makes another one that begins with its frames."""
    graph = hero()
    again = node("WanImageToVideo", **{**graph["cond"].inputs, "start_image": At("decode")})
    inputs = {**graph["ks_low"].inputs, "add_noise": "enable", "start_at_step": 0}
    inputs |= {"positive": At("cond2"), "negative": At("cond2:1"), "latent_image": At("cond2:2")}
    graph |= {
        "cond2": again,
        "second": node("KSamplerAdvanced", **inputs),
        "decode2": node("VAEDecode", samples=At("second"), vae=At("vae")),
    }
    return changed(graph, video__images=At("decode2"), **settings)


def nag(**settings):
    graph = hero()
    patch = node(
        "WanVideoNAG",
        model=At("unet_low"),
        conditioning=At("neg"),
        nag_scale=11.0,
        nag_alpha=0.25,
        nag_tau=2.5,
    )
    return changed({**graph, "nag": patch}, shift_low__model=At("nag"), **settings)


def loop(**settings):
    return changed(wrapper(), embeds__end_image=At("image"), **settings)


def single(steps, denoise):
    """5B weights in a plain KSampler."""
    return changed(small(), ks__steps=steps, ks__denoise=denoise)


def core_after_clownshark():
    graph = clownshark()
    graph["ks_low"] = advanced(
        "shift_low",
        "ks_high",
        add_noise="disable",
        steps=10,
        cfg=1.0,
        start_at_step=3,
        end_at_step=10000,
        return_with_leftover_noise="disable",
    )
    return graph


def slow_upscale(**settings):
    return changed(
        upscale(),
        load=None,
        parts=node(
            "VHS_LoadVideo",
            video="clip.mp4",
            force_rate=16,
            custom_width=0,
            custom_height=0,
            frame_load_cap=0,
            skip_first_frames=0,
            select_every_nth=1,
        ),
        **settings,
    )


CASES = (
    case(
        "S001",
        good=hero(),
        bad=reversed_experts(),
        at="ks_low",
    ),
    case(
        "S001",
        good=reversed_experts(),
        bad=reversed_over_frames(),
        at="ks_high",
        good_facts={"tags": ["experimental.low_to_high"]},
    ),
    case(
        "S002",
        good=hero(),
        bad=changed(hero(), ks_low__start_at_step=7),
        at="ks_low.start_at_step",
    ),
    case(
        "S002", good=wrapper(), bad=changed(wrapper(), ks_low__start_step=3), at="ks_low.start_step"
    ),
    case("S003", good=hero(), bad=changed(hero(), ks_low__steps=24), at="ks_low.steps"),
    case(
        "S004",
        good=hero(),
        bad=changed(hero(), ks_high__return_with_leftover_noise="disable"),
        at="ks_high.return_with_leftover_noise",
    ),
    case(
        "S005", good=hero(), bad=changed(hero(), ks_low__add_noise="enable"), at="ks_low.add_noise"
    ),
    case(
        "S006",
        good=hero(),
        bad=changed(hero(), ks_low__return_with_leftover_noise="enable"),
        at="ks_low.return_with_leftover_noise",
    ),
    case(
        "S006",
        good=changed(hero(), ks_low__end_at_step=20),
        bad=changed(hero(), ks_low__end_at_step=18),
        at="ks_low.end_at_step",
    ),
    case(
        "S007",
        good=changed(hero(), ks_high__end_at_step=9, ks_low__start_at_step=9),
        bad=changed(hero(), ks_high__end_at_step=10, ks_low__start_at_step=10),
        at="ks_high.end_at_step",
    ),
    case(
        "S007",
        good=lightning(),
        bad=changed(clownshark(), ks_high__steps_to_run=5),
        at="ks_high.steps_to_run",
    ),
    case(
        "S008",
        good=hero(),
        bad=changed(hero(), ks_high__end_at_step=3, ks_low__start_at_step=3),
        at="ks_high.end_at_step",
    ),
    case(
        "S016",
        good=hero(),
        bad=changed(hero(), ks_high__end_at_step=6, ks_low__start_at_step=6),
        at="ks_high.end_at_step",
    ),
    case("S017", good=hero(), bad=unjoined(), at="ks_low.latent_image"),
    case(
        "S017",
        good=wrapper(),
        bad=changed(wrapper(), ks_low__samples=None),
        at="ks_low.samples",
    ),
    case("S018", good=hero(), bad=unjoined(), at="ks_high"),
    case("S018", good=two_passes(), bad=two_passes(cond2__start_image=At("image")), at="ks_low"),
    case(
        "S009",
        good=changed(hero(), ks_high__end_at_step=10, ks_low__start_at_step=10),
        bad=hero(),
        at="ks_high.end_at_step",
    ),
    case("S010", good=lightning(), bad=changed(lightning(), ks_high__steps=10), at="ks_high.steps"),
    case("S011", good=hero(), bad=changed(hero(), ks_high__steps=10), at="ks_high.steps"),
    case(
        "S011", good=clownshark(), bad=changed(clownshark(), ks_high__steps=7), at="ks_high.steps"
    ),
    case("S012", good=hero(), bad=changed(hero(), shift_low__shift=6.0), at="shift_low.shift"),
    case("S012", good=wrapper(), bad=changed(wrapper(), ks_low__shift=5.0), at="ks_low.shift"),
    case(
        "S013",
        good=lightning(),
        bad=changed(lightning(), shift_low__shift=8.0),
        at="shift_low.shift",
    ),
    case(
        "S013",
        good=hero(),
        bad=changed(lightning(), ks_low__model=At("lora_low")),
        at="ks_low.model",
    ),
    case("S014", good=hero(), bad=changed(hero(), shift_low__shift=2.5), at="shift_low.shift"),
    case("S014", good=hero(shift=12.0), bad=hero(shift=13.0), at="shift_high.shift"),
    case("S015", good=hero(), bad=one_sampler(), at="ks_low"),
    case("S015", good=single(20, 0.5), bad=single(8, 0.5), at="ks.denoise"),
    case("C001", good=lightning(), bad=changed(lightning(), ks_low__cfg=3.5), at="ks_low.cfg"),
    case("C002", good=hero(), bad=changed(hero(), ks_high__cfg=1.0), at="ks_high.cfg"),
    case("C003", good=hero(), bad=changed(hero(), ks_high__cfg=1.0), at="neg.text"),
    case(
        "C003",
        good=changed(nag(), ks_high__cfg=1.0),
        bad=changed(lightning(), neg__text="jitter"),
        at="neg.text",
    ),
    case("C004", good=nag(), bad=nag(ks_low__cfg=3.5), at="nag"),
    case(
        "C005", good=hero(), bad=changed(hero(), ks_low__scheduler="karras"), at="ks_low.scheduler"
    ),
    case(
        "C006",
        good=changed(hero(), ks_high__sampler_name="dpmpp_2m_sde"),
        bad=changed(hero(), ks_low__sampler_name="dpmpp_2m_sde"),
        at="ks_low.sampler_name",
    ),
    case(
        "C006",
        good=lightning(),
        bad=changed(lightning(), ks_high__sampler_name="euler_ancestral"),
        at="ks_high.sampler_name",
    ),
    case(
        "C007",
        good=hero(),
        bad=changed(hero(), ks_low__sampler_name="res_2s"),
        at="ks_low.sampler_name",
    ),
    case("C007", good=hero(), bad=clownshark(), at="ks_high.sampler_name"),
    case(
        "C008",
        good=changed(hero(), ks_high__cfg=7.0),
        bad=changed(hero(), ks_high__cfg=7.0, ks_high__steps=12),
        at="ks_high.cfg",
    ),
    case(
        "C010",
        good=changed(hero(), ks_low__sampler_name="res_2s"),
        bad=changed(lightning(), ks_low__sampler_name="res_2s"),
        at="ks_low.sampler_name",
    ),
    case(
        "C011",
        good=changed(lightning(), ks_low__sampler_name="lcm"),
        bad=changed(hero(), ks_low__sampler_name="lcm"),
        at="ks_low.sampler_name",
    ),
    case(
        "C011",
        good=wrapper(),
        bad=changed(wrapper(), ks_low__scheduler="lcm/beta"),
        at="ks_low.scheduler",
    ),
    case("C009", good=clownshark(), bad=core_after_clownshark(), at="ks_low.latent_image"),
    case("F001", good=hero(), bad=changed(hero(), cond__length=72), at="cond.length"),
    case(
        "F001",
        good=wrapper(),
        bad=changed(wrapper(), embeds__num_frames=96),
        at="embeds.num_frames",
    ),
    case("F002", good=hero(), bad=changed(hero(), video__fps=24.0), at="video.fps"),
    case("F002", good=full(), bad=changed(full(), final__fps=48.0), at="final.fps"),
    case(
        "F002",
        good=small(),
        bad=changed(
            hero(),
            keep=node(
                "VHS_VideoCombine",
                images=At("decode"),
                frame_rate=8,
                loop_count=0,
                filename_prefix="whole",
                format="video/h264-mp4",
                pingpong=False,
                save_output=True,
            ),
        ),
        at="keep.frame_rate",
    ),
    case("F003", good=hero(), bad=changed(hero(), cond__length=85), at="cond.length"),
    case("F004", good=hero(), bad=changed(hero(), cond__height=840), at="cond.height"),
    case(
        "F005",
        good=hero(width=512, height=512),
        bad=hero(),
        at="cond",
        facts={"memory_gb": 16},
    ),
    case(
        "F005",
        good=hero(width=1280, height=720),
        bad=hero(width=1280, height=720),
        at="cond",
        facts={"memory_gb": 32},
        good_facts={"memory_gb": 80},
    ),
    case(
        "F006",
        good=hero(width=720, height=1280),
        bad=hero(width=832, height=1216),
        at="cond.width",
        facts={"aspect": "9:16"},
    ),
    case(
        "F007",
        good=hero(),
        bad=hero(width=832, height=480),
        at="cond.start_image",
        facts={"picture": PORTRAIT},
    ),
    case("F008", good=hero(), bad=hero(batch_size=2), at="cond.batch_size"),
    case(
        "E001",
        good=first_and_last(),
        bad=changed(first_and_last(), cond__end_image=None),
        at="cond.end_image",
        facts={"tags": ["flf"]},
    ),
    case("E002", good=first_and_last(), bad=first_and_last(end="picture.png"), at="cond.end_image"),
    case(
        "E002",
        good=first_and_last(),
        bad=changed(first_and_last(), cond__end_image=At("image")),
        at="cond.end_image",
    ),
    case(
        "E003",
        good=loop(embeds__fun_or_fl2v_model=True),
        bad=loop(),
        at="embeds.fun_or_fl2v_model",
    ),
    case(
        "R001",
        good=full(),
        bad=changed(
            full(),
            upscale__image=At("rife"),
            rife__frames=At("decode"),
            final__images=At("upscale"),
        ),
        at="rife",
    ),
    case(
        "R001",
        good=native_upscale(),
        bad=changed(
            native_upscale(),
            rife__images=At("parts"),
            large__input=At("rife"),
            final__images=At("colored"),
        ),
        at="rife",
    ),
    case("R002", good=full(), bad=changed(full(), final__fps=16.0), at="final.fps"),
    case(
        "R002",
        good=native_upscale(),
        bad=changed(native_upscale(), final__fps=At("parts:2")),
        at="final.fps",
    ),
    case(
        "R002",
        good=changed(upscale(), final__fps=16.0),
        bad=changed(upscale(), final__fps=At("parts:2")),
        at="final.fps",
    ),
    case("R002", good=slow_upscale(), bad=slow_upscale(final__fps=16.0), at="final.fps"),
    case(
        "R002",
        good=changed(full(), final__fps=16.0),
        bad=changed(full(), final__fps=16.0),
        at="final.fps",
        good_facts={"tags": ["slow-motion"]},
    ),
)
