"""`zoetrope rules`: the linter's rules."""

from __future__ import annotations

import textwrap

import click

from . import show
from .options import Options, local, pass_options


@click.command(epilog="\b\nExample:\n  zoetrope rules S002")
@click.argument("rule_id", metavar="[ID]", required=False)
@local
@pass_options
def rules(options: Options, rule_id: str | None) -> int:
    """List the linter's rules; with ID, explain one: why it matters, how to fix it, and the source."""
    import msgspec

    from ..errors import NotFound
    from ..lint.rules import RULES
    from ..mistakes import nearest

    if rule_id is not None and rule_id.upper() not in RULES:
        raise NotFound(f"There is no rule {rule_id!r}; {nearest(rule_id.upper(), RULES)}")
    wanted = [RULES[rule_id.upper()]] if rule_id is not None else list(RULES.values())
    if options.json:
        keys = ("id", "severity", "title", "why", "fix", "source")
        rows = [{key: getattr(rule, key) for key in keys} for rule in wanted]
        click.echo(msgspec.json.encode(rows))
        return 0
    if rule_id is None:
        rows_ = [
            (rule.id, rule.severity, rule.title) for rule in sorted(wanted, key=lambda r: r.id)
        ]
        for line in show.table(("ID", "SEVERITY", "TITLE"), rows_, colour=1):
            click.echo(line)
        return 0
    (rule,) = wanted
    click.echo(click.style(f"{rule.id}  {rule.title}", bold=True) + f"  ({rule.severity})")
    for name, text in (("why", rule.why), ("fix", rule.fix), ("source", rule.source)):
        click.echo(textwrap.fill(f"{name:<7} {text}", 100, subsequent_indent=" " * 8))
    return 0
