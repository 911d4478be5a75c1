"""What changed between two recordings of nodes."""

from zoetrope.graphs import catalog
from zoetrope.graphs.catalog import Catalog, Input, Signature
from zoetrope.graphs.drift import Change, drift


def of(**nodes):
    return Catalog(comfyui="x", nodes=nodes)


def test_nodes_inputs_and_outputs_that_went_or_came():
    old = of(
        Gone=Signature(),
        A=Signature(
            inputs={"a": Input(type="INT"), "b": Input(type="INT", min=0)}, outputs=("IMAGE",)
        ),
    )
    new = of(
        A=Signature(
            inputs={"b": Input(type="INT", min=1, required=False), "c": Input(type="MASK")},
            outputs=("IMAGE", "MASK"),
        ),
        New=Signature(),
    )
    assert drift(old, new) == (
        Change("A", "input a is gone"),
        Change("A", "input c is new (required MASK)"),
        Change("A", "input b: is optional now"),
        Change("A", "input b: min was 0, is 1"),
        Change("A", "outputs were IMAGE, are IMAGE, MASK"),
        Change("Gone", "is gone"),
    )
    assert drift(old, new, ["New"]) == (Change("New", "is new"),)


def test_options_and_types():
    old = of(
        A=Signature(inputs={"a": Input(type="COMBO", options=("x", "y")), "b": Input(type="INT")})
    )
    new = of(
        A=Signature(inputs={"a": Input(type="COMBO", options=("y", "z")), "b": Input(type="FLOAT")})
    )
    assert [change.what for change in drift(old, new)] == [
        "input a: no longer takes x",
        "input a: takes z too",
        "input b: was INT, is FLOAT",
    ]


def test_files_are_a_hosts_own_and_no_drift():
    old = of(A=Signature(inputs={"a": Input(type="COMBO", files="vae", options=("x",))}))
    new = of(
        A=Signature(inputs={"a": Input(type="COMBO", files="vae", options=("y",), default="y")})
    )
    assert drift(old, new) == ()


def test_the_recorded_versions_in_their_order():
    assert catalog.versions() == ("0.3.64", "0.8.0", "0.27.1", catalog.PINNED)
    changed = {change.node for change in drift(catalog.load("0.3.64"), catalog.load())}
    assert "ClownsharKSampler_Beta" in changed
    assert "VAEDecode" not in changed
