"""P: prompts, and the texts that NAG is given."""

from tests.lint.case import case
from tests.lint.cases_sampling import nag
from tests.lint.graphs import At, changed, hero, node, wrapper

#: The usual list of all faults, as the lightning document has it.
SALAD = (
    "distortion, blurry textures, morphing, inconsistent proportions, extra limbs, duplicated"
    " features, stretched frames, flicker, jitter, camera shake, warped shapes, low detail,"
    " oversharpen, extreme motion blur, artifacting, color banding"
)


def prompt(text, **settings):
    return hero(text=text, **settings)


def wrapper_nag(text, **settings):
    """The wrapper's NAG with an encoder of its own."""
    graph = wrapper()
    graph |= {
        "away": node("WanVideoTextEncodeSingle", t5=At("t5"), prompt=text),
        "nag": node(
            "WanVideoApplyNAG",
            original_text_embeds=At("text"),
            nag_text_embeds=At("away"),
            nag_scale=11.0,
            nag_tau=2.5,
            nag_alpha=0.25,
        ),
    }
    return changed(graph, ks_low__text_embeds=At("nag"), **settings)


CASES = (
    case("C012", good=nag(), bad=nag(neg__text=SALAD), at="neg.text"),
    case("C012", good=wrapper_nag("jitter"), bad=wrapper_nag(SALAD), at="away.prompt"),
    case(
        "P001",
        good=prompt("A frame, 16:9, turns."),
        bad=prompt("A frame (16:9) turns."),
        at="pos.text",
    ),
    case(
        "P002",
        good=prompt("Beat 1 (0-2s): she looks up. Beat 2 (2-5s): she smiles."),
        bad=prompt("Beat 1 (0-2s): she looks up. Beat 2 (2-8s): she smiles."),
        at="pos.text",
    ),
    case(
        "P003",
        good=prompt("She turns, no zoom, the camera is still.", negative="camera movement, zoom"),
        bad=prompt("She turns in a slow dolly-in.", negative="camera movement, zoom"),
        at="pos.text",
    ),
    case(
        "P004",
        good=hero(negative="talking, mouth opening"),
        bad=hero(),
        at="neg.text",
        facts={"tags": ["faces"]},
    ),
    case("P005", good=hero(), bad=prompt(" "), at="pos.text"),
    case("P005", good=prompt("She turns. " * 200), bad=prompt("She turns. " * 300), at="pos.text"),
    case(
        "P006",
        good=prompt("A woman, backlit, turns her head, her hair stirs, dusk, film grain."),
        bad=prompt("cinematic, portrait, soft light, film grain, dusk, 50mm"),
        at="pos.text",
    ),
    case(
        "P007",
        good=prompt("She looks up with closed lips.", negative="mouth opening, lip movement"),
        bad=prompt("She looks up, smiling.", negative="mouth opening, lip movement"),
        at="pos.text",
    ),
    case(
        "P007",
        good=prompt("Her lips stay closed, without smiling."),
        bad=prompt("Her lips stay closed. She is angry."),
        at="pos.text",
    ),
)
