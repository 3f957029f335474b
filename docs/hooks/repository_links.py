"""Links of a page to files outside docs/: to the page made of the file, or to one that shows its source.

On the web page of the repository the same links lead to the files themselves, so both are right. A link to a file that
does not exist stays as it is, and `--strict` refuses it.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
PAGES = {  # files outside docs/ that are pages of the site
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "DECISIONS.md": "decisions.md",
    "data/README.md": "data.md",
}
FOLDERS = {page: posixpath.dirname(file) for file, page in PAGES.items()}  # to which their links are relative
README_SECTIONS = {
    "": "index.md",
    "#i-want-to---open-": "index.md",
    "#quick-start": "quickstart.md",
    "#layers": "architecture.md#layers",
}
INDEXES = {"docs/notebooks": "notebooks/explore_data.ipynb"}  # folders of docs/, and the page that a link to one opens
LANGUAGES = {".py": "python", ".yaml": "yaml", ".toml": "toml", ".sh": "bash", ".env": "bash", ".sql": "sql"}
LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)#\s]*)(#[^)\s]*)?(?=\))")
NO_SEARCH = "---\nsearch:\n  exclude: true\n---\n\n"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of PAGES, and one for each other file of the repository that a page links to."""
    for source, uri in PAGES.items():
        files.append(File.generated(config, uri, content=(ROOT / source).read_text()))
    for page in list(files.documentation_pages()):
        for path in _linked_sources(page):
            uri = _source_uri(path)
            if files.get_file_from_path(uri) is None:
                text = NO_SEARCH + _source_text(path)
                files.append(File.generated(config, uri, content=text, inclusion=InclusionLevel.NOT_IN_NAV))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The text of a page with its links to files of the repository replaced."""

    def replace(link: re.Match) -> str:
        fragment = link.group(2) or ""
        file = _repository_path(link, page.file.src_uri)
        if file == "README.md" and fragment in README_SECTIONS:
            target, fragment = README_SECTIONS[fragment], ""
        elif file in PAGES or file in INDEXES:
            target = (PAGES | INDEXES)[file]
        elif not file.startswith("docs/") and (ROOT / file).exists():
            target = _source_uri(file)
        else:
            target = file.removeprefix("docs/")
        return posixpath.relpath(target, posixpath.dirname(page.file.src_uri) or ".") + fragment

    return markdown if page.file.src_uri.startswith("source/") else LINK.sub(replace, markdown)


def _repository_path(link: re.Match, uri: str) -> str:
    """The path, from the root of the repository, of what a link on a page leads to."""
    folder = FOLDERS.get(uri, posixpath.dirname(f"docs/{uri}"))
    return posixpath.normpath(posixpath.join(folder, link.group(1)))


def _linked_sources(page: File) -> Iterator[str]:
    """Files and folders outside docs/ that a page links to and that are no pages, and the modules of these folders."""
    if not page.src_uri.endswith(".md"):
        return
    for link in LINK.finditer(page.content_string):
        path = _repository_path(link, page.src_uri)
        if path.startswith("docs/") or path in {"README.md", *PAGES} or not (ROOT / path).exists():
            continue
        yield path
        if (ROOT / path).is_dir():
            yield from (f"{path}/{file.name}" for file in _modules(path))


def _modules(folder: str) -> list[Path]:
    return sorted(file for file in (ROOT / folder).iterdir() if file.suffix == ".py" and file.stat().st_size)


def _source_uri(path: str) -> str:
    return f"source/{path}.md"


def _source_text(path: str) -> str:
    """Markdown that shows a file, or the list of the modules of a folder."""
    file = ROOT / path
    if file.is_dir():
        name = posixpath.basename(path)
        return f"# {path}\n\n" + "\n".join(f"- [{each.name}]({name}/{each.name}.md)" for each in _modules(path))
    language = LANGUAGES.get(file.suffix, "text")
    return f"# {path}\n\n``````{language}\n{file.read_text()}\n``````\n"
