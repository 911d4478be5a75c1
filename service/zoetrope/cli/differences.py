"""What differs between a receipt and the service now, in plain words; a pure comparison."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ..domain.environment import Environment, ModelFile, NodePack
from ..graphs.memory import class_of
from ..web.environment_views import EngineEnvironment, Environments
from .receipt_file import PastAttempt, PastReceipt

Note = tuple[bool, str]  # whether it surely differs, or cannot be compared; and the sentence


class Comparison(msgspec.Struct, frozen=True):
    """What differs, and what cannot be compared."""

    differs: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def compare(past: PastReceipt, now: Environments, pictures: tuple[str, ...] = ()) -> Comparison:
    """Compare a receipt with what the service would use now; `pictures` are the hashes of those at hand."""
    notes = dict.fromkeys([*_pictures(past, pictures), *_recipe(past), *_engine(past, now)])
    return Comparison(
        tuple(text for sure, text in notes if sure), tuple(text for sure, text in notes if not sure)
    )


def _pictures(past: PastReceipt, pictures: tuple[str, ...]) -> Iterator[Note]:
    # One picture of a loop stands twice in the receipt.
    then = tuple(dict.fromkeys(image.sha256 for image in past.images))
    if pictures and then and tuple(dict.fromkeys(pictures)) != then:
        yield True, "The picture is not the one of the receipt."


def _recipe(past: PastReceipt) -> Iterator[Note]:
    if not past.recipe_version:
        yield (
            False,
            "The receipt of an earlier zoetrope names no version of the recipe; the present one is used.",
        )


def _engine(past: PastReceipt, now: Environments) -> Iterator[Note]:
    up = [engine for engine in now.engines if engine.up and engine.environment is not None]
    if not up:
        yield False, "No engine answers now, so nothing can be compared."
        return
    for stage in past.stages:
        attempt = stage.last
        engine = next((each for each in up if each.name == attempt.engine), up[0])
        yield from _attempt(attempt, engine, past.classes())


def _attempt(then: PastAttempt, now: EngineEnvironment, classes: tuple[int, ...]) -> Iterator[Note]:
    has = now.environment
    assert has is not None
    yield from _value("ComfyUI", then.version, now.version)
    yield from _value("The attention kernel", then.attention, now.attention)
    if then.memory and now.memory:
        before, after = class_of(then.memory, classes), class_of(now.memory, classes)
        if before != after:
            yield (
                True,
                f"The GPU memory class: {before} GB then, {after} GB now; the size of the video can differ.",
            )
    else:
        yield False, "The GPU memory class is unknown, then or now."
    if then.environment is None:
        yield (
            False,
            "The receipt of an earlier zoetrope names no model files, node packs and packages.",
        )
        return
    for what, key in (("The GPU", "gpu"), ("The driver", "driver"), ("The runtime", "runtime")):
        yield from _value(what, getattr(then.environment, key), getattr(has, key))
    yield from _models(then.environment, has)
    yield from _packs(then.environment, has)


def _value(what: str, then: str, now: str) -> Iterator[Note]:
    if then and now and then != now:
        yield True, f"{what}: {then} then, {now} now."
    elif then != now:
        yield False, f"{what} is unknown {'now' if then else 'in the receipt'}."


def _models(then: Environment, now: Environment) -> Iterator[Note]:
    found = {file.name: file for file in now.models}
    for file in then.models:
        yield from _model(
            file, found.get(file.name, ModelFile(name=file.name, unknown="not asked"))
        )


def _model(then: ModelFile, now: ModelFile) -> Iterator[Note]:
    what = f"The model {then.name}"
    if then.sha256 and now.sha256:
        if then.sha256 != now.sha256:
            change = f"SHA-256 {then.sha256[:12]} then, {now.sha256[:12]} now"
            yield True, f"{what} is a different file: {change}."
    elif then.size and now.size and then.size != now.size:
        yield True, f"{what} is a different file: {then.size} bytes then, {now.size} now."
    elif then.same_file(now):
        yield False, f"{what} has the same size and time as then; its hash is unknown."
    elif then.unknown:
        yield False, f"{what} cannot be compared; its hash was unknown then: {then.unknown}."
    else:
        yield False, f"{what} cannot be compared; its hash is unknown now: {now.unknown}."


def _packs(then: Environment, now: Environment) -> Iterator[Note]:
    if why := then.packs_unknown or now.packs_unknown:
        when = "then" if then.packs_unknown else "now"
        yield False, f"The node packs cannot be compared; they are unknown {when}: {why}."
        return
    before, after = ({pack.name: pack for pack in each.packs} for each in (then, now))
    for name in dict.fromkeys((*before, *after)):
        if name not in after:
            yield True, f"The node pack {name} is missing now."
        elif name not in before:
            yield True, f"The node pack {name} is new since then."
        else:
            yield from _pack(before[name], after[name])


def _pack(then: NodePack, now: NodePack) -> Iterator[Note]:
    what = f"The node pack {then.name}"
    if then.source and now.source:
        if then.source != now.source:
            yield True, f"{what}: {_version(then)} then, {_version(now)} now."
    elif then.version != now.version and then.version and now.version:
        yield True, f"{what}: {then.version} then, {now.version} now."
    elif why := then.unknown or now.unknown:
        yield False, f"{what} cannot be compared: {why}."


def _version(pack: NodePack) -> str:
    return f"{pack.version} ({pack.source})" if pack.version else pack.source
