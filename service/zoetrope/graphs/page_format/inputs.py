"""The table of widgets and sockets: what an input of each type is on the page, and which values belong to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import UNSET

from . import dynamic
from .classes import NodeClass, Spec
from .frontend import Frontend
from .live import LiveNode, Slot, Widget

_OLD_WIDGETS: Final = frozenset(
    [
        "COMBO",
        "INT",
        "FLOAT",
        "BOOLEAN",
        "STRING",
        "MARKDOWN",
        "COLOR",
        "IMAGECOMPARE",
        "CHART",
        "GALLERIA",
        "TEXTAREA",
        "LOAD_3D",
        "WEBCAM",
        "AUDIO_RECORD",
        "AUDIO_UI",
        "AUDIOUPLOAD",
        "IMAGEUPLOAD",
        "PREVIEW_3D",
        "FILEUPLOAD",
        "IMAGE_COMPARE",
        "TREESELECT",
        "MULTISELECT",
        "SELECTBUTTON",
    ]
) - {"TREESELECT", "MULTISELECT", "SELECTBUTTON", "IMAGE_COMPARE", "FILEUPLOAD"}
_WIDGETS: Final = {
    Frontend.OLD: _OLD_WIDGETS,
    Frontend.SHARED: _OLD_WIDGETS
    | frozenset(
        [
            "BOUNDING_BOX",
            "BOUNDING_BOXES",
            "COLORS",
            "CURVE",
            "RANGE",
            "PAINTER",
            "LOAD_3D_ADVANCED",
            "COMFY_DYNAMICCOMBO_V3",
        ]
    ),
}
_WIDGETS[Frontend.PINNED] = _WIDGETS[Frontend.SHARED] | {"COMPOSITOR", "VIDEO_EDIT"}

_SEEDS: Final = ("seed", "noise_seed")
_UPLOADS: Final = ("image_upload", "video_upload", "animated_image_upload")
_AUDIO_PLAYERS: Final = frozenset(
    ["LoadAudio", "SaveAudio", "PreviewAudio", "SaveAudioMP3", "SaveAudioOpus", "SaveAudioAdvanced"]
)
_STATE_3D: Final = ("Preview3DAdvanced", "PreviewGaussianSplat", "PreviewPointCloud")
_CURVE: Final = {"points": [[0, 0], [1, 1]], "interpolation": "monotone_cubic"}
_BOX: Final = {"x": 0, "y": 0, "width": 512, "height": 512}


class Inputs:
    """Makes the inputs and widgets of nodes as one of the frontends does."""

    def __init__(self, frontend: Frontend) -> None:
        self.frontend = frontend

    def declare(self, node: LiveNode, kind: NodeClass) -> None:
        """Give a new node what its class declares: sockets first, then widgets, then what the page adds."""
        for spec in kind.inputs:
            self.add_socket(node, spec)
        for spec in kind.inputs:
            self.add_widget(node, spec)
        self._add_extras(node, kind)

    def add(self, node: LiveNode, spec: Spec) -> None:
        """Give a node one more input."""
        self.add_socket(node, spec)
        self.add_widget(node, spec)

    def is_widget(self, spec: Spec) -> bool:
        """Return whether an input is a widget on the page."""
        kind = spec.options.get("widgetType") or spec.type
        return kind in _WIDGETS[self.frontend] and not spec.options.get("forceInput")

    def add_socket(self, node: LiveNode, spec: Spec) -> None:
        """Add an input that only a link can feed."""
        if self.is_widget(spec):
            return
        kind = spec.type
        if not self.frontend.is_old:
            if kind == "COMFY_AUTOGROW_V3":
                dynamic.begin(node, spec, self.add, repeats=self.frontend is Frontend.SHARED)
                return
            if kind == "COMFY_MATCHTYPE_V3":
                template = spec.options.get("template")
                allowed = template.get("allowed_types") if isinstance(template, dict) else None
                kind = str(allowed or "*")
        node.inputs.append(Slot(spec.name, kind))

    def add_widget(self, node: LiveNode, spec: Spec) -> None:
        """Add an input that has a widget, and the widgets that come with it."""
        if not self.is_widget(spec):
            return
        kind = str(spec.options.get("widgetType") or spec.type)
        made = self._widget(node, spec, kind)
        if not spec.options.get("socketless"):
            node.inputs.append(Slot(spec.name, spec.type, widget=spec.name))
        if kind == "COMFY_DYNAMICCOMBO_V3":
            dynamic.choose(node, made, made.value, self.add)

    def _widget(self, node: LiveNode, spec: Spec, kind: str) -> Widget:
        options = spec.options
        default = options.get("default")
        made = Widget(spec.name, kind, options.get("default", UNSET), options=options)
        node.widgets.append(made)
        if kind in ("INT", "FLOAT"):
            made.value = 0 if default is None else default
            flagged = options.get("control_after_generate")
            if kind == "INT" and flagged is None:
                flagged = spec.name in _SEEDS
            if flagged and (kind == "INT" or not self.frontend.is_old):
                node.widgets.append(_unsent("control_after_generate", "fixed"))
        elif kind == "STRING":
            made.value = "" if default is None else default
        elif kind == "BOOLEAN":
            made.value = False if default is None else default
        elif kind == "COMBO":
            self._combo(node, spec, made)
        elif kind == "COMFY_DYNAMICCOMBO_V3":
            made.choices = dynamic.keys(spec)
            made.value = dynamic.first(made)
        elif kind == "BOUNDING_BOX":
            made.value = {**_BOX} if default is None else default
            node.widgets += [_unsent(name, made.value.get(name)) for name in _BOX]
        elif kind == "IMAGECOMPARE":
            made.slot = self.frontend.is_old
            made.value = ["", ""]
        elif kind == "AUDIO_RECORD":
            made.computed = str
            node.widgets.append(_unsent(spec.name, ""))
        elif kind in ("LOAD_3D", "LOAD_3D_ADVANCED"):
            self._load_3d(node, made)
        elif kind in ("MARKDOWN", "TEXTAREA"):
            made.value = "" if default is None else default
        elif kind == "CURVE":
            made.value = _CURVE if default is None else default
        elif kind == "COLOR":
            made.value = "#000000" if self.frontend.is_old or not default else default
        return made

    def _combo(self, node: LiveNode, spec: Spec, made: Widget) -> None:
        made.choices = spec.choices or ()
        if spec.options.get("multi_select"):
            made.value = spec.options.get("default") or []
            return
        remote = spec.options.get("remote")
        loading = "Loading..." if remote else UNSET
        made.value = spec.options.get("default") or next(iter(made.choices), loading)
        if isinstance(remote, dict):
            node.widgets.append(_unsent("Auto-refresh after generation", False))
            if remote.get("refresh_button"):
                node.widgets.append(Widget("refresh", "button", "refresh"))
        if spec.options.get("control_after_generate"):
            node.widgets.append(_unsent("control_after_generate", "fixed"))
            node.widgets.append(_unsent("control_filter_list", ""))

    def _load_3d(self, node: LiveNode, made: Widget) -> None:
        made.name = "image"
        if not self.frontend.is_old and (node.type in _STATE_3D or made.kind == "LOAD_3D_ADVANCED"):
            made.name = "viewport_state"
        made.value = ""
        if node.widget("model_file") is not None and made.kind == "LOAD_3D":
            node.widgets.remove(made)
            buttons = {
                "upload 3d model": "upload3dmodel",
                "upload extra resources": "uploadExtraResources",
                "clear": "clear",
            }
            node.widgets += [Widget(name, "button", value) for name, value in buttons.items()]
            node.widgets.append(made)

    def _add_extras(self, node: LiveNode, kind: NodeClass) -> None:
        """Add what the page itself gives to some classes, next to what they declare."""
        required = [spec for spec in kind.inputs if not spec.optional]
        if kind.name in _AUDIO_PLAYERS:
            node.inputs.append(Slot("audioUI", "AUDIO_UI", widget="audioUI"))
            sent = self.frontend is not Frontend.PINNED
            node.widgets.append(Widget("audioUI", "AUDIO_UI", "", slot=False, sent=sent))
        if any(_uploads(spec) for spec in required):
            node.inputs.append(Slot("upload", "IMAGEUPLOAD", widget="upload"))
            node.widgets.append(_unsent("upload", "image"))
        if kind.name in ("SaveGLB", "Preview3D"):
            node.inputs.append(Slot("image", "PREVIEW_3D", widget="image"))
            node.widgets.append(Widget("image", "PREVIEW_3D", "", computed=str))
        if kind.name == "PreviewAny":
            preview = Widget("preview", "STRING", "", sent=self.frontend.is_old)
            preview.computed = str
            node.widgets.append(preview)
        if kind.name == "CustomCombo" and not self.frontend.is_old:
            node.widgets.append(Widget("index", "index", -1))
            node.widgets.append(Widget("option1", "option", ""))


def _uploads(spec: Spec) -> bool:
    if spec.type != "COMBO":
        return False
    if spec.name == "audio" and spec.options.get("audio_upload"):
        return True
    return any(spec.options.get(key) for key in _UPLOADS)


def _unsent(name: str, value: Any) -> Widget:
    return Widget(name, "control", value, sent=False)


def numbers(options: Mapping[str, Any], name: str, default: float) -> float:
    """Read a number of an input's options."""
    value = options.get(name)
    return value if isinstance(value, int | float) else default
