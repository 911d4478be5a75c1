"""What people see uses the field's words: those that were replaced stay out of it.

A scope is a set of texts that people see; `pytest tests/test_words.py -k docs/gpu.md` lists what one has to change.
"""

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from zoetrope.cli.group import cli

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "service" / "zoetrope"
PAGE = PACKAGE / "web" / "page"
SHOWN_ATTRIBUTES = {"alt", "aria-label", "placeholder", "title"}
RECIPE_TEXTS = {"about", "description", "guidance", "title"}


class Replaced(NamedTuple):
    """A word that people do not see any more, and the one that they see instead."""

    pattern: str  # found between word borders, in upper and lower case
    instead: str
    unless: tuple[str, ...] = ()  # where it means something else, or is a name that stays
    scopes: str = ""  # only in scopes that match; empty: in all of them


REPLACED = (
    Replaced(r"(?:your|a|to) look(?: at)?|looks? at it", "review"),
    Replaced(r"being made", "queued, running"),
    Replaced(
        r"did not become a video|become no video",
        "failed, rejected",
        (r"\A did not become a video\.\Z",),  # how reasons of an earlier version begin
    ),
    Replaced(r"(?:is|are) content", "passed"),
    Replaced(
        r"sound",
        "valid; of a clip: audio",
        (r"sound(?:track| of the (?:clip|video))",),
    ),
    Replaced(r"goes? evenly", "steady"),
    Replaced(r"read, not run", "checked, not run"),
    Replaced(r"drawn|draws? (?:one|another|a seed)", "random", (r"drawn on|drawn into",)),
    Replaced(r"not wanted", "negative prompt"),
    Replaced(r"put away|leave it|lets? go|let it go", "dismiss, discard, disconnect"),
    Replaced(r"the clip of \S+", "generated clip"),
    Replaced(r"if you like", "optional"),
    Replaced(r"as it stands", "cannot start: fix the error below"),
    Replaced(r"would go wrong", "rejected by rule ..."),
    Replaced(r"were no numbers", "produced NaN"),
    Replaced(r"mend(?:s|ed|ing)?", "fix"),
    Replaced(r"told|tells|hears? of|heard of", "reports, says", (r"tells? \S+ apart",)),
    Replaced(r"beside", "next to, with"),
    Replaced(
        r"(?:graphics )?cards?",
        "GPU",
        (
            r"/cards?\b",
            r"`cards?`",
            r"[\"']cards?[\"']",
            r"\bcards = ",
            r"\[cards\.",
            r"\.cards:",
        ),  # fields of the API; a setting
    ),
    Replaced(
        r"ladders?|rungs?|reliefs?|eas(?:e|es|ed|ing)",
        "fallback",
        (r"`(?:rungs|relief)`", r"[\"'](?:rungs|relief)[\"']", r"\bease(?:-in|-out)+"),  # fields
    ),
    Replaced(
        r"barred|on probation|untrusted", "disabled, unproven", (r"\Aon probation\Z",)
    ),  # the API's value
    Replaced(r"(?:is|are|becomes?|until|profile) trusted", "proven"),
    Replaced(r"a person's word", "`zoetrope gpu apply`"),
    # To users it is a workflow; "graph" stays inside the linter.
    Replaced(r"graphs?", "workflow", scopes=r"page|help"),
    Replaced(
        r"refus(?:e|es|ed|al|als|ing)",
        "rejected",
        (r"connection refused", r"`refusal`", r"[\"']refusal[\"']"),  # the system's; a field
    ),
    Replaced(
        r"rehears(?:e|es|ed|al|als|ing)",
        "simulated engine",
        # The alias of the command, the url and the addresses that stay.
        (r"zoetrope rehearse\b", r"\brehearsal:", r"/rehearsal\b", r"[`\"']rehears(?:e|al)[`\"']"),
    ),
    Replaced(r"sidecars?", "the service", (r"\bsidecar\.nix",)),
    Replaced(r"nobody|somebody|anybody", "user, startup, retry"),
    Replaced(r"stumbled", "unexpected error"),
    Replaced(r"trouble on trouble", "error handler failed; retrying"),
    Replaced(r"(?:take|takes|taken|took|taking)(?: \S+){0,2} back", "cancel"),
    Replaced(r"without a word", "default"),
    Replaced(r"orders? an out-of-memory", "injects an out-of-memory error"),
    Replaced(r"foresight|foresees?", "preflight"),
    Replaced(r"proofread\w*", "lint gate"),
    Replaced(r"twins?", "duplicate"),
    Replaced(r"upright", "normalized"),
    Replaced(r"once more", "again"),
)


