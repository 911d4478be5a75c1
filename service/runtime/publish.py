"""Turns what pre-start.sh found into launch flags, a report for the service and a summary for the journal.

    publish.py runtime                    print the identity of this Python's attention packages
    publish.py version COMFYUI            print its version; nothing if it does not say
    publish.py unknown COMFYUI WORDS      print the words that are no flags of this ComfyUI
    publish.py write RUN INSTANCE         read facts from stdin; write RUN/INSTANCE.json and .env,
                                          or ZOETROPE_ARGS_FILE in its place
    publish.py show RUN INSTANCE          the same, and write nothing

A fact is a tab-separated line: a key, then its values. Run it with ComfyUI's own Python; it needs no
package.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flag_request
import flags

SCHEMA = 1
PACKAGES = ("torch", "triton", "sageattention", "flash-attn", "comfy-kitchen", "xformers")

# They open CUDA while ComfyUI imports them, which without a GPU is an exception: their nodes are not there then.
NEED_A_GPU = frozenset({"ComfyUI-SeedVR2_VideoUpscaler"})

Facts = dict[str, list[list[str]]]
Report = dict[str, Any]


def identity() -> str:
    """Name everything whose change invalidates an earlier self-test."""
    found = [f"python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def read(text: str) -> Facts:
    """Read facts; a key may occur more than once."""
    facts: Facts = {}
    for line in text.splitlines():
        key, *values = line.split("\t")
        facts.setdefault(key, []).append(values)
    return facts


def one(facts: Facts, key: str) -> str:
    """Give the value of a fact, or nothing."""
    return facts[key][-1][0] if facts.get(key) and facts[key][-1] else ""


def compose(facts: Facts, tested: Report, tuned: Report) -> Report:
    """Make the report that the service reads."""
    cpu = one(facts, "mode") == "cpu"
    memory = "cpu" if cpu else flags.profile(one(facts, "memory") or "auto", tested.get("memory"))
    troubles = [
        {"key": key, "sentence": sentence, "next_step": step}
        for key, sentence, step in facts.get("problem", [])
    ]
    warnings = [
        {"key": key, "sentence": sentence, "next_step": step}
        for key, sentence, step in facts.get("warning", [])
    ]
    extra = one(facts, "extra").split()
    chosen = tested.get("chosen", "")
    for kernel in tested.get("kernels", []):
        if kernel["flag"] and kernel["flag"] in extra and kernel["name"] != chosen:
            chosen = kernel["name"]
            warnings.append(
                {
                    "key": "override",
                    "sentence": f"{kernel['flag']} is set in the extra arguments; result of the self-test for"
                    f" {chosen}: {kernel['reason'] or 'correct, but not the fastest'}.",
                    "next_step": "Remove the flag from the extra arguments to use the kernel that the self-test chose.",
                }
            )
    taken = flags.known(Path(one(facts, "comfyui")))
    own, dropped = flags.understood(
        flags.ours(
            tested.get("flag", ""),
            cpu=cpu,
            memory=memory,
            previews=one(facts, "previews"),
            taken=taken,
        ),
        taken,
    )
    right = {kernel["flag"] for kernel in tested.get("kernels", []) if kernel["verdict"] == "ok"}
    launch, choices = flags.launch(own, asked(facts, warnings), extra, taken=taken, kernels=right)
    warnings.extend(
        {
            "key": "flag-request",
            "sentence": f"{' '.join(each.words)}, which the service asked for, is not given: {each.why}.",
            "next_step": "Use the same version of zoetrope and pre-start.sh; else report it, with ComfyUI's version.",
        }
        for each in choices
        if each.state == "rejected"
    )
    chosen = next(
        (
            kernel["name"]
            for kernel in tested.get("kernels", [])
            if kernel["flag"]
            and any((kernel["flag"],) == c.words for c in choices if c.state == "used")
        ),
        chosen,
    )
    if tested.get("flag") in dropped:
        chosen = ""
    warnings.extend(
        {
            "key": "flag",
            "sentence": f"This ComfyUI does not know {word}: it is started without.",
            "next_step": "Nothing to do for a version of your own; else report it, with the version.",
        }
        for word in dropped
    )
    packs = [pack(*told) for told in facts.get("pack", [])]
    for each in packs:
        if cpu and each["state"] == "linked" and each["name"] in NEED_A_GPU:
            each["state"] = "no-gpu"
            warnings.append(
                {
                    "key": "pack",
                    "sentence": f"The node pack {each['name']} needs a GPU: on the CPU ComfyUI has none of its nodes,"
                    " and recipes that use it are rejected.",
                    "next_step": "Use recipes without it (zoetrope recipes says which use it), or run ComfyUI on a GPU.",
                }
            )
    return {
        "schema": SCHEMA,
        "instance": one(facts, "instance"),
        "gpu_uuid": one(facts, "gpu"),
        "gpu_name": tested.get("card") or one(facts, "card"),
        "capability": tested.get("capability", ""),
        "driver": one(facts, "driver"),
        "runtime": one(facts, "runtime"),
        "comfyui": comfyui_version(Path(one(facts, "comfyui"))),
        "mode": "cpu" if cpu else "gpu",
        "memory": memory,
        "wished": one(facts, "attention"),
        "chosen": chosen,
        "fell_back": tested.get("fell_back", ""),
        "kernels": [
            {
                key: kernel.get(key)
                for key in ("name", "version", "verdict", "reason", "cosine", "rel_l1", "ms")
            }
            for kernel in tested.get("kernels", [])
        ],
        "ended": [{"how": how, "at": int(at)} for how, at in facts.get("ended", [])][-1:],
        "profile": one(facts, "profile"),
        "mismatch": mismatch(facts, tested, tuned),
        "flags": [] if troubles else launch,
        "choices": [
            {"by": each.by, "words": each.words, "state": each.state, "why": each.why}
            for each in choices
        ],
        "models": [
            {
                "folder": folder,
                "file": file,
                "state": state,
                "bytes": int(size) if size.isdecimal() else None,
                "found": int(there) if there.isdecimal() else None,
                "recipes": recipes.split(","),
            }
            for state, folder, file, size, there, recipes in facts.get("model", [])
        ],
        "packs": packs,
        "warnings": warnings,
        "problem": troubles[0] if troubles else None,
    }


def asked(facts: Facts, warnings: list[dict[str, str]]) -> list[flag_request.Asked]:
    """Read what the service asks for; a file that is none of its own is ignored, and a warning names it."""
    for path, owner in facts.get("request", []):
        try:
            return flag_request.read(path, owner)
        except flag_request.Ignored as error:
            warnings.append(
                {
                    "key": "flag-request",
                    "sentence": f"{path} is ignored, and with it the flags that it asks for: {error}.",
                    "next_step": f"Remove it: rm '{path}'; the service writes it again at its next start.",
                }
            )
    return []


def pack(name: str, state: str, there: str = "", wanted: str = "") -> dict[str, str]:
    """Describe a node pack: what was found, and which version ComfyUI loads, where that is known."""
    told = {"name": name, "state": state}
    # A link that a check does not set yet counts as set; a user's own file stays as it is.
    folder = Path(there if state == "yours" or Path(there).is_dir() else wanted)
    if not folder.is_dir() or folder == Path():
        return told
    return {**told, "version": version(folder), "source": source(folder)}


def version(folder: Path) -> str:
    """Read the version of a node pack from its pyproject.toml; empty if it has none."""
    try:
        text = (folder / "pyproject.toml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    project = re.search(r"^\[project\]\s*$(.*?)(?=^\[|\Z)", text, re.MULTILINE | re.DOTALL)
    said = project and re.search(r"""^version\s*=\s*["']([^"'\n]+)["']""", project[1], re.MULTILINE)
    return said[1] if said else ""


def comfyui_version(folder: Path) -> str:
    """Read ComfyUI's version from its source; empty if it does not say."""
    try:
        text = (folder / "comfyui_version.py").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    said = re.search(
        r"""^__version__\s*=\s*["']([0-9][0-9A-Za-z.+-]{0,30})["']""", text, re.MULTILINE
    )
    return said[1] if said else ""


