"""Small graphs to lint: each as people run it, without anything to find but what a test puts in."""

from zoetrope.graphs.graph import Node

HIGH = "wan2.2_i2v_high_noise_14B_fp8_scaled.safetensors"
LOW = "wan2.2_i2v_low_noise_14B_fp8_scaled.safetensors"
T2V_HIGH = "wan2.2_t2v_high_noise_14B_fp8_scaled.safetensors"
T2V_LOW = "wan2.2_t2v_low_noise_14B_fp8_scaled.safetensors"
CONTROL_HIGH = "wan2.2_fun_control_high_noise_14B_fp8_scaled.safetensors"
CONTROL_LOW = "wan2.2_fun_control_low_noise_14B_fp8_scaled.safetensors"
SMALL = "wan2.2_ti2v_5B_fp16.safetensors"
LORA_HIGH = "wan2.2_i2v_lightx2v_4steps_lora_v1_high_noise.safetensors"
LORA_LOW = "wan2.2_i2v_lightx2v_4steps_lora_v1_low_noise.safetensors"
OLD_LORA = "Wan21_I2V_14B_lightx2v_cfg_step_distill_lora_rank64.safetensors"
UMT5 = "umt5_xxl_fp8_e4m3fn_scaled.safetensors"
VAE = "wan_2.1_vae.safetensors"


def node(class_type, /, **inputs):
    """Write a node; a value that is an `At` becomes a link."""
    return Node(class_type=class_type, inputs={k: _link(v) for k, v in inputs.items()})


class At(str):
    """A link: `At("cond:2")` is output 2 of `cond`, `At("vae")` the first output of `vae`."""

    __slots__ = ()


def _link(value):
    if not isinstance(value, At):
        return value
    name, _, slot = value.partition(":")
    return [str(name), int(slot or 0)]


def changed(graph, **changes):
    """Change nodes: `ks_low__cfg=2.0` sets an input, `ks_low__cfg=None` takes it away, `extra=node(…)` adds."""
    graph = dict(graph)
    for place, value in changes.items():
        name, _, key = place.partition("__")
        if not key:
            graph.pop(name, None)
            if value is not None:
                graph[name] = value
            continue
        inputs = {k: v for k, v in graph[name].inputs.items() if k != key}
        if value is not None:
            inputs[key] = _link(value)
        graph[name] = Node(class_type=graph[name].class_type, inputs=inputs, meta=graph[name].meta)
    return graph


def conditioned(text="A woman turns her head. Her hair stirs.", negative="blurred, jitter", **size):
    """Prompts, VAE, picture and WanImageToVideo."""
    edges = {"width": 480, "height": 832, "length": 81, "batch_size": 1, **size}
    return {
        "clip": node("CLIPLoader", clip_name=UMT5, type="wan", device="default"),
        "pos": node("CLIPTextEncode", clip=At("clip"), text=text),
        "neg": node("CLIPTextEncode", clip=At("clip"), text=negative),
        "vae": node("VAELoader", vae_name=VAE),
        "image": node("LoadImage", image="picture.png"),
        "cond": node(
            "WanImageToVideo",
            positive=At("pos"),
            negative=At("neg"),
            vae=At("vae"),
            start_image=At("image"),
            **edges,
        ),
    }


def advanced(model, latent, **settings):
    """KSamplerAdvanced on the conditioning of `cond`."""
    return node(
        "KSamplerAdvanced",
        model=At(model),
        positive=At("cond"),
        negative=At("cond:1"),
        latent_image=At(latent),
        noise_seed=0,
        sampler_name="euler",
        scheduler="simple",
        **settings,
    )


def saved(samples="ks_low"):
    """Decode, 16 frames a second, save."""
    return {
        "decode": node("VAEDecode", samples=At(samples), vae=At("vae")),
        "video": node("CreateVideo", images=At("decode"), fps=16.0),
        "save": node(
            "SaveVideo", video=At("video"), filename_prefix="clip", format="auto", codec="auto"
        ),
    }


def pair(steps, split, cfg_high, cfg_low):
    """The two samplers and what follows, over `shift_high` and `shift_low`."""
    return {
        "ks_high": advanced(
            "shift_high",
            "cond:2",
            add_noise="enable",
            steps=steps,
            cfg=cfg_high,
            start_at_step=0,
            end_at_step=split,
            return_with_leftover_noise="enable",
        ),
        "ks_low": advanced(
            "shift_low",
            "ks_high",
            add_noise="disable",
            steps=steps,
            cfg=cfg_low,
            start_at_step=split,
            end_at_step=10000,
            return_with_leftover_noise="disable",
        ),
        **saved(),
    }


