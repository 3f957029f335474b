"""Pages that are made of the code at each build, so that they cannot be older than it.

http-reference.md, openapi.json     from the endpoint's OpenAPI document
command-reference.md                from the options of the `rossmann` command
reference/                          a page for each package of the library; mkdocstrings fills it with the docstrings
"""

import ast
import json
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))  # mkdocs loads each hook by its path

from command_reference import command_reference
from http_reference import http_reference, openapi

ROOT = Path(__file__).parents[2]
LIBRARY = "reference"
LESS_RELEVANT = (
    "---\nsearch:\n  boost: 0.3\n---\n"  # in a search, a page that explains a word comes before its functions
)
SUBPACKAGES = ("rossmann.serving.server",)  # without names of their own in the package above them


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to the site."""
    document = openapi()
    pages = {
        "http-reference.md": http_reference(document),
        "openapi.json": json.dumps(document, indent=2),
        "command-reference.md": command_reference(),
        f"{LIBRARY}/index.md": _library_index(),
        **{f"{LIBRARY}/{name}.md": f"{LESS_RELEVANT}# rossmann.{name}\n\n::: rossmann.{name}\n" for name in packages()},
    }
    for uri, text in pages.items():
        files.append(File.generated(config, uri, content=text))
    return files


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of the library below their index, in the section of the navigation that has it."""
    index = f"{LIBRARY}/index.md"
    for section in config.nav:
        (pages,) = section.values()
        if index in pages:
            names = [f"{LIBRARY}/{name}.md" for name in packages()]
            pages[pages.index(index)] = {"Library": [index, *names]}
    return config


def packages() -> list[str]:
    """The modules and packages of the library."""
    modules = [file for file in (ROOT / "rossmann").glob("*.py") if file.name != "__init__.py"]
    folders = [file.parent for file in (ROOT / "rossmann").glob("*/__init__.py")]
    return sorted(each.stem for each in [*modules, *folders])


def _library_index() -> str:
    rows = "\n".join(f"| [rossmann.{name}]({name}.md) | {_first_line(name)} |" for name in packages())
    return (
        "# Library\n\nThe Python packages, with the docstrings of what each of them offers to the others. "
        "Imports go [strictly down](../architecture.md#layers).\n\n| package | what it is for |\n|---|---|\n" + rows
    )


def _first_line(name: str) -> str:
    """The first line of a module's docstring."""
    file = ROOT / "rossmann" / f"{name}.py"
    text = (file if file.exists() else ROOT / "rossmann" / name / "__init__.py").read_text()
    return (ast.get_docstring(ast.parse(text)) or "").split("\n")[0]
