"""Sections of README.md on pages of the site: a line `<!-- README: Layers -->` becomes the text of that section.

The text before the first section is called `Introduction`; it comes without the title, diagrams and pictures, for which
the site has pictures of its own.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files

README = Path(__file__).parents[2] / "README.md"
MARK = re.compile(r"^<!-- README: (.+) -->$", re.MULTILINE)
DIAGRAM = re.compile(r"^```mermaid\n.*?^```\n", re.MULTILINE | re.DOTALL)
PICTURE = re.compile(r"^!\[.*\n(\n\*.*\n)?", re.MULTILINE)  # with the caption below it
LINK = re.compile(r"(?<=\]\()(?!https?:|#)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Put the sections into the pages that name them."""
    sections = readme_sections()
    for file in files.documentation_pages():
        if file.src_uri.endswith(".md") and MARK.search(file.content_string):
            file.content_string = MARK.sub(lambda mark: sections[mark.group(1)], file.content_string)
    return files


def readme_sections() -> dict[str, str]:
    """The text of each section by its title, with links as from docs/."""
    introduction, *parts = re.split(r"^## (.+)\n", README.read_text(), flags=re.MULTILINE)
    sections = {"Introduction": introduction.split("\n", 1)[1]} | dict(zip(parts[::2], parts[1::2], strict=True))
    return {title: LINK.sub("../", PICTURE.sub("", DIAGRAM.sub("", text))).strip() for title, text in sections.items()}