def source(folder: Path) -> str:
    """Name the exact content of a node pack where it is known: a path of the Nix store, or a git commit."""
    whole = folder.resolve()
    if whole.parts[:3] == ("/", "nix", "store") and len(whole.parts) > 3:
        return str(Path(*whole.parts[:4]))
    try:
        head = (whole / ".git" / "HEAD").read_text(encoding="utf-8").strip()
        if head.startswith("ref: "):
            head = _commit(whole / ".git", head.removeprefix("ref: "))
    except (OSError, UnicodeDecodeError):
        return ""
    # Edited files do not show in it.
    return f"git {head}" if re.fullmatch("[0-9a-f]{40,64}", head) else ""


def _commit(git: Path, ref: str) -> str:
    """Find the commit of a branch, in its own file or among the packed ones."""
    if (git / ref).is_file():
        return (git / ref).read_text(encoding="utf-8").strip()
    lines = (git / "packed-refs").read_text(encoding="utf-8").splitlines()
    return next((line.split()[0] for line in lines if line.endswith(f" {ref}")), "")


def mismatch(facts: Facts, tested: Report, tuned: Report) -> list[dict[str, str]]:
    """Name the kernels that are correct at stock clocks and wrong under the profile in force."""
    right = {kernel["name"] for kernel in tested.get("kernels", []) if kernel["verdict"] == "ok"}
    found = [
        {"name": kernel["name"], "verdict": "refused", "reason": kernel["reason"]}
        for kernel in tuned.get("kernels", [])
        if kernel["name"] in right and kernel["verdict"] == "refused"
    ]
    if code := one(facts, "tuned-broke"):
        reason = f"the self-test exited with code {code}"
        found.append({"name": "self-test", "verdict": "refused", "reason": reason})
    return found


