"""Runs all rules over a graph and hands back what they found, in order."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping

from ..graphs.document import Document
from ..graphs.graph import Graph
from .effort import Abandoned, Effort, Spent
from .facts import LintContext
from .findings import SEVERITIES, Finding, Hit, Rule
from .rules import RULES
from .subject import Subject

log = logging.getLogger(__name__)

#: On a node, under `_meta`: rules that do not count there, each with the reason.
IGNORE = "zoetrope_ignore"

_PASSES = 5

_RANK = {severity: rank for rank, severity in enumerate(SEVERITIES)}


def lint(
    graph: Document | Graph,
    context: LintContext,
    rules: Mapping[str, Rule] = RULES,
    *,
    effort: Effort | None = None,
) -> tuple[Finding, ...]:
    """List what is wrong or doubtful in a graph: the worst first.

    A graph that takes more effort than there is gets the findings of the rules until then, and one that says so.
    """
    document = graph if isinstance(graph, Document) else Document(nodes=graph)
    subject = Subject(document, context, effort)
    found: list[Finding] = []
    last = ""
    try:
        # Several rules pass over every node, whatever it is.
        subject.effort.look(_PASSES * len(document.nodes))
        for rule in rules.values():
            last = rule.id
            found += (each for each in _apply(rule, subject) if not _ignored(each, subject))
        found += _vain_ignores(subject, rules)
    except Spent:
        found.append(_unfinished(last))
    return tuple(sorted(set_of(found), key=_order))


def set_of(findings: Iterable[Finding]) -> list[Finding]:
    """Keep one of several findings that say the same of the same place."""
    known: dict[tuple[str, str, str, str], Finding] = {}
    for finding in findings:
        known.setdefault((finding.rule, finding.node, finding.input, finding.found), finding)
    return list(known.values())


def _apply(rule: Rule, subject: Subject) -> Iterator[Finding]:
    # A failing rule must not hide the findings of the others; it is reported as a finding itself.
    try:
        yield from [_finding(rule, hit, subject) for hit in rule.check(subject)]
    except (Spent, Abandoned):
        raise
    except Exception as error:
        log.warning("The rule %s failed.", rule.id, exc_info=True)
        yield Finding(
            rule="X001",
            severity="warn",
            found=f"rule {rule.id} failed with {type(error).__name__}",
            why=f"This graph was not checked by {rule.id} ({rule.title}).",
            fix="Report the graph and this line as a bug.",
            source="zoetrope",
        )


def _unfinished(rule_id: str) -> Finding:
    return Finding(
        rule="X003",
        severity="warn",
        found="the graph is too large to be checked wholly"
        + (f"; {rule_id} and the rules after it were not applied" if rule_id else ""),
        why="The time of one check is limited, so that jobs and other checks do not wait for it.",
        fix="Check it in parts: fewer samplers, shorter chains of LoRAs and conditionings.",
        source="zoetrope",
    )


def _finding(rule: Rule, hit: Hit, subject: Subject) -> Finding:
    subject.effort.look()
    node = subject.nodes.get(hit.node)
    title = node.meta.get("title") if node is not None else None
    return Finding(
        rule=rule.id,
        severity=hit.severity or rule.severity,
        node=hit.node,
        title=title if isinstance(title, str) else "",
        input=hit.input,
        found=hit.found,
        why=hit.why or rule.why,
        fix=hit.fix or rule.fix,
        source=rule.source,
        changes=hit.changes,
    )


def _ignored(finding: Finding, subject: Subject) -> bool:
    if _reason(subject.context.ignore.get(finding.rule)):
        return True
    node = subject.nodes.get(finding.node)
    return node is not None and _reason(_ignores(node.meta).get(finding.rule))


def _vain_ignores(subject: Subject, rules: Mapping[str, Rule]) -> Iterator[Finding]:
    """Tell of ignores that count for nothing: without a reason, or of a rule that does not exist."""
    places: list[tuple[str, Mapping[str, object]]] = [("", subject.context.ignore)]
    places += [(node_id, _ignores(node.meta)) for node_id, node in subject.nodes.items()]
    for node_id, ignores in places:
        for rule_id, reason in ignores.items():
            if rule_id in rules and _reason(reason):
                continue
            what = "gives no reason" if rule_id in rules else "names no rule"
            yield Finding(
                rule="X002",
                severity="warn",
                node=node_id,
                found=f"the ignore of {str(rule_id)[:40]} {what}",
                why="An ignore needs a known rule and a reason.",
                fix="Add the reason, or remove the ignore.",
                source="zoetrope",
            )


def _ignores(meta: Mapping[str, object]) -> Mapping[str, object]:
    found = meta.get(IGNORE)
    return found if isinstance(found, dict) else {}


def _reason(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _order(finding: Finding) -> tuple[int, str, str, str, str]:
    return (
        _RANK[finding.severity],
        finding.rule,
        finding.node,
        finding.input,
        finding.found,
    )
