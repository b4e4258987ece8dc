"""What the docs site takes from beyond docs/: README and its like as pages, and linked files.

MkDocs calls the two functions that begin with ``on_``.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "README.md": "index.md",
    "README.zh-CN.md": "zh-CN.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "examples/clusters/README.md": "clusters.md",
    "vibesweep/models/bases/mel-small/README.md": "mel-small.md",
}
"""Address on the site of each page that does not lie in docs/."""
SOURCES = {page: source for source, page in PAGES.items()}
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages, and a copy of each file that a page links to."""
    for source, page in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    for target in sorted(_linked_files(files)):
        path = str(ROOT / target)
        files.append(File.generated(config, _address(target), abs_src_path=path))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Have a page's links lead to where their targets are on the site."""
    here = page.file.src_uri
    source = _source(here)

    def led_to(link: re.Match[str]) -> str:
        address = _address(_target(source, link[1]))
        return posixpath.relpath(address, posixpath.dirname(here) or ".")

    return LINK.sub(led_to, markdown)


def _linked_files(files: Files) -> set[str]:
    """Return files of the project, beyond docs/, that are no pages and are linked to."""
    found = set()
    for file in files.documentation_pages():
        source = _source(file.src_uri)
        for link in LINK.finditer((ROOT / source).read_text(encoding="utf-8")):
            target = _target(source, link[1])
            if target not in PAGES and not target.startswith("docs/"):
                found.add(target)
    return found


def _source(page: str) -> str:
    """Return a page's path in the project."""
    return SOURCES.get(page, f"docs/{page}")


def _target(source: str, link: str) -> str:
    """Return the path in the project that a page's link names."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def _address(target: str) -> str:
    """Return a page's or a file's address on the site."""
    if target in PAGES:
        return PAGES[target]
    inside = target.removeprefix("docs/")
    return inside if inside != target else f"source/{target}"
