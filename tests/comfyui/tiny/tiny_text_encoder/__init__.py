"""For tests alone: WAN's text encoder as small as the model that `make tiny-models` wrote. Real weights do not load with it."""

import json
from pathlib import Path

import comfy.text_encoders.wan as wan
from comfy import sd1_clip
from comfy.text_encoders.t5 import T5

_REAL = Path(wan.__file__).with_name("umt5_config_xxl.json")
_SIZES = Path(__file__).with_name("sizes.json")
_CONFIG = json.loads(_REAL.read_text()) | json.loads(_SIZES.read_text())


class SmallTextEncoder(sd1_clip.SDClipModel):
    """In the place of the encoder whose sizes are fixed in ComfyUI's code."""

    def __init__(self, **options):
        given = {key: options.get(key) for key in ("dtype", "layer_idx")}
        super().__init__(
            device=options.get("device", "cpu"),
            layer=options.get("layer", "last"),
            textmodel_json_config=dict(_CONFIG),
            special_tokens={"end": 1, "pad": 0},
            model_class=T5,
            enable_attention_masks=True,
            zero_out_masked=True,
            model_options=options.get("model_options", {}),
            **given,
        )


wan.UMT5XXlModel = SmallTextEncoder
NODE_CLASS_MAPPINGS = {}
