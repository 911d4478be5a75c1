"""V, U, R, A, I: decoding, upscaling, interpolation, attention, the picture."""

from tests.lint.case import case
from tests.lint.graphs import (
    At,
    changed,
    full,
    hero,
    lightning,
    native_upscale,
    node,
    tiled,
    upscale,
    wrapper,
)

PICTURE = {"width": 1080, "height": 1920}
SEVEN = "seedvr2_ema_7b_fp16.safetensors"


def sage(mode="auto", *, both=True, **settings):
    graph = hero()
    for stage in ("high", "low") if both else ("high",):
        graph[f"sage_{stage}"] = node(
            "PathchSageAttentionKJ", model=At(f"unet_{stage}"), sage_attention=mode
        )
        graph = changed(graph, **{f"shift_{stage}__model": At(f"sage_{stage}")})
    return changed(graph, **settings)


def compiled():
    graph = sage()
    compiler = node("TorchCompileModel", model=At("sage_low"), backend="inductor")
    return changed({**graph, "compiler": compiler}, shift_low__model=At("compiler"))


def cached(graph):
    cache = node(
        "EasyCache",
        model=At("unet_high"),
        reuse_threshold=0.2,
        start_percent=0.15,
        end_percent=0.95,
        verbose=False,
    )
    return changed({**graph, "cache": cache}, shift_high__model=At("cache"))


def flattened():
    graph = hero()
    white = {
        "white": node("EmptyImage", width=480, height=832, batch_size=1, color=0xFFFFFF),
        "flat": node(
            "ImageCompositeMasked",
            destination=At("white"),
            source=At("image"),
            mask=At("image:1"),
            x=0,
            y=0,
            resize_source=True,
        ),
    }
    return changed({**graph, **white}, cond__start_image=At("flat"))


