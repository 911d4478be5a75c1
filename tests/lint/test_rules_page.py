"""docs/rules.md says what the rules say, and the README how many there are; UPDATE_DOCS=1 writes the page again."""

import os
from pathlib import Path

from zoetrope.lint.rules import RULES

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "rules.md"
README = ROOT / "README.md"
FAMILIES = {
    "Z": "The graph itself",
    "M": "Models",
    "L": "LoRAs",
    "S": "Steps, shift and the handover between the experts",
    "C": "Guidance and samplers",
    "F": "Frames and size",
    "E": "First and last frame",
    "V": "Decoding",
    "U": "Upscaling",
    "R": "Interpolation",
    "A": "Attention, compilation, caches",
    "P": "Prompts",
    "I": "The picture",
    "W": "WanVideoWrapper",
}
HEAD = """# Rules

`zoetrope lint` checks these rules, and so does the service for every job before it submits it: an error rejects the job, a warning
goes into its receipt. `zoetrope rules ID` shows a rule, `zoetrope lint FILE --fix` fixes findings that have a mechanical fix. A rule
is ignored with a reason: for a host in the settings (`[lint] ignore`), for a node in its `_meta.zoetrope_ignore`, for one run with
`--ignore ID=REASON`.

This page is generated from the rules; `UPDATE_DOCS=1 .venv/bin/python -m pytest tests/lint/test_rules_page.py` writes it again.
"""


def page():
    lines = [HEAD]
    for letter, title in FAMILIES.items():
        lines.append(f"## {title}\n")
        for rule in sorted(RULES.values(), key=lambda rule: rule.id):
            if rule.id.startswith(letter):
                lines.append(f"**{rule.id}** ({rule.severity}) {rule.title}  ")
                lines.append(f"{rule.why} *{rule.fix}* Source: {rule.source}\n")
    return "\n".join(lines)


def test_every_rule_has_a_family():
    assert {rule_id[0] for rule_id in RULES} == set(FAMILIES)


def test_the_readme_says_how_many_rules_there_are():
    assert f"[{len(RULES)} rules](docs/rules.md)" in README.read_text()


def test_the_page_says_what_the_rules_say():
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(page())
    assert PAGE.read_text() == page()