def hero(high=HIGH, low=LOW, shift=8.0, **given):
    """Two experts without LoRA: 5 of 20 steps high, CFG 3.5 and 1."""
    return {
        "unet_high": node("UNETLoader", unet_name=high, weight_dtype="default"),
        "unet_low": node("UNETLoader", unet_name=low, weight_dtype="default"),
        "shift_high": node("ModelSamplingSD3", model=At("unet_high"), shift=shift),
        "shift_low": node("ModelSamplingSD3", model=At("unet_low"), shift=shift),
        **conditioned(**given),
        **pair(20, 5, 3.5, 1.0),
    }


def lightning(**size):
    """Two experts with the four-step LoRAs: 2 and 2 steps, CFG 1, shift 5."""
    graph = hero(shift=5.0, negative="", **size)
    return {
        **graph,
        "lora_high": node(
            "LoraLoaderModelOnly", model=At("unet_high"), lora_name=LORA_HIGH, strength_model=1.0
        ),
        "lora_low": node(
            "LoraLoaderModelOnly", model=At("unet_low"), lora_name=LORA_LOW, strength_model=1.0
        ),
        "shift_high": node("ModelSamplingSD3", model=At("lora_high"), shift=5.0),
        "shift_low": node("ModelSamplingSD3", model=At("lora_low"), shift=5.0),
        **pair(4, 2, 1.0, 1.0),
    }


def switchable(fast):
    """The official graph: one switch puts the LoRAs on, and steps, split and CFG with them."""
    graph = lightning()

    def either(slow, quick):
        return node("ComfySwitchNode", switch=At("fast"), on_false=At(slow), on_true=At(quick))

    for name, slow, quick in (("steps", 20, 4), ("split", 9, 2)):
        graph[f"{name}_slow"] = node("PrimitiveInt", value=slow)
        graph[f"{name}_quick"] = node("PrimitiveInt", value=quick)
        graph[name] = either(f"{name}_slow", f"{name}_quick")
    graph |= {
        "fast": node("PrimitiveBoolean", value=fast),
        "cfg_slow": node("PrimitiveFloat", value=3.5),
        "cfg_quick": node("PrimitiveFloat", value=1.0),
        "cfg": either("cfg_slow", "cfg_quick"),
        "model_high": either("unet_high", "lora_high"),
        "model_low": either("unet_low", "lora_low"),
    }
    return changed(
        graph,
        shift_high__model=At("model_high"),
        shift_low__model=At("model_low"),
        ks_high__steps=At("steps"),
        ks_low__steps=At("steps"),
        ks_high__end_at_step=At("split"),
        ks_low__start_at_step=At("split"),
        ks_high__cfg=At("cfg"),
        ks_low__cfg=At("cfg"),
    )


def small():
    """The 5B model: one sampler, its own latent and VAE, 24 frames a second."""
    return {
        **conditioned(),
        "vae": node("VAELoader", vae_name="wan2.2_vae.safetensors"),
        "unet": node("UNETLoader", unet_name=SMALL, weight_dtype="default"),
        "shift": node("ModelSamplingSD3", model=At("unet"), shift=8.0),
        "cond": node(
            "Wan22ImageToVideoLatent",
            vae=At("vae"),
            width=1280,
            height=704,
            length=121,
            batch_size=1,
            start_image=At("image"),
        ),
        "ks": node(
            "KSampler",
            model=At("shift"),
            positive=At("pos"),
            negative=At("neg"),
            latent_image=At("cond"),
            seed=0,
            steps=20,
            cfg=5.0,
            sampler_name="uni_pc",
            scheduler="simple",
            denoise=1.0,
        ),
        **saved("ks"),
        "video": node("CreateVideo", images=At("decode"), fps=24.0),
    }


def text_to_video():
    """Text-to-video experts on an empty latent."""
    graph = hero(high=T2V_HIGH, low=T2V_LOW, shift=5.0)
    del graph["cond"], graph["image"]
    latent = node("EmptyHunyuanLatentVideo", width=640, height=640, length=81, batch_size=1)
    return changed(
        {**graph, "latent": latent},
        ks_high__positive=At("pos"),
        ks_high__negative=At("neg"),
        ks_low__positive=At("pos"),
        ks_low__negative=At("neg"),
        ks_high__latent_image=At("latent"),
        ks_high__end_at_step=8,
        ks_low__start_at_step=8,
        ks_low__cfg=3.5,
    )


def first_and_last(end="last.png"):
    """The hero's experts from one picture to another."""
    graph = {**hero(), "last": node("LoadImage", image=end)}
    inputs = {**graph["cond"].inputs, "end_image": ["last", 0]}
    return {**graph, "cond": Node(class_type="WanFirstLastFrameToVideo", inputs=inputs)}


