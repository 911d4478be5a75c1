"""What a conversion has to say next to its graph: where, in the words that people see in ComfyUI."""

from __future__ import annotations

import msgspec


class Remark(msgspec.Struct, frozen=True):
    """One remark on a page document: an error if the graph cannot run as it is meant."""

    key: str
    sentence: str
    node: str = ""
    title: str = ""
    error: bool = False

    def __str__(self) -> str:
        where = f"node {self.node} ({self.title}): " if self.title else f"node {self.node}: "
        return f"{where if self.node else ''}{self.sentence}"


class Unconvertible(Exception):
    """The page itself gives no graph for this document; the finding says where it stops."""

    def __init__(self, finding: Remark) -> None:
        super().__init__(str(finding))
        self.finding = finding