def page(report: Report) -> str:
    """Write the report as a summary for the journal."""
    lines: list[tuple[str, str]] = []
    card = report["gpu_name"] or "none"
    uuid = f" ({report['gpu_uuid']})" if report["gpu_uuid"] else ""
    lines.append(("GPU", f"{card}{uuid}, driver {report['driver'] or 'not loaded'}"))
    lines.append(("runtime", report["runtime"]))
    lines.append(("attention", f"{report['chosen'] or 'none'} (requested: {report['wished']})"))
    if report["fell_back"]:
        lines.append(("", report["fell_back"]))
    for kernel in report["kernels"]:
        if kernel["verdict"] == "ok":
            text = f"ok       {kernel['name']}: {kernel['ms']:.0f} ms"
            lines.append(("", f"{text}, relative L1 {kernel['rel_l1']:.4f}"))
        else:
            shown = "rejected" if kernel["verdict"] == "refused" else kernel["verdict"]
            lines.append(("", f"{shown:<8} {kernel['name']}: {kernel['reason']}"))
    if report["profile"]:
        wrong = ", ".join(f"{each['name']}: {each['reason']}" for each in report["mismatch"])
        lines.append(
            ("clocks", f"profile {report['profile']}: {wrong or 'same results as at stock clocks'}")
        )
    lines.append(("memory", f"profile {report['memory']}"))
    states = [pack["state"] for pack in report["packs"]]
    packs = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    lines.append(("node packs", packs or "none"))
    there = [model for model in report["models"] if model["state"] == "ok"]
    lines.append(("models", f"{len(there)} of {len(report['models'])} in place"))
    lines.extend(("", absence(model)) for model in report["models"] if model["state"] != "ok")
    lines.append(("flags", " ".join(report["flags"]) or "none"))
    lines.extend(
        ("", f"{each['state']:<10} {' '.join(each['words'])} ({each['by']}): {each['why']}")
        for each in report["choices"]
    )
    for warning in report["warnings"]:
        lines.append(("warning", warning["sentence"]))
        lines.append(("", f"next: {warning['next_step']}"))
    if report["problem"]:
        lines.append(("FAILED", report["problem"]["sentence"]))
        lines.append(("", f"next: {report['problem']['next_step']}"))
    head = "cannot start" if report["problem"] else "ready to start"
    return "\n".join(
        [f"ComfyUI {report['instance']}: {head}"] + [f"  {name:<11}{text}" for name, text in lines]
    )


def absence(model: dict[str, Any]) -> str:
    """Say why a model is not used, and which recipes need it."""
    name, recipes = f"{model['folder']}/{model['file']}", ", ".join(model["recipes"])
    if model["state"] in ("missing", "unreadable"):
        return f"{model['state']}: {name} (for {recipes})"
    sizes = f"{model['found']:,} of {model['bytes']:,} bytes"
    return f"wrong size: {name}: {sizes} (for {recipes})"


def write(path: Path, text: str) -> None:
    """Write a file as a whole or not at all; the user of the service may read it."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    partial.chmod(0o644)
    partial.replace(path)


def load(path: str) -> Report:
    """Read the report of a self-test; empty if there is none."""
    found: Report = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    return found


def main(arguments: Sequence[str]) -> int:
    """Run one of the commands."""
    if list(arguments) == ["runtime"]:
        print(identity())
        return 0
    if arguments[:1] == ["version"] and len(arguments) == 2:
        print(comfyui_version(Path(arguments[1])))
        return 0
    if arguments[:1] == ["unknown"] and len(arguments) > 1:
        words = [word for each in arguments[2:] for word in each.split()]
        print(*flags.understood(words, flags.known(Path(arguments[1])))[1])
        return 0
    if len(arguments) != 3 or arguments[0] not in ("write", "show"):
        print(__doc__, file=sys.stderr)
        return 2
    command, run, instance = arguments
    facts = read(sys.stdin.read())
    report = compose(facts, load(one(facts, "selftest")), load(one(facts, "tuned")))
    if command == "write":
        write(Path(run) / f"{instance}.json", json.dumps(report, indent=2) + "\n")
        if not report["problem"]:  # a failed start keeps the flags of the last good one
            line = f'ZOETROPE_COMFYUI_ARGS="{" ".join(report["flags"])}"\n'
            if given := os.environ.get("ZOETROPE_ARGS_FILE"):
                # In place: its folder is closed to this user.
                Path(given).write_text(line, encoding="utf-8")
            else:
                write(Path(run) / f"{instance}.env", line)
    print(page(report))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
