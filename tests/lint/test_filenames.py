"""File names that are in use tell family, task, expert, size, distillation and quantisation."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoetrope.lint.filenames import tag


@pytest.mark.parametrize(
    ("name", "family", "task", "expert", "size", "quantisation"),
    [
        ("wan2.2_i2v_high_noise_14B_fp8_scaled.safetensors", "wan2.2", "i2v", "high", "14b", "fp8_e4m3"),
        ("wan2.2_i2v_low_noise_14B_fp16.safetensors", "wan2.2", "i2v", "low", "14b", "fp16"),
        ("wan2.2_t2v_low_noise_14B_fp8_scaled.safetensors", "wan2.2", "t2v", "low", "14b", "fp8_e4m3"),
        ("wan2.2_ti2v_5B_fp16.safetensors", "wan2.2", "ti2v", "", "5b", "fp16"),
        ("wan2.2_fun_control_high_noise_14B_fp8_scaled.safetensors", "wan2.2", "fun_control", "high", "14b", "fp8_e4m3"),
        ("wan2.2_fun_inpaint_low_noise_14B_fp8_scaled.safetensors", "wan2.2", "fun_inpaint", "low", "14b", "fp8_e4m3"),
        ("wan2.2_fun_camera_high_noise_14B_bf16.safetensors", "wan2.2", "fun_camera", "high", "14b", "bf16"),
        ("Wan2.2-Fun-A14B-Control-HIGH.safetensors", "wan2.2", "fun_control", "high", "14b", ""),
        ("wan2.2_s2v_14B_fp8_scaled.safetensors", "wan2.2", "s2v", "", "14b", "fp8_e4m3"),
        ("Wan2_2-Animate-14B_fp8_e4m3fn_scaled_KJ.safetensors", "wan2.2", "animate", "", "14b", "fp8_e4m3"),
        ("HighNoise/Wan2.2-I2V-A14B-HighNoise-Q4_K_M.gguf", "wan2.2", "i2v", "high", "14b", "gguf q4_k_m"),
        ("Wan2.2-I2V-A14B-LowNoise-Q8_0.gguf", "wan2.2", "i2v", "low", "14b", "gguf q8_0"),
        ("Wan2_2-I2V-A14B-LOW_fp8_e5m2_scaled_KJ.safetensors", "wan2.2", "i2v", "low", "14b", "fp8_e5m2"),
        ("tiny_wan22_i2v_high_noise.safetensors", "wan2.2", "i2v", "high", "14b", ""),
        ("wan2.1_i2v_720p_14B_fp8_scaled.safetensors", "wan2.1", "i2v", "", "14b", "fp8_e4m3"),
        ("lightx2v_I2V_14B_480p_cfg_step_distill_rank64_bf16.safetensors", "wan2.1", "i2v", "", "14b", "bf16"),
        ("Wan21_T2V_14B_lightx2v_cfg_step_distill_lora_rank32.safetensors", "wan2.1", "t2v", "", "14b", ""),
        ("seedvr2_ema_7b_fp8_e4m3fn_mixed_block35_fp16.safetensors", "", "", "", "7b", "fp8_e4m3"),
        ("seedvr2_ema_3b-Q8_0.gguf", "", "", "", "3b", "gguf q8_0"),
        ("flux1-dev.safetensors", "", "", "", "", ""),
    ],
)  # fmt: skip
def test_what_a_name_tells(name, family, task, expert, size, quantisation):
    found = tag(name)
    assert (found.family, found.task, found.expert, found.size) == (family, task, expert, size)
    assert found.quantisation == quantisation


@pytest.mark.parametrize(
    ("name", "distilled"),
    [
        ("wan2.2_i2v_lightx2v_4steps_lora_v1_high_noise.safetensors", True),
        ("WAN2.2-I2V_A14B-DISTILL-LIGHTX2V-4STEP-high-Q4_K_M.gguf", True),
        ("Wan22_A14B_T2V_HIGH_Lightning_4steps_lora_250928_rank128_fp16.safetensors", True),
        ("Wan21_CausVid_14B_T2V_lora_rank32.safetensors", True),
        ("wan2.2_i2v_high_noise_14B_fp8_scaled.safetensors", False),
        ("dance_steps_high_noise.safetensors", False),
        ("lora_trained_2000_steps.safetensors", False),
    ],
)
def test_distilled_weights_are_known_by_name(name, distilled):
    assert tag(name).distilled is distilled


def test_an_expert_that_is_spelled_out_outweighs_a_plain_word():
    assert tag("wan2.2_i2v_high_quality_low_noise_14B.safetensors").expert == "low"
    assert tag("wan2.2_i2v_high_low_merge_14B.safetensors").expert == ""


@settings(deadline=None)
@given(st.text(max_size=2000))
def test_any_name_has_a_tag(name):
    assert tag(name).name == name
