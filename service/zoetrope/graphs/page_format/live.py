"""Nodes while a page is opened: what the page saved, filled into what the catalogue declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from .classes import NodeClass
from .page import PageGraph, PageLink, PageNode

MUTED: Final = 2
BYPASSED: Final = 4


class Widget(msgspec.Struct, eq=False):
    """A value that a node shows: whether the page's list of values has a place for it, and whether it is sent."""

    name: str
    kind: str
    value: Any = None
    slot: bool = True
    sent: bool = True
    options: Mapping[str, Any] = {}
    #: What a choice offers; for a dynamic one the keys of its options.
    choices: tuple[Any, ...] = ()
    #: What is sent in place of the value, worked out when all is in place.
    computed: Callable[[], Any] | None = None


class Slot(msgspec.Struct, eq=False):
    """An input or output of a node; `widget` names the widget that an input belongs to."""

    name: str
    type: str
    link: str | None = None
    widget: str = ""
    links: tuple[str, ...] = ()


class Growing(msgspec.Struct, frozen=True):
    """An input that stands for any number of members."""

    specs: tuple[Any, ...]
    least: int
    most: int
    prefix: str
    names: tuple[str, ...]
    #: Whether a member's widget is made again where its input is.
    repeats: bool = False


class LiveNode(msgspec.Struct, eq=False):
    """A node of one graph; the instances of a subgraph share the nodes of its definition."""

    id: str
    page: PageNode
    kind: NodeClass | None = None
    title: str = ""
    mode: int = 0
    inputs: list[Slot] = []
    outputs: list[Slot] = []
    widgets: list[Widget] = []
    growing: dict[str, Growing] = {}
    #: Never sent: the page alone knows it.
    virtual: bool = False
    #: What a subgraph's instance stands for.
    definition: LiveGraph | None = None
    #: An instance's own values, by the names of its inputs.
    own_values: dict[str, Any] = {}

    @property
    def type(self) -> str:
        """The node's type as the page has it."""
        return self.page.type

    @property
    def is_out(self) -> bool:
        """Whether the node is muted or bypassed."""
        return self.mode in (MUTED, BYPASSED)

    def widget_of(self, slot: Slot) -> Widget | None:
        """Return the widget that an input belongs to."""
        return self.widget(slot.widget) if slot.widget else None

    def widget(self, name: str) -> Widget | None:
        """Return the first widget of a name."""
        return next((widget for widget in self.widgets if widget.name == name), None)

    def place_of(self, link: str) -> int | None:
        """Return which input has a link; the number that the link itself has is often stale."""
        return next((i for i, slot in enumerate(self.inputs) if slot.link == link), None)


class LiveGraph(msgspec.Struct, eq=False):
    """The root graph, or a definition that its instances share."""

    id: str
    page: PageGraph
    nodes: dict[str, LiveNode] = {}
    links: dict[str, PageLink] = {}
    #: The ends of a definition: what comes in, and what goes out.
    inputs: list[Slot] = []
    outputs: list[Slot] = []
