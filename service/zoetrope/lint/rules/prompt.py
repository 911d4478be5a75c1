"""P: what the texts say."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..findings import Hit, Put
from ..prompts import Prompt, Side, estimated_tokens, last_beat
from ..registry import rule
from ..stages import SamplerStage
from ..subject import Subject

_BRACKETED_RATIO = re.compile(r"\(\s*(\d+\s*:\s*\d+)\s*\)?")
_MOST_TOKENS = 512
_MOST_READ = 20_000
_FPS = {"14b": 16, "5b": 24}

_MOVE = re.compile(
    r"\b(?:dolly|doll(?:ies|ying)|pans?|panning|zoom(?:s|ing)?|orbit(?:s|ing)?|tilts?|tilting"
    r"|crane shot|tracking shot|push(?:es)?[- ]in|pull(?:s)?[- ](?:out|back)"
    r"|camera (?:moves?|movement|motion|follows?|glides?|circles?|rises?))\b",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"\b(?:no|not|without|never|static|fixed|locked|avoid)\b[^.,;]{0,30}$", re.IGNORECASE
)
_BANNED_MOVE = re.compile(
    r"\b(?:camera (?:movement|motion|move|moves|shake)|zoom(?:ing)?|pan(?:ning)?|dolly)\b",
    re.IGNORECASE,
)
_MOUTH = re.compile(
    r"mouth|\blips?\b|\blip[- ]|talking|speaking|speech|dialogue|\bjaw\b|\bteeth\b|tongue",
    re.IGNORECASE,
)
_EMOTION = re.compile(
    r"\b(?:smil(?:es?|ed|ing)|grin(?:s|ned|ning)?|laugh(?:s|ed|ing|ter)?|giggl(?:es?|ed|ing)"
    r"|cry|cries|crying|weep(?:s|ing)?|sob(?:s|bing)?|frown(?:s|ed|ing)?|scowl(?:s|ing)?"
    r"|pout(?:s|ing)?|scream(?:s|ing)?|anger|angry|angrily|furious(?:ly)?|surprised?|shocked"
    r"|astonish(?:ed|ment)|amazed|excited(?:ly)?|joy(?:ful|fully|ous)?|happy|happily|happiness|sad"
    r"|sadly|sadness|scared|frightened|terrified|fear(?:ful)?|disgust(?:ed)?)\b",
    re.IGNORECASE,
)
_STILL_FACE = re.compile(
    r"\b(?:closed (?:lips|mouth)|(?:lips|mouth)(?: (?:are|is|stays?|remains?|kept))? (?:closed|still)"
    r"|(?:still|static|motionless|neutral|unmoving) (?:face|expression)"
    r"|(?:face|expression) (?:is|stays?|remains?) (?:still|static|motionless|neutral))\b",
    re.IGNORECASE,
)
_BANNED_FACE = re.compile(
    r"\b(?:(?:mouth|lips?|jaw|facial) (?:opening|motion|movements?)|open(?:ing)? mouth"
    r"|facial (?:animation|expressions?)|teeth showing|tongue visible)\b",
    re.IGNORECASE,
)
_VERB = re.compile(
    r"\b(?:is|are|was|has|have|looks?|turns?|moves?|walks?|runs?|stands?|sits?|smiles?|breathes?"
    r"|blinks?|opens?|closes?|raises?|lifts?|lowers?|holds?|waves?|jumps?|dances?|falls?|rises?"
    r"|drifts?|flows?|sways?|stirs?|settles?|leans?|reaches|begins?|starts?|stays?|keeps?|comes?"
    r"|goes|shines?|glows?|flickers?|spins?|rotates?|follows?|approaches|enters?|leaves)\b",
    re.IGNORECASE,
)
_KEYWORDS = 5
_KEYWORD_LENGTH = 3


def _prompts(subject: Subject, side: Side) -> Iterator[tuple[SamplerStage, Prompt]]:
    """List each text once, with the first WAN sampler that it conditions."""
    seen: set[Prompt] = set()
    for stage in subject.wan_stages:
        for prompt in subject.texts(stage, side):
            if prompt not in seen:
                seen.add(prompt)
                yield stage, prompt


@rule(
    "P001",
    "error",
    title="ratio in brackets",
    why="`(16:9)` is parsed as a weight for the text in the brackets, and can break the picture.",
    fix="Write the ratio without brackets, or remove it.",
    source="community notes on prompt weights",
)
def bracketed_ratio(subject: Subject) -> Iterator[Hit]:
    """Find ratios in brackets in positive prompts."""
    for _, prompt in _prompts(subject, "positive"):
        found = _BRACKETED_RATIO.search(prompt.text or "")
        if found and prompt.text:
            plain = _BRACKETED_RATIO.sub(r"\1", prompt.text)
            put = (Put(prompt.node, prompt.input, plain),)
            shown = f"'{found[0]}' in the prompt"
            yield Hit(node=prompt.node, input=prompt.input, found=shown, changes=put)


@rule(
    "P002",
    "info",
    title="prompt longer than the clip",
    why="Actions after the last frame are squeezed into the frames before it, or never happen.",
    fix="End the last beat with the clip, or make the clip longer.",
    source="hero document: beats",
)
def late_beats(subject: Subject) -> Iterator[Hit]:
    """Find beats that end more than a quarter of a second after the clip."""
    for stage, prompt in _prompts(subject, "positive"):
        end = last_beat(prompt.text or "")
        lengths = [c.frames for c in subject.canvases_of(stage) if c.frames is not None]
        fps = _FPS.get(stage.chain.tag.size)
        if end is None or not lengths or fps is None:
            continue
        seconds = (max(lengths) - 1) / fps
        if end > seconds + 0.25:
            found = f"the last beat ends at {end:g} s, the clip at {seconds:g} s"
            yield Hit(node=prompt.node, input=prompt.input, found=found)


@rule(
    "P003",
    "info",
    title="camera move that the negative prompt bans",
    why="One prompt asks for what the other forbids; which one wins changes from seed to seed.",
    fix="Remove the move from one of the two.",
    source="hero document and lightning notes, put together",
)
def banned_move(subject: Subject) -> Iterator[Hit]:
    """Find camera moves in the positive prompt where the negative one bans them."""
    for stage in subject.wan_stages:
        banned = [
            found[0]
            for prompt in subject.texts(stage, "negative")
            if (found := _BANNED_MOVE.search((prompt.text or "")[:_MOST_READ]))
        ]
        for prompt in subject.texts(stage, "positive") if banned else ():
            if move := _asked(_MOVE, (prompt.text or "")[:_MOST_READ]):
                clash = f"'{move}' here, and '{banned[0]}' in the negative prompt"
                yield Hit(node=prompt.node, input=prompt.input, found=clash)


def _asked(words: re.Pattern[str], text: str) -> str:
    """Give the first of some words that a text does not deny."""
    for found in words.finditer(text):
        if not _DENIED.search(text[max(0, found.start() - 40) : found.start()]):
            return found[0]
    return ""


@rule(
    "P004",
    "info",
    title="no words against talking",
    why="WAN tends to make faces talk.",
    fix="Add to the negative prompt: talking, speaking, mouth opening, lip movement.",
    source="host guide: mouth prevention",
)
def free_mouth(subject: Subject) -> Iterator[Hit]:
    """Find guided stages of recipes for faces without a word about mouths."""
    if "faces" not in subject.context.recipe.tags:
        return
    for stage in subject.wan_stages:
        if stage.cfg is None or stage.cfg <= 1:
            continue
        negatives = subject.texts(stage, "negative")
        known = [*negatives, *subject.texts(stage, "positive")]
        if any(prompt.text is None or _MOUTH.search(prompt.text) for prompt in known):
            continue
        place = negatives[0] if negatives else None
        yield Hit(
            node=place.node if place else stage.node,
            input=place.input if place else "negative",
            found="no word against talking",
        )


@rule(
    "P005",
    "warn",
    title="prompt that is empty or too long",
    why="WAN reads 512 tokens: an empty prompt leaves everything to the picture, and further"
    " tokens are cut off.",
    fix="Say in a few sentences what moves.",
    source="Wan-Video/Wan2.2 shared_config.py: text_len 512",
)
def empty_or_long(subject: Subject) -> Iterator[Hit]:
    """Find positive prompts without a word, or with more than the model reads."""
    for _, prompt in _prompts(subject, "positive"):
        if prompt.text is None:
            continue
        tokens = estimated_tokens(prompt.text)
        if not prompt.text.strip():
            yield Hit(node=prompt.node, input=prompt.input, found="an empty prompt")
        elif tokens > _MOST_TOKENS:
            found = f"at least about {tokens} tokens"
            yield Hit(node=prompt.node, input=prompt.input, found=found)


@rule(
    "P006",
    "hint",
    title="list of keywords",
    why="WAN was trained on sentences; a list names things, but not what they do.",
    fix="Write sentences that say who does what.",
    source="host guide: natural language",
)
def keyword_list(subject: Subject) -> Iterator[Hit]:
    """Find positive prompts that are short phrases between commas, without a verb."""
    for _, prompt in _prompts(subject, "positive"):
        text = (prompt.text or "")[:_MOST_READ]
        phrases = [len(phrase.split()) for phrase in text.split(",") if phrase.strip()]
        if len(phrases) < _KEYWORDS or _VERB.search(text):
            continue
        if sorted(phrases)[len(phrases) // 2] <= _KEYWORD_LENGTH:
            found = f"{len(phrases)} phrases between commas, and no verb"
            yield Hit(node=prompt.node, input=prompt.input, found=found)


@rule(
    "P007",
    "info",
    title="emotion for a face that should keep still",
    why="A word for an emotion moves the mouth and the whole face, which the same job asks to"
    " keep still; which one wins changes from seed to seed.",
    fix="Remove the emotion, or let the face move.",
    source="parameter document: avoid emotion words that might trigger facial animation",
)
def moved_face(subject: Subject) -> Iterator[Hit]:
    """Find words for emotions where the negative or the positive prompt wants a still face."""
    for stage in subject.wan_stages:
        positives = subject.texts(stage, "positive")
        wishes = [
            (_BANNED_FACE, "the negative prompt", subject.texts(stage, "negative")),
            (_STILL_FACE, "the prompt", positives),
        ]
        still = [
            f"'{found[0]}' in {place}"
            for words, place, prompts in wishes
            for prompt in prompts
            if (found := words.search((prompt.text or "")[:_MOST_READ]))
        ]
        for prompt in positives if still else ():
            if emotion := _asked(_EMOTION, (prompt.text or "")[:_MOST_READ]):
                clash = f"'{emotion}' here, and {still[0]}"
                yield Hit(node=prompt.node, input=prompt.input, found=clash)
