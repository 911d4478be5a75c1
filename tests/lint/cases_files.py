"""Z, M, L, W: structure, files, LoRAs, the wrapper."""

from tests.lint.case import case
from tests.lint.graphs import (
    HIGH,
    LORA_HIGH,
    LORA_LOW,
    LOW,
    OLD_LORA,
    T2V_HIGH,
    T2V_LOW,
    UMT5,
    VAE,
    At,
    changed,
    clownshark,
    control,
    full,
    hero,
    lightning,
    node,
    small,
    text_to_video,
    upscale,
    wrapper,
)
from zoetrope.graphs.document import read

PINNED = frozenset(
    {
        f"diffusion_models/{HIGH}",
        f"diffusion_models/{LOW}",
        f"text_encoders/{UMT5}",
        f"vae/{VAE}",
    }
)

GGUF_LOW = "Wan2.2-I2V-A14B-LowNoise-Q4_K_M.gguf"
GGUF_HIGH = "Wan2.2-I2V-A14B-HighNoise-Q4_K_M.gguf"


def summed(**inputs):
    """The hero with a length from a formula."""
    graph = {**hero(), "sum": node("ComfyMathExpression", **inputs)}
    return changed(graph, cond__length=At("sum:1"))


def page_format():
    return read({"nodes": [{"id": 1, "type": "LoadImage"}], "links": []}, "page")


def gguf(**settings):
    graph = wrapper(high=GGUF_HIGH, low=GGUF_LOW)
    lora = node("WanVideoLoraSelect", lora=LORA_HIGH, strength=1.0, merge_loras=False)
    return changed({**graph, "lora": lora}, unet_high__lora=At("lora"), **settings)


def managed(**settings):
    """A GGUF file whose memory another node is to manage."""
    vram = node("WanVideoVRAMManagement", offload_percent=1.0)
    return gguf(vram=vram, unet_low__vram_management_args=At("vram"), **settings)


def with_clip_vision():
    vision = {
        "cv": node("CLIPVisionLoader", clip_name="clip_vision_h.safetensors"),
        "cve": node("CLIPVisionEncode", clip_vision=At("cv"), image=At("image"), crop="none"),
    }
    return changed({**hero(), **vision}, cond__clip_vision_output=At("cve"))


def four_loras(count):
    graph = hero()
    before = "unet_high"
    for i in range(count):
        graph[f"style{i}"] = node(
            "LoraLoaderModelOnly",
            model=At(before),
            lora_name=f"style_{i}.safetensors",
            strength_model=0.5,
        )
        before = f"style{i}"
    return changed(graph, shift_high__model=At(before))


def with_lora(name, **settings):
    return changed(lightning(), lora_high__lora_name=name, **settings)


def vace(graph):
    inputs = {k: v for k, v in graph["cond"].inputs.items() if k != "start_image"}
    return {**graph, "cond": node("WanVaceToVideo", **inputs, strength=1.0)}


def t2v_vace():
    return vace(hero(high=T2V_HIGH, low=T2V_LOW))


def empty_embeds(**weights):
    embeds = node("WanVideoEmptyEmbeds", width=480, height=832, num_frames=81)
    return {**wrapper(**weights), "embeds": embeds}


def core_before_wrapper():
    """The wrapper's low stage goes on with what a core sampler made."""
    graph = {**hero(), **{k: v for k, v in wrapper().items() if k in {"t5", "text"}}}
    theirs = wrapper()
    graph |= {"wvae": theirs["vae"], "wunet": theirs["unet_low"], "embeds": theirs["embeds"]}
    return changed(
        graph,
        embeds__vae=At("wvae"),
        ks_low=theirs["ks_low"],
        ks_low__model=At("wunet"),
    )


