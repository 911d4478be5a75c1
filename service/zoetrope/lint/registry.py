"""The list of all rules, and the decorator that puts a function on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from .findings import Check, Rule, Severity

_rules: dict[str, Rule] = {}


def rule(
    rule_id: str, severity: Severity, *, title: str, why: str, fix: str, source: str
) -> Callable[[Check], Check]:
    """Register a function as the check of a rule."""

    def register(check: Check) -> Check:
        if rule_id in _rules:
            raise ValueError(f"two rules are named {rule_id}")
        _rules[rule_id] = Rule(
            id=rule_id,
            severity=severity,
            title=title,
            why=why,
            fix=fix,
            source=source,
            check=check,
        )
        return check

    return register


def registered() -> Mapping[str, Rule]:
    """Give all rules by their ids."""
    return MappingProxyType(_rules)