def control():
    """A control video for weights that know it."""
    graph = hero(high=CONTROL_HIGH, low=CONTROL_LOW)
    inputs = {k: v for k, v in graph["cond"].inputs.items() if k != "start_image"}
    inputs |= {"ref_image": ["image", 0], "control_video": ["image", 0]}
    return {**graph, "cond": Node(class_type="Wan22FunControlToVideo", inputs=inputs)}


def clownshark():
    """RES4LYF's samplers: res_2s, ten steps, three of them high."""
    common = {
        "eta": 0.5,
        "sampler_name": "exponential/res_2s",
        "positive": At("cond"),
        "negative": At("cond:1"),
        "bongmath": True,
    }
    return {
        **hero(),
        "ks_high": node(
            "ClownsharKSampler_Beta",
            **common,
            model=At("shift_high"),
            scheduler="simple",
            steps=10,
            steps_to_run=3,
            denoise=1.0,
            cfg=3.5,
            seed=0,
            sampler_mode="standard",
            latent_image=At("cond:2"),
        ),
        "ks_low": node(
            "ClownsharkChainsampler_Beta",
            **common,
            model=At("shift_low"),
            steps_to_run=-1,
            cfg=1.0,
            sampler_mode="resample",
            latent_image=At("ks_high"),
        ),
    }


def upscale(frames="parts"):
    """SeedVR2 and RIFE over a video file, as on a card of 16 GB."""
    return {
        "load": node("LoadVideo", file="clip.mp4"),
        "parts": node("GetVideoComponents", video=At("load")),
        "dit": node(
            "SeedVR2LoadDiTModel",
            model="seedvr2_ema_3b_fp8_e4m3fn.safetensors",
            device="cuda:0",
            blocks_to_swap=20,
            swap_io_components=False,
            offload_device="cpu",
            cache_model=False,
            attention_mode="sageattn_2",
        ),
        "upvae": node(
            "SeedVR2LoadVAEModel",
            model="ema_vae_fp16.safetensors",
            device="cuda:0",
            encode_tiled=True,
            encode_tile_size=512,
            decode_tiled=True,
            decode_tile_size=512,
            offload_device="cpu",
            cache_model=False,
        ),
        "upscale": node(
            "SeedVR2VideoUpscaler",
            image=At(frames),
            dit=At("dit"),
            vae=At("upvae"),
            seed=0,
            resolution=1080,
            max_resolution=1920,
            batch_size=13,
            uniform_batch_size=True,
            color_correction="lab",
            temporal_overlap=4,
            offload_device="cpu",
        ),
        "rife": rife("upscale"),
        "final": node("CreateVideo", images=At("rife"), fps=32.0),
        "save_final": node(
            "SaveVideo", video=At("final"), filename_prefix="final", format="auto", codec="auto"
        ),
    }


def rife(frames):
    """RIFE, twice the frames."""
    return node(
        "RIFE VFI",
        ckpt_name="rife49.pth",
        frames=At(frames),
        clear_cache_after_n_frames=10,
        multiplier=2,
        fast_mode=True,
        ensemble=True,
        scale_factor=1.0,
        dtype="float32",
        torch_compile=False,
        batch_size=1,
    )


def full():
    """Hero and upscale in one graph."""
    graph = {**hero(), **upscale("decode")}
    del graph["load"], graph["parts"]
    return graph


