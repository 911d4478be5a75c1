"""What the package index says of wheels: every link that pip's own finder sees, with its hash.

pip's commands learn a hash by downloading the whole wheel, and torch's closure is gigabytes; so its finder's
collector of links is asked, which is not a public interface of pip. Of pages in JSON only names, addresses and
hashes are read: to make pip's own links of every version takes most of the time. Run as a program by a Python that has pip:

    python index.py NAME…

prints JSON: {name: {file name: [[address, "sha256=…" or ""], …]}}
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urljoin

Links = dict[str, dict[str, list[list[str]]]]


def ask(names: Iterable[str]) -> Links:
    """Ask the index that this machine's pip is configured for."""
    base = Path(sys.base_prefix) / "bin" / "python3"
    answer = subprocess.run([str(base), __file__, *names], capture_output=True, check=True)
    return json.loads(answer.stdout)


def line(link) -> tuple[str, str, str]:
    """Read one of pip's own links."""
    told = f"{link.hash_name}={link.hash}" if link.hash else ""
    return link.filename, link.url_without_fragment, told


def listed(content) -> Iterator[tuple[str, str, str]]:
    """Read what a page lists: file name, address, and hash if it names one."""
    from pip._internal.index.collector import parse_links

    if not content.content_type.lower().startswith("application/vnd.pypi.simple.v1+json"):
        yield from map(line, parse_links(content))
        return
    for file in json.loads(content.content)["files"]:
        sha256 = file.get("hashes", {}).get("sha256", "")
        told = f"sha256={sha256}" if sha256 else ""
        yield file["filename"], urljoin(content.url, file["url"]), told


def main(names: list[str]) -> None:
    from pip._internal.commands.install import InstallCommand

    command = InstallCommand("install", "asks the index")
    options, _ = command.parse_args(["--quiet", "--quiet", "--quiet", *names])
    found: Links = {}
    with command.main_context():
        session = command._build_session(options)
        collector = command._build_package_finder(options, session)._link_collector

        def on_page(location) -> Iterator[tuple[str, str, str]]:
            content = collector.fetch_response(location)
            return listed(content) if content is not None else iter(())

        for name in names:
            collected = collector.collect_sources(name, on_page)
            for source in filter(None, (each for kind in collected for each in kind)):
                lines = (*source.page_candidates(), *map(line, source.file_links()))
                for file, address, told in lines:
                    found.setdefault(name, {}).setdefault(file, []).append([address, told])
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