def found_in(text: str, scope: str) -> list[str]:
    """Name what the text says in replaced words, each with what to say instead."""
    problems = []
    for word in REPLACED:
        if word.scopes and not re.search(word.scopes, scope):
            continue
        rest = (
            re.sub("|".join(word.unless), " ", text, flags=re.IGNORECASE) if word.unless else text
        )
        found = re.finditer(rf"\b(?:{word.pattern})\b", rest, re.IGNORECASE)
        problems += [f"{match[0]!r}: say {word.instead}" for match in found]
    if re.search(r"\bCAME\b", text):
        problems.append("'CAME': say AGE")
    return problems


# ---- the texts of each scope


class Visible(HTMLParser):
    """The texts and the spoken or shown attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.texts += [value for name, value in attrs if name in SHOWN_ATTRIBUTES and value]

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data)


SCRIPT = re.compile(
    r"""//[^\n]*|/\*.*?\*/"""  # comments
    r"""|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'"""  # literals
    r"""|`(?:[^`\\$]|\\.|\$(?!\{)|\$\{(?:[^{}`]|`[^`]*`|\{[^{}]*\})*\})*`"""  # templates
    r"""|(?<=[(=!] )/(?![/*])(?:[^/\\\n\[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/"""  # patterns
    r"""|(?<=\()/(?![/*])(?:[^/\\\n\[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/""",
    re.DOTALL,
)


def literals(script: str) -> Iterator[str]:
    """Give the texts of a script; what a template fills in stands as `…`, and is read for itself."""
    for match in SCRIPT.finditer(script):
        token = match[0]
        if token[0] in "\"'":
            yield token[1:-1]
        elif token[0] == "`":
            for inner in re.findall(r"\$\{((?:[^{}`]|`[^`]*`|\{[^{}]*\})*)\}", token):
                yield from literals(inner)
            yield re.sub(r"\$\{(?:[^{}`]|`[^`]*`|\{[^{}]*\})*\}", "…", token[1:-1])


def page() -> Iterator[tuple[str, str]]:
    for path in sorted(PAGE.glob("*.html")):
        parser = Visible()
        parser.feed(path.read_text())
        for text in parser.texts:
            yield path.name, text
    for path in sorted(PAGE.glob("*.js")):
        for text in literals(path.read_text()):
            yield path.name, text


