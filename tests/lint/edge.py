"""One rule at a value where it begins to speak, or at the last one where it does not."""

import pytest


def edge(rule, graph, spoken, **facts):
    return pytest.param(rule, graph, facts, spoken, id=rule)


def good(rule, graph, **facts):
    return edge(rule, graph, spoken=False, **facts)


def bad(rule, graph, **facts):
    return edge(rule, graph, spoken=True, **facts)
