"""What the package index says of wheels: every link that pip's own finder sees, with its hash.

pip's commands learn a hash by downloading the whole wheel, and torch's closure is gigabytes; so its finder
is asked, which is not a public interface of pip. Run as a program by a Python that has pip:

    python index.py PYTHON PLATFORM,PLATFORM,… NAME…

prints JSON: {name: {file name: [[address, "sha256=…" or ""], …]}}
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

Links = dict[str, dict[str, list[list[str]]]]


def ask(python: str, platforms: Iterable[str], names: Iterable[str]) -> Links:
    """Ask the index that this machine's pip is configured for."""
    base = Path(sys.base_prefix) / "bin" / "python3"
    answer = subprocess.run(
        [str(base), __file__, python, ",".join(platforms), *names], capture_output=True, check=True
    )
    return json.loads(answer.stdout)


def main(python: str, platforms: str, names: list[str]) -> None:
    from pip._internal.commands.install import InstallCommand
    from pip._internal.models.target_python import TargetPython

    command = InstallCommand("install", "asks the index")
    options, _ = command.parse_args(["--quiet", "--quiet", "--quiet", *names])
    target = TargetPython(
        platforms=platforms.split(","),
        py_version_info=tuple(int(part) for part in python.split(".")),
        abis=[f"cp{python.replace('.', '')}", "abi3", "none"],
        implementation="cp",
    )
    found: Links = {}
    with command.main_context():
        session = command._build_session(options)
        finder = command._build_package_finder(options, session, target_python=target)
        for name in names:
            for candidate in finder.find_all_candidates(name):
                link = candidate.link
                told = f"{link.hash_name}={link.hash}" if link.hash else ""
                found.setdefault(name, {}).setdefault(link.filename, []).append(
                    [link.url_without_fragment, told]
                )
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
