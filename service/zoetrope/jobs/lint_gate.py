"""Every stage's graph is read by the linter before an engine hears of it: a known trap costs no GPU time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..engine.report import known
from ..errors import Rejected
from ..graphs.release import is_older
from ..settings import Settings
from .stage_request import StageRequest

if TYPE_CHECKING:
    from ..graphs.recipe import Recipe
    from ..lint.effort import Effort
    from ..lint.facts import HostFacts, LintContext
    from ..lint.findings import Finding

# The engine knows better than any recording which nodes it has, and checks these itself.
THE_ENGINES = dict.fromkeys(("Z001", "Z002", "Z004", "Z011"), "the engine checks it against the nodes that it has")  # fmt: skip


class LintGate:
    """Reads graphs with what is known of the host, the recipe and the picture."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._reports = {engine.name: engine.report for engine in settings.engines}

    def read(self, request: StageRequest, engine: str, version: str = "") -> tuple[str, ...]:
        """Give what the receipt should say of the stage's graph; an error in it raises Rejected.

        `version` is that of the engine's ComfyUI.
        """
        self.need(request.recipe, {engine: version})
        found = self.findings(request, engine)
        errors = [finding for finding in found if finding.severity == "error"]
        if errors:
            raise Rejected(
                f"The workflow of stage {request.spec.name} is rejected by {_listed(errors)}",
                " ".join(dict.fromkeys(finding.fix for finding in errors))
                + f" See zoetrope rules {errors[0].rule}.",
                key="lint",
            )
        return tuple(line(finding) for finding in found if finding.severity == "warn")

    def need(self, recipe: Recipe, versions: Mapping[str, str]) -> None:
        """Reject a recipe that no engine can finish; `versions` are those of ComfyUI that engines report, by name."""
        self._need_packs(recipe)
        self._need_version(recipe, versions)

    def _need_version(self, recipe: Recipe, versions: Mapping[str, str]) -> None:
        """Reject a recipe whose nodes no engine's ComfyUI has yet, before its first stage: its last ones may be those that need them.

        Where one of several engines is too old, the others take what it refuses.
        """
        known_of = {
            name: found.comfyui
            for name, report in self._reports.items()
            if (found := known(report)) is not None and found.comfyui
        } | {name: version for name, version in versions.items() if version}
        older = {name: v for name, v in known_of.items() if is_older(v, recipe.file.comfyui)}
        if not older or not older.keys() >= self._reports.keys():
            return
        runs = ", ".join(f"{name or 'the engine'} runs {v}" for name, v in sorted(older.items()))
        raise Rejected(
            f"The recipe {recipe.name} needs ComfyUI {recipe.file.comfyui} or newer; {runs}.",
            "Update ComfyUI, or use a recipe that needs no newer one; docs/recipes.md lists what each needs.",
            key="comfyui-old",
        )

    def _need_packs(self, recipe: Recipe) -> None:
        """Reject a recipe that no engine has the node packs for, its last stages included, because all run on the CPU.

        A missing pack may come; one that needs a GPU will not, after however many days of the stages before it.
        """
        lacking = [
            found.without_gpu.intersection(recipe.file.packs)
            if (found := known(report)) is not None
            else frozenset()
            for report in self._reports.values()
        ]
        if lacking and all(lacking):
            raise Rejected(
                f"The recipe {recipe.name} needs {', '.join(sorted(frozenset().union(*lacking)))},"
                " which does not load without a GPU, and ComfyUI runs on the CPU here.",
                "Use a recipe without it (zoetrope recipes says what each needs), or run ComfyUI on a GPU:"
                " on NixOS services.zoetrope.gpus.<name>.cpu = false.",
                key="pack-needs-gpu",
            )

    def findings(
        self,
        request: StageRequest,
        engine: str,
        *,
        pictured: bool = True,
        effort: Effort | None = None,
    ) -> tuple[Finding, ...]:
        """Give all that is to be said of the stage's graph; `pictured` is whether its picture is known."""
        # Late, so that an idle service does not hold a hundred rules.
        from ..lint.linter import lint

        context = self._context(request, engine, pictured=pictured)
        return lint(request.graph(request.names()), context, effort=effort)

    def _context(self, request: StageRequest, engine: str, *, pictured: bool) -> LintContext:
        import msgspec

        from ..lint.facts import PictureFacts, RecipeFacts
        from ..lint.source import tags_of

        image = request.image
        tags = tags_of(request.recipe.file.tags, pictures=request.recipe.file.pictures)
        return msgspec.structs.replace(
            self._base,
            host=self.host(engine, request.memory),
            recipe=RecipeFacts(tags=tags),
            picture=PictureFacts(width=image.width, height=image.height) if pictured else None,
            ignore={**THE_ENGINES, **_budgeted(request), **self._settings.lint.ignore},
        )

    def host(self, engine: str, memory: float) -> HostFacts:
        """Say what is known of the host that an engine runs on."""
        from ..lint.facts import reported

        found = known(self._reports.get(engine))
        if found is None:
            return reported(memory_gb=memory)
        return reported(
            memory_gb=memory,
            capability=found.capability,
            kernels=found.right,
            flags=found.flags,
        )

    @property
    def _base(self) -> LintContext:
        from ..lint.facts import pinned_context
        from ..models.manifest import catalogue

        models = catalogue(self._settings.models)
        pinned = frozenset(key for key, model in models.items() if model.bytes and model.sha256)
        return pinned_context(pinned=pinned)


def _budgeted(request: StageRequest) -> dict[str, str]:
    """Leave the size alone where the recipe chose it, within its own budget for this GPU."""
    asked = request.ticket
    if any((asked.width, asked.height, asked.frames, asked.seconds)):
        return {}
    return {"F005": "the recipe's own budget for this GPU"}


def line(finding: Finding) -> str:
    """Write a finding as one line: which rule, where, what, and what to do."""
    place = ".".join(text for text in (finding.node, finding.input) if text)
    return f"{finding.rule} {f'{place}: ' if place else ''}{finding.found}. {finding.fix}"


def _listed(errors: Sequence[Finding]) -> str:
    return " ".join(
        f"rule {finding.rule} at {where}: {finding.found}. {finding.why}"
        if (where := finding.title or finding.node)
        else f"rule {finding.rule}: {finding.found}. {finding.why}"
        for finding in errors
    )