def markdown(path: Path) -> Iterator[tuple[str, str]]:
    """Give a document's lines; where links lead is no word, and what stands as code is a name."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        yield f"line {number}", re.sub(r"\]\([^)]*\)|https?://\S+|`[^`]*`", "]", line)


def command_help() -> Iterator[tuple[str, str]]:
    def walk(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
        yield context.command_path, command.get_help(context)
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                assert inner is not None
                yield from walk(inner, click.Context(inner, info_name=name, parent=context))

    yield from walk(cli, click.Context(cli, info_name="zoetrope", terminal_width=100))


# Names of tables and columns stay, so that every ledger can be read.
SQL = re.compile(r"\s*(?:ALTER|BEGIN|CREATE|DROP|INSERT|PRAGMA|SELECT|UPDATE) ")


def python(*modules: Path) -> Iterator[tuple[str, str]]:
    """Give the sentences in modules: literals with a space that are neither docstring nor SQL."""
    for module in modules:
        tree = ast.parse(module.read_text())
        about = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        parts = {
            id(part)
            for node in ast.walk(tree)
            if isinstance(node, ast.JoinedStr)
            for part in node.values
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                text = "".join(
                    str(part.value) if isinstance(part, ast.Constant) else "…"
                    for part in node.values
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = "" if id(node) in about | parts else node.value
            else:
                continue
            if " " in text and not SQL.match(text):
                yield f"{module.relative_to(PACKAGE)}:{node.lineno}", text


def recipes() -> Iterator[tuple[str, str]]:
    def walk(value: object, key: str = "") -> Iterator[str]:
        if isinstance(value, dict):
            for name, each in value.items():
                yield from walk(each, name)
        elif isinstance(value, list):
            for each in value:
                yield from walk(each, key)
        elif isinstance(value, str) and key in RECIPE_TEXTS:
            yield value

    for path in sorted((ROOT / "workflows").rglob("*.toml")):
        for text in walk(tomllib.loads(path.read_text())):
            yield str(path.relative_to(ROOT)), text


def openapi() -> Iterator[tuple[str, str]]:
    """Give the summaries and descriptions in the description of the API."""

    def walk(value: object, place: str) -> Iterator[tuple[str, str]]:
        if isinstance(value, dict):
            for key, each in value.items():
                if key in {"summary", "description"} and isinstance(each, str):
                    yield place, each
                else:
                    yield from walk(each, f"{place}/{key}")

    yield from walk(json.loads((ROOT / "docs" / "openapi.json").read_text()), "")


DESCRIPTION = re.compile(
    r"(?:description|mkEnableOption)\s*=?\s*(?:lib\.\w+\s*)?(\"(?:[^\"\\]|\\.)*\"|''.*?'')",
    re.DOTALL,
)


def nixos() -> Iterator[tuple[str, str]]:
    for path in sorted((ROOT / "nix" / "module").glob("*.nix")):
        for match in DESCRIPTION.finditer(path.read_text()):
            yield path.name, match[1]


SCOPES = {
    "page": page,
    "README.md": lambda: markdown(ROOT / "README.md"),
    **{
        f"docs/{path.name}": lambda path=path: markdown(path)
        for path in sorted((ROOT / "docs").glob("*.md"))
    },
    "openapi": openapi,
    "help": command_help,
    **{
        f"python/{path.name}": lambda path=path: python(
            *(sorted(path.rglob("*.py")) if path.is_dir() else [path])
        )
        for path in sorted(PACKAGE.iterdir())
        if path.name != "__pycache__" and (path.is_dir() or path.suffix == ".py")
    },
    "recipes": recipes,
    "nixos": nixos,
}


@pytest.mark.parametrize("scope", SCOPES)
def test_what_people_see_uses_the_words_of_the_field(scope):
    texts = list(SCOPES[scope]())
    assert texts or scope.startswith("python/")
    problems = [
        f"{place}: {problem}\n    {' '.join(text.split())[:160]}"
        for place, text in texts
        for problem in found_in(text, scope)
    ]
    assert not problems, "\n" + "\n".join(problems)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("The card is away.", "'card'"),
        ("Cards", "'Cards'"),
        ("a list of `cards`, discarded", ""),
        ("Connection refused by 10.0.0.1", ""),
        ("The job was refused.", "'refused'"),
        ("`zoetrope rehearse` and rehearsal:", ""),
        ("amended", ""),
        ("JOB  CAME", "'CAME'"),
        ("the frame came", ""),
    ],
)
def test_a_replaced_word_is_found_between_word_borders_alone(text, said):
    found = found_in(text, "page")
    assert [problem.partition(":")[0] for problem in found] == ([said] if said else [])


def test_the_texts_of_a_script_are_its_literals_and_not_its_comments():
    script = """
    // it's a comment with a "card"
    tell(byId("a"), `${count(n, "clip")} of ${x ? `inner ${y}` : ""} left`); /* 'another' */
    if (/["'`]/.test(text)) say('done \\'now\\'');
    """
    assert list(literals(script)) == ["a", "clip", "inner …", "", "… of … left", "done \\'now\\'"]
