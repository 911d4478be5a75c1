"""A kernel wheel that does not fit the one torch fails while the flake is evaluated."""

import json

import pytest

from tests.nix.render import ROOT, NixError, nix

pytestmark = pytest.mark.system("nix-instantiate")

HERE = {"torch": "2.11.0", "cuda": "13.0", "python": "3.12"}
FLASH = "flash_attn-2.8.3+cu130torch2.11-cp312-cp312-linux_x86_64.whl"


def tags(expression: str):
    return json.loads(
        nix(
            *("nix-instantiate", "--eval", "--strict", "--json", "--expr"),
            f"let t = import {ROOT}/nix/wheel-tags.nix; in {expression}",
        )
    )


def misfits(file: str, **changed: str) -> list[str]:
    values = HERE | changed | {"file": file}
    return tags("t.misfits { " + " ".join(f'{k} = "{v}";' for k, v in values.items()) + " }")


@pytest.mark.parametrize(
    "file",
    [
        FLASH,
        "sageattention-2.2.0+cu130torch2.11-cp312-cp312-manylinux_2_34_x86_64.manylinux_2_35_x86_64.whl",
        # The upstream project's own way to write it: the major version of CUDA alone, and the C++ ABI.
        "flash_attn-2.8.3+cu13torch2.11cxx11abiTRUE-cp312-cp312-linux_x86_64.whl",
        "kernels-1.0+cu130torch2.11-cp39-abi3-linux_x86_64.whl",
    ],
)
def test_right_tags_fit(file):
    assert misfits(file) == []


@pytest.mark.parametrize(
    ("file", "changed", "reason"),
    [
        (FLASH, {"torch": "2.10.0"}, "built for torch 2.11, and the one torch here is 2.10.0"),
        (FLASH, {"torch": "2.1.0"}, "built for torch 2.11, and the one torch here is 2.1.0"),
        (
            FLASH,
            {"cuda": "12.8"},
            "built for CUDA 130, and torch 2.11.0 here is built for CUDA 12.8",
        ),
        (FLASH, {"python": "3.13"}, "built for cp312, and the runtime's Python is cp313"),
        (FLASH.replace("cu130", "cu128"), {}, "built for CUDA 128"),
        (FLASH.replace("+cu130torch2.11", ""), {}, "carries no torch tag"),
        (FLASH.replace("+cu130torch2.11", "+cu130"), {}, "carries no torch tag"),
    ],
)
def test_a_wrong_tag_is_a_reason(file, changed, reason):
    assert reason in misfits(file, **changed)[0]


def test_a_misfit_stops_the_evaluation_with_its_reasons():
    assert (
        tags(
            f't.assertFits {{ torch = "2.11.0"; cuda = "13.0"; python = "3.12"; file = "{FLASH}"; }} 7'
        )
        == 7
    )
    with pytest.raises(NixError) as caught:
        tags(
            f't.assertFits {{ torch = "2.9.1"; cuda = "12.8"; python = "3.12"; file = "{FLASH}"; }} 7'
        )
    assert "does not fit: it is built for CUDA 130" in str(caught.value)
    assert "it is built for torch 2.11" in str(caught.value)


def test_a_file_that_is_no_wheel_is_refused():
    with pytest.raises(NixError, match="is not the name of a wheel"):
        tags('(t.parse "torch-2.11.0.tar.gz").pname')
