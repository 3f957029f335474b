"""Drawings become part of their page, so that they take the colours of the light or the dark scheme."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

IMAGES = Path(__file__).parents[1] / "images"
PICTURE = re.compile(r'<img alt="([^"]*)" src="(?:\.\./)*images/([\w-]+\.svg)"\s*/?>')


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page with its drawings in place of links to them."""
    return PICTURE.sub(lambda match: _drawing(match.group(1), match.group(2)), html)


def _drawing(description: str, file: str) -> str:
    svg = (IMAGES / file).read_text()
    return svg[svg.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{description}"', 1)
