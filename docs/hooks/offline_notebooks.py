"""Notebooks without the script that would load a library for diagrams from another host; ours have none."""

import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.pages import Page

SCRIPT = re.compile(r"<script[^>]*>(?:(?!</script>).)*\bimport\(\"https://.*?</script>", re.DOTALL)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """The page without inline scripts that import from another host."""
    return SCRIPT.sub("", output) if page.file.src_uri.endswith(".ipynb") else output
