"""Takes files of the repository that pages link to, such as results of benchmarks, into the documentation site.

Pages link to them by their path in the repository, so that the links work on a code host as well. In the site they
stand under ``repository/``: Markdown as pages, the rest as files.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
HOME = "repository"
LINK = re.compile(r"(\]\()([^)#\s]+)(#[^)\s]*)?(\))")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def repository_path(page: str, link: str) -> str | None:
    """Return the path in the repository of what a page links to; None if that is a page of ``docs/``, or no path.

    A folder stands for its README, where it has one.

    Args:
        page: path of the page in the repository, such as ``docs/engine.md``.
        link: as it stands in the page.
    """
    if re.match(r"[a-z]+:|/|#", link):
        return None
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), link))
    if path.startswith(("..", "docs/")) or path == "docs":
        return None
    if (ROOT / path).is_dir():
        path = f"{path}/README.md"
    return path if (ROOT / path).is_file() else None


def page_path(uri: str) -> str:
    """Return the path in the repository of a page of the site."""
    return uri.removeprefix(f"{HOME}/") if uri.startswith(f"{HOME}/") else f"docs/{uri}"


def links_of(text: str) -> list[str]:
    """Return the targets of the links of a page."""
    return [match[2] for match in LINK.finditer(FENCE.sub("", text))]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files that pages link to, and those that these link to."""
    waiting = [file.src_uri for file in files.documentation_pages()]
    texts = {
        uri: (ROOT / page_path(uri)).read_text(encoding="utf-8") for uri in waiting if (ROOT / page_path(uri)).is_file()
    }
    while waiting:
        uri = waiting.pop()
        for link in links_of(texts.get(uri, "")):
            target = repository_path(page_path(uri), link)
            if target is None or f"{HOME}/{target}" in files.src_uris:
                continue
            name = f"{HOME}/{target}"
            files.append(File.generated(config, name, abs_src_path=str(ROOT / target)))
            if target.endswith(".md"):
                texts[name] = (ROOT / target).read_text(encoding="utf-8")
                waiting.append(name)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links at where the files stand in the site."""
    uri = page.file.src_uri

    def moved(match: re.Match[str]) -> str:
        target = repository_path(page_path(uri), match[2])
        if target is not None:
            link = posixpath.relpath(f"{HOME}/{target}", PurePosixPath(uri).parent.as_posix())
        elif uri.startswith(f"{HOME}/") and not re.match(r"[a-z]+:|/|#", match[2]):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(page_path(uri)), match[2]))
            inside = path.removeprefix("docs/") if path.startswith("docs/") else path
            link = posixpath.relpath(inside, PurePosixPath(uri).parent.as_posix())
        else:
            return match[0]
        return f"{match[1]}{link}{match[3] or ''}{match[4]}"

    return LINK.sub(moved, markdown)
