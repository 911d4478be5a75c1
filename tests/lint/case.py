"""One rule shown twice: on a graph that it is about, and on one like it that is as it should be."""

from typing import Any, NamedTuple

import msgspec

from zoetrope.lint.facts import HostFacts, LintContext, PictureFacts, RecipeFacts, pinned_context


class Case(NamedTuple):
    """Two graphs for one rule; `node` and `input` are where it has to speak."""

    rule: str
    good: dict[str, Any]
    bad: dict[str, Any]
    place: str
    good_context: LintContext
    bad_context: LintContext


def case(rule, *, good, bad, at="", facts=None, good_facts=None):
    """Write a case; `at` is the place of the finding, `facts` count for both graphs unless said otherwise."""
    context = beside(**(facts or {}))
    other = context if good_facts is None else beside(**good_facts)
    return Case(rule, good, bad, at, other, context)


def beside(*, tags=(), aspect="", picture=None, pinned=None, file="", ignore=None, **host):
    """Give a context: the recipe's tags and aspect, the picture, and whatever is known of the host."""
    context = pinned_context(
        host=HostFacts(**host),
        recipe=RecipeFacts(tags=frozenset(tags), aspect=aspect),
        ignore=ignore or {},
    )
    return msgspec.structs.replace(
        context, picture=PictureFacts(**picture) if picture else None, pinned=pinned, file=file
    )