CASES = (
    case(
        "Z001",
        good=hero(),
        bad=changed(hero(), decode=node("VAEDecodeAgain", samples=At("ks_low"), vae=At("vae"))),
        at="decode",
    ),
    case("Z002", good=upscale(), bad=changed(upscale(), rife__dtype=None), at="rife.dtype"),
    case(
        "Z002",
        good=summed(**{"expression": "a", "values.a": 81}),
        bad=summed(expression="81"),
        at="sum.values.a",
    ),
    case("Z003", good=hero(), bad=page_format()),
    case("Z011", good=hero(), bad=changed(hero(), ks_low__cfg=101), at="ks_low.cfg"),
    case("Z011", good=hero(), bad=changed(hero(), ks_low__cfg="much"), at="ks_low.cfg"),
    case("Z011", good=hero(), bad=changed(hero(), ks_low__scheduler="odd"), at="ks_low.scheduler"),
    case(
        "Z004",
        good=hero(),
        bad=changed(hero(), decode__vae=At("nobody")),
        at="decode.vae",
    ),
    case("Z004", good=hero(), bad=changed(hero(), decode__vae=At("vae:1")), at="decode.vae"),
    case("Z004", good=hero(), bad=changed(hero(), decode__vae=At("image")), at="decode.vae"),
    case("Z004", good=hero(), bad=changed(hero(), decode__vae=["vae"]), at="decode.vae"),
    case(
        "Z004", good=hero(), bad=changed(hero(), shift_low__model=At("shift_low")), at="shift_low"
    ),
    case("Z004", good=hero(), bad=changed(hero(), decode__vae="vae"), at="decode.vae"),
    case("Z004", good=hero(), bad=changed(hero(), decode__vae=[7, 0]), at="decode.vae"),
    case("Z005", good=hero(), bad=changed(hero(), cond__width=500), at="cond.width"),
    case(
        "Z005",
        good=upscale(),
        bad=changed(upscale(), upscale__resolution=1081),
        at="upscale.resolution",
    ),
    case("Z006", good=hero(), bad=changed(hero(), save=None)),
    case(
        "Z007",
        good=full(),
        bad=changed(full(), save_final__filename_prefix="clip"),
        at="save_final.filename_prefix",
    ),
    case(
        "Z008",
        good=changed(hero(), image__image="jobs/7/picture.png"),
        bad=changed(hero(), image__image="/etc/passwd"),
        at="image.image",
    ),
    case(
        "Z008",
        good=changed(hero(), save__filename_prefix="a..b/clip"),
        bad=changed(hero(), save__filename_prefix="clips/../../x"),
        at="save.filename_prefix",
    ),
    case("Z008", good=hero(), bad=changed(hero(), image__image="C:\\x.png"), at="image.image"),
    case(
        "Z010",
        good=hero(),
        bad=hero(),
        facts={"file": "video_wan2_2_14B_i2v (2).json"},
        good_facts={"file": "video_wan2_2_14B_i2v.json"},
    ),
    case("M001", good=hero(), bad=changed(hero(), unet_low=None), at="unet_high.unet_name"),
    case("M001", good=wrapper(), bad=changed(wrapper(), unet_high=None), at="unet_low.model"),
    case(
        "M002",
        good=hero(),
        bad=changed(hero(), vae__vae_name="wan2.2_vae.safetensors"),
        at="vae.vae_name",
    ),
    case(
        "M002",
        good=small(),
        bad=changed(small(), vae__vae_name="Wan2_1_VAE_bf16.safetensors"),
        at="vae.vae_name",
    ),
    case(
        "M003",
        good=small(),
        bad=changed(small(), unet__unet_name=LOW),
        at="cond",
    ),
    case(
        "M004",
        good=control(),
        bad=changed(control(), unet_high__unet_name=HIGH, unet_low__unet_name=LOW),
        at="cond",
    ),
    case("M005", good=hero(), bad=hero(high=T2V_HIGH, low=T2V_LOW), at="cond"),
    case(
        "M005",
        good=text_to_video(),
        bad=changed(text_to_video(), unet_high__unet_name=HIGH, unet_low__unet_name=LOW),
        at="latent",
    ),
    case("M006", good=hero(), bad=changed(hero(), clip__type="sd3"), at="clip.type"),
    case(
        "M006",
        good=hero(),
        bad=changed(hero(), clip__clip_name="t5xxl_fp16.safetensors"),
        at="clip.clip_name",
    ),
    case(
        "M007",
        good=hero(),
        bad=changed(hero(), clip__clip_name="umt5-xxl-enc-fp8_e4m3fn.safetensors"),
        at="clip.clip_name",
    ),
    case("M007", good=wrapper(), bad=changed(wrapper(), t5__model_name=UMT5), at="t5.model_name"),
    case(
        "M008",
        good=changed(
            hero(),
            clip=node("CLIPLoaderGGUF", clip_name="umt5-xxl-encoder-Q8_0.gguf", type="wan"),
        ),
        bad=changed(hero(), clip=node("CLIPLoaderGGUF", clip_name=UMT5, type="wan")),
        at="clip.clip_name",
    ),
    case(
        "M009",
        good=hero(),
        bad=changed(hero(), unet_low__unet_name="wan2.2-rapid-mega-aio-v10.safetensors"),
        at="unet_low.unet_name",
    ),
    case(
        "M009",
        good=with_lora(OLD_LORA),
        bad=changed(hero(), unet_low__unet_name="wan2.1_i2v_720p_14B_fp8_scaled.safetensors"),
        at="unet_low.unet_name",
    ),
    case(
        "M010",
        good=hero(),
        bad=changed(hero(), unet_low__unet_name="mine_low_noise.safetensors"),
        at="unet_low.unet_name",
        facts={"pinned": PINNED},
    ),
    case(
        "M010",
        good=hero(),
        bad=hero(),
        facts={"pinned": PINNED - {f"vae/{VAE}"}},
        good_facts={},
        at="vae.vae_name",
    ),
    case(
        "M011",
        good=hero(),
        bad=changed(hero(), unet_low=node("UnetLoaderGGUF", unet_name=GGUF_LOW)),
        at="unet_low",
    ),
    case(
        "M011",
        good=hero(),
        bad=changed(hero(), unet_low__weight_dtype="fp8_e5m2"),
        at="unet_low",
    ),
    case(
        "M012",
        good=hero(),
        bad=changed(hero(), unet_low__weight_dtype="fp8_e4m3fn"),
        at="unet_low.weight_dtype",
    ),
    case(
        "M012",
        good=hero(),
        bad=changed(hero(), unet_low__unet_name="Wan2_2-I2V-A14B-LOW_fp8_e5m2.safetensors"),
        at="unet_low.unet_name",
    ),
    case("M013", good=hero(), bad=with_clip_vision(), at="cond.clip_vision_output"),
    case("M014", good=wrapper(), bad=core_before_wrapper(), at="ks_low"),
    case(
        "M014",
        good=hero(),
        bad=changed(
            {
                **hero(),
                "wvae": node("WanVideoVAELoader", model_name="Wan2_1_VAE_bf16.safetensors"),
                "encoded": node("WanVideoEncode", vae=At("wvae"), image=At("image")),
            },
            ks_high__latent_image=At("encoded"),
        ),
        at="encoded",
    ),
    case(
        "L001",
        good=lightning(),
        bad=changed(lightning(), lora_high__lora_name=LORA_LOW),
        at="lora_high.lora_name",
    ),
    case(
        "L002",
        good=lightning(),
        bad=with_lora("wan2.2_t2v_lightx2v_4steps_lora_v1.1_high_noise.safetensors"),
        at="lora_high.lora_name",
    ),
    case(
        "L003",
        good=lightning(),
        bad=changed(lightning(), shift_high__model=At("unet_high")),
        at="ks_high.model",
    ),
    case(
        "L003",
        good=changed(lightning(), shift_high__model=At("unet_high"), ks_high__cfg=3.5),
        bad=changed(lightning(), lora_low__strength_model=0.0),
        at="ks_low.model",
    ),
    case("L004", good=lightning(), bad=with_lora(OLD_LORA), at="lora_high.lora_name"),
    case(
        "L005",
        good=changed(lightning(), lora_high__strength_model=1.5),
        bad=changed(lightning(), lora_high__strength_model=2.0),
        at="lora_high.strength_model",
    ),
    case("L006", good=four_loras(3), bad=four_loras(4), at="ks_high.model"),
    case(
        "L007", good=clownshark(), bad=changed(clownshark(), ks_low__model=None), at="ks_low.model"
    ),
    case("W001", good=t2v_vace(), bad=vace(hero()), at="cond"),
    case("W002", good=empty_embeds(high=T2V_HIGH, low=T2V_LOW), bad=empty_embeds(), at="embeds"),
    case(
        "W003",
        good=changed(wrapper(), ks_low__denoise_strength=1.0),
        bad=changed(wrapper(), ks_low__denoise_strength=0.7),
        at="ks_low.denoise_strength",
    ),
    case(
        "A007",
        good=gguf(),
        bad=gguf(unet_low__quantization="fp8_e4m3fn"),
        at="unet_low.quantization",
    ),
    case("A007", good=gguf(), bad=gguf(lora__merge_loras=True), at="lora.merge_loras"),
    case("A007", good=gguf(), bad=managed(), at="unet_low.vram_management_args"),
    case(
        "A007",
        good=wrapper(),
        bad=changed(
            {
                **wrapper(),
                "swap": node(
                    "WanVideoBlockSwap",
                    blocks_to_swap=20,
                    offload_img_emb=False,
                    offload_txt_emb=False,
                ),
                "vram": node("WanVideoVRAMManagement", offload_percent=1.0),
            },
            unet_low__block_swap_args=At("swap"),
            unet_low__vram_management_args=At("vram"),
        ),
        at="unet_low.vram_management_args",
    ),
)