CASES = (
    case(
        "V001",
        good=tiled(),
        bad=changed(tiled(), decode__temporal_size=64),
        at="decode.temporal_size",
    ),
    case(
        "V002", good=tiled(), bad=changed(tiled(), cond__width=480, cond__height=832), at="decode"
    ),
    case(
        "V003",
        good=changed(wrapper(), decode__enable_vae_tiling=True),
        bad=changed(wrapper(), decode__enable_vae_tiling=True, decode__tile_x=144),
        at="decode.tile_x",
    ),
    case(
        "U001",
        good=upscale(),
        bad=changed(upscale(), dit__offload_device="none"),
        at="dit.offload_device",
    ),
    case(
        "U001",
        good=changed(upscale(), dit__blocks_to_swap=0, dit__offload_device="none"),
        bad=changed(upscale(), dit__device="cpu"),
        at="dit.offload_device",
    ),
    case(
        "U002",
        good=changed(upscale(), upvae__cache_model=True),
        bad=changed(upscale(), upvae__cache_model=True, upvae__offload_device="none"),
        at="upvae.offload_device",
    ),
    case(
        "U013",
        good=native_upscale(),
        bad=changed(native_upscale(), **{"batches__chunking_mode.frames_per_chunk": 12}),
        at="batches.chunking_mode.frames_per_chunk",
    ),
    case(
        "U003",
        good=upscale(),
        bad=changed(upscale(), upscale__batch_size=12),
        at="upscale.batch_size",
    ),
    case(
        "U004",
        good=changed(upscale(), upscale__batch_size=5, upscale__temporal_overlap=2),
        bad=changed(upscale(), upscale__batch_size=1, upscale__temporal_overlap=0),
        at="upscale.batch_size",
    ),
    case(
        "U005",
        good=upscale(),
        bad=changed(upscale(), upscale__temporal_overlap=13),
        at="upscale.temporal_overlap",
    ),
    case(
        "U006",
        good=changed(
            full(),
            upscale__uniform_batch_size=False,
            upscale__batch_size=81,
            upscale__temporal_overlap=0,
        ),
        bad=changed(full(), upscale__uniform_batch_size=False),
        at="upscale.uniform_batch_size",
    ),
    case(
        "U006",
        good=changed(
            full(),
            cut=node("ImageFromBatch", image=At("decode"), batch_index=0, length=13),
            upscale__image=At("cut"),
            upscale__uniform_batch_size=False,
        ),
        bad=changed(
            full(),
            upscale__uniform_batch_size=False,
            upscale__batch_size=33,
            upscale__temporal_overlap=0,
        ),
        at="upscale.uniform_batch_size",
    ),
    case("U007", good=upscale(), bad=changed(upscale(), upscale__seed=2**32), at="upscale.seed"),
    case(
        "U008",
        good=upscale(),
        bad=changed(upscale(), dit__blocks_to_swap=33),
        at="dit.blocks_to_swap",
    ),
    case(
        "U008",
        good=changed(upscale(), dit__model=SEVEN, dit__blocks_to_swap=36),
        bad=changed(upscale(), dit__model=SEVEN, dit__blocks_to_swap=37),
        at="dit.blocks_to_swap",
    ),
    case(
        "U009",
        good=upscale(),
        bad=changed(upscale(), upvae__decode_tiled=False),
        at="upvae.decode_tiled",
        facts={"memory_gb": 16},
    ),
    case(
        "U009",
        good=changed(upscale(), dit__model=SEVEN),
        bad=changed(upscale(), dit__model=SEVEN),
        at="dit.model",
        facts={"memory_gb": 15.6},
        good_facts={"memory_gb": 24},
    ),
    case(
        "U009",
        good=changed(upscale(), upscale__batch_size=21),
        bad=changed(upscale(), upscale__batch_size=25),
        at="upscale.batch_size",
        facts={"memory_gb": 16},
    ),
    case(
        "U010",
        good=upscale(),
        bad=upscale(),
        at="dit.attention_mode",
        facts={"kernels": frozenset()},
        good_facts={"kernels": frozenset({"sageattention"})},
    ),
    case(
        "U010",
        good=changed(upscale(), dit__attention_mode="sageattn_3"),
        bad=changed(upscale(), dit__attention_mode="sageattn_3"),
        at="dit.attention_mode",
        facts={"architecture": "sm_89"},
        good_facts={"architecture": "sm_120"},
    ),
    case(
        "U011",
        good=upscale(),
        bad=changed(upscale(), upscale__resolution=720),
        at="upscale.resolution",
        facts={"picture": {"width": 720, "height": 1280}},
    ),
    case(
        "U011", good=full(), bad=changed(full(), upscale__resolution=480), at="upscale.resolution"
    ),
    case(
        "U012",
        good=upscale(),
        bad=changed(
            upscale(),
            upscale=node("SeedVR2", images=At("parts"), model="seedvr2_ema_3b_fp16.safetensors"),
        ),
        at="upscale",
    ),
    case(
        "R003",
        good=upscale(),
        bad=changed(upscale(), rife=node("FL_RIFE", images=At("upscale"), multiplier=2)),
        at="rife",
    ),
    case(
        "R004",
        good=changed(upscale(), rife__clear_cache_after_n_frames=20),
        bad=changed(upscale(), rife__clear_cache_after_n_frames=30),
        at="rife.clear_cache_after_n_frames",
    ),
    case(
        "R004",
        good=changed(full(), rife__frames=At("decode")),
        bad=changed(full(), rife__frames=At("decode"), cond__width=4096, cond__height=4096),
        at="rife",
        facts={"ram_gb": 8},
    ),
    case(
        "R004", good=full(), bad=full(), at="rife", facts={"ram_gb": 3}, good_facts={"ram_gb": 64}
    ),
    case(
        "A001",
        good=sage(),
        bad=sage("sageattn3"),
        at="sage_high.sage_attention",
    ),
    case("A002", good=sage(), bad=sage(both=False), at="ks_high.model"),
    case(
        "A002",
        good=sage(both=False),
        bad=sage(both=False),
        at="ks_high.model",
        good_facts={"flags": ("--use-sage-attention",)},
    ),
    case(
        "A003",
        good=compiled(),
        bad=compiled(),
        at="ks_low.model",
        facts={"flags": ("--fast", "fp16_accumulation")},
        good_facts={"flags": ("--fast", "autotune")},
    ),
    case(
        "A004",
        good=changed(wrapper(), unet_low__attention_mode="sageattn"),
        bad=changed(wrapper(), unet_low__attention_mode="sageattn_compiled"),
        at="unet_low.attention_mode",
    ),
    case(
        "A005",
        good=cached(hero()),
        bad=changed(cached(lightning()), cache__model=At("lora_high")),
        at="cache",
    ),
    case(
        "A005",
        good=wrapper(),
        bad=changed(
            {
                **wrapper(),
                "cache": node("WanVideoTeaCache", rel_l1_thresh=0.3, start_step=1, end_step=-1),
            },
            ks_low__cache_args=At("cache"),
            ks_low__steps=8,
        ),
        at="cache",
    ),
    case(
        "A006",
        good=wrapper(),
        bad=changed(wrapper(), unet_low__load_device="main_device"),
        at="unet_low.load_device",
        facts={"memory_gb": 24},
    ),
    case(
        "I001",
        good=flattened(),
        bad=hero(),
        at="image.image",
        facts={"picture": {**PICTURE, "alpha": True}},
    ),
    case(
        "I001",
        good=hero(),
        bad=hero(),
        at="image.image",
        facts={"picture": {**PICTURE, "alpha": True}},
        good_facts={"picture": PICTURE},
    ),
)
