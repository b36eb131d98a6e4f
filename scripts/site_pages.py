"""Hooks of mkdocs: pages of the site that lie outside docs/, and the links that lead to files of the repository.

On GitHub a page links to files as they lie in the repository; on the site the same links lead to the site's pages.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"} | {
    f"plugins/{path.parent.name}/README.md": f"networks/{path.parent.name}.md"
    for path in sorted(ROOT.glob("plugins/*/README.md"))
}
"""File of the repository -> page of the site."""

_LINK = re.compile(r"\[(?P<text>[^]]*)\]\((?P<target>(?![a-z]+:|#)[^)#\s]+)(?P<anchor>#[^)]*)?\)")


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """Add the pages that lie outside docs/."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links between files of the repository lead to pages of the site, and name these by their titles."""
    here = page.file.src_uri
    sources = {page: source for source, page in PAGES.items()}
    folder = posixpath.dirname(sources.get(here, f"docs/{here}"))

    def to_page(link: re.Match[str]) -> str:
        source = posixpath.normpath(posixpath.join(folder, link["target"]))
        target = PAGES.get(source, source.removeprefix("docs/"))
        text = link["text"]
        if not (ROOT / source).exists():  # mkdocs reports it
            return link[0]
        if target == source:  # a file that is not on the site
            return f"{text} (`{source}`)"
        if text.endswith(".md"):
            [text] = re.findall(r"^# (.+)$", (ROOT / source).read_text(), re.MULTILINE)[:1]
        return f"[{text}]({posixpath.relpath(target, posixpath.dirname(here) or '.')}{link['anchor'] or ''})"

    return _LINK.sub(to_page, markdown)