def wrapper(high=HIGH, low=LOW):
    """WanVideoWrapper's way from a picture to a video, with both experts."""

    def loader(file):
        return node(
            "WanVideoModelLoader",
            model=file,
            base_precision="bf16",
            quantization="disabled",
            load_device="offload_device",
            attention_mode="sdpa",
        )

    def sampler(model, start, end, **samples):
        return node(
            "WanVideoSampler",
            model=At(model),
            image_embeds=At("embeds"),
            text_embeds=At("text"),
            steps=20,
            cfg=3.5,
            shift=8.0,
            seed=0,
            force_offload=True,
            scheduler="unipc",
            riflex_freq_index=0,
            start_step=start,
            end_step=end,
            denoise_strength=1.0,
            **samples,
        )

    return {
        "unet_high": loader(high),
        "unet_low": loader(low),
        "t5": node(
            "LoadWanVideoT5TextEncoder",
            model_name="umt5-xxl-enc-bf16.safetensors",
            precision="bf16",
        ),
        "text": node(
            "WanVideoTextEncode",
            t5=At("t5"),
            positive_prompt="A woman turns her head.",
            negative_prompt="jitter",
        ),
        "vae": node("WanVideoVAELoader", model_name="Wan2_1_VAE_bf16.safetensors"),
        "image": node("LoadImage", image="picture.png"),
        "embeds": node(
            "WanVideoImageToVideoEncode",
            vae=At("vae"),
            start_image=At("image"),
            width=480,
            height=832,
            num_frames=81,
            noise_aug_strength=0.0,
            start_latent_strength=1.0,
            end_latent_strength=1.0,
            force_offload=True,
            fun_or_fl2v_model=False,
        ),
        "ks_high": sampler("unet_high", 0, 5),
        "ks_low": sampler("unet_low", 5, -1, samples=At("ks_high")),
        "decode": node(
            "WanVideoDecode",
            vae=At("vae"),
            samples=At("ks_low"),
            enable_vae_tiling=False,
            tile_x=272,
            tile_y=272,
            tile_stride_x=144,
            tile_stride_y=128,
        ),
        "video": node("CreateVideo", images=At("decode"), fps=16.0),
        "save": node(
            "SaveVideo", video=At("video"), filename_prefix="clip", format="auto", codec="auto"
        ),
    }


def tiled():
    """The hero, decoded in tiles, with one tile in time over the whole clip."""
    graph = hero(width=720, height=1280)
    decode = node(
        "VAEDecodeTiled",
        samples=At("ks_low"),
        vae=At("vae"),
        tile_size=256,
        overlap=64,
        temporal_size=84,
        temporal_overlap=8,
    )
    return {**graph, "decode": decode}


def one_sampler(**settings):
    """The hero's low expert alone over both loaders, in a plain KSampler."""
    graph = hero()
    del graph["ks_high"]
    sampler = {
        "seed": 0,
        "steps": 20,
        "cfg": 3.5,
        "sampler_name": "euler",
        "scheduler": "simple",
        "denoise": 1.0,
        **settings,
    }
    ks = node(
        "KSampler",
        model=At("shift_low"),
        positive=At("cond"),
        negative=At("cond:1"),
        latent_image=At("cond:2"),
        **sampler,
    )
    return {**graph, "ks_low": ks}


def native_upscale():
    """ComfyUI's own SeedVR2 and RIFE over a video file."""
    tiles = {"tile_size": 512, "overlap": 64, "temporal_size": 64, "temporal_overlap": 8}
    resize = {"resize_type": "scale shorter dimension", "resize_type.shorter_size": 1080}
    batches = {"chunking_mode": "manual", "chunking_mode.frames_per_chunk": 13}
    return {
        "load": node("LoadVideo", file="clip.mp4"),
        "parts": node("GetVideoComponents", video=At("load")),
        "large": node("ResizeImageMaskNode", input=At("parts"), scale_method="lanczos", **resize),
        "padded": node("SeedVR2Preprocess", resized_images=At("large")),
        "dit": node(
            "UNETLoader",
            unet_name="seedvr2_3b_int8_convrot.safetensors",
            weight_dtype="default",
        ),
        "upvae": node("VAELoader", vae_name="seedvr2_ema_vae_fp16.safetensors"),
        "encode": node("VAEEncodeTiled", pixels=At("padded"), vae=At("upvae"), **tiles),
        "batches": node("SeedVR2TemporalChunk", latent=At("encode"), temporal_overlap=1, **batches),
        "upcond": node("SeedVR2Conditioning", model=At("dit"), vae_conditioning=At("batches")),
        "upscale": node(
            "KSampler",
            model=At("dit"),
            positive=At("upcond"),
            negative=At("upcond:1"),
            latent_image=At("batches"),
            seed=0,
            steps=1,
            cfg=1.0,
            sampler_name="euler",
            scheduler="simple",
            denoise=1.0,
        ),
        "whole": node(
            "SeedVR2TemporalMerge", latents=At("upscale"), temporal_overlap=At("batches:1")
        ),
        "decode": node("VAEDecodeTiled", samples=At("whole"), vae=At("upvae"), **tiles),
        "colored": node(
            "SeedVR2PostProcessing",
            images=At("decode"),
            original_resized_images=At("large"),
            color_correction_method="lab",
        ),
        "interpolator": node("FrameInterpolationModelLoader", model_name="rife_v4.26.safetensors"),
        "rife": node(
            "FrameInterpolate", interp_model=At("interpolator"), images=At("colored"), multiplier=2
        ),
        "final": node("CreateVideo", images=At("rife"), fps=32.0),
        "save_final": node(
            "SaveVideo", video=At("final"), filename_prefix="final", format="auto", codec="auto"
        ),
    }
