"""The documentation site: it is built without a warning, and nothing in it is loaded from another host."""

import importlib
import os
import re
import runpy
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
LOADED = {
    "script": "src",
    "link": "href",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "object": "data",
}
BUILD_SECONDS = 240  # a build takes 8 s of CPU time; the machine may be busy


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", folder],
        cwd=REPOSITORY,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        check=True,
        timeout=BUILD_SECONDS,
    )
    return folder


class Addresses(HTMLParser):
    """Collects what a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value for name, value in attributes if value}
        is_link = tag == "link" and values.get("rel") != "canonical"
        name = "href" if is_link else LOADED.get(tag, "")
        self.loaded += [values[name]] if name in values else []


def test_nothing_is_loaded_from_another_host(site: Path) -> None:
    pages, styles = sorted(site.rglob("*.html")), sorted(site.rglob("*.css"))
    assert len(pages) > 30
    addresses = [(page, address) for page in pages for address in _loaded(page)]
    addresses += [(style, address) for style in styles for address in re.findall(r"url\(([^)]+)\)", style.read_text())]
    assert addresses
    assert [(str(file), each) for file, each in addresses if re.match(r"[\"']?(https?:)?//", each)] == []
    assert [str(page) for page in pages if re.search(r"import\([\"']https?:|class=\"mermaid", page.read_text())] == []


def _loaded(page: Path) -> list[str]:
    parser = Addresses()
    parser.feed(page.read_text())
    return parser.loaded


def test_no_link_leads_to_a_folder(site: Path) -> None:
    """A browser that opens the pages as files would list the folder's files."""
    links = [
        (page, href)
        for page in site.rglob("*.html")
        for href in re.findall(r'<a[^>]* href="([^"]*)"', page.read_text())
    ]
    local = [(page, href.split("#")[0]) for page, href in links if not re.match(r"[a-z]+:", href)]
    assert [(str(page), href) for page, href in local if href and (page.parent / href).is_dir()] == []


def test_the_http_reference_has_every_path_and_the_library_every_package(site: Path) -> None:
    reference = (site / "http-reference.html").read_text()
    for path in ("POST /predict", "GET /forecasts/{store}", "GET /model", "GET /ready", "GET /health", "GET /metrics"):
        assert path in reference
    packages = {file.stem for file in (REPOSITORY / "rossmann").iterdir() if not file.name.startswith("__")}
    assert packages <= {page.stem for page in (site / "reference").glob("*.html")}
    assert "fit_state" in (site / "reference/features.html").read_text()
    assert "--allow-shrink" in (site / "command-reference.html").read_text()


@pytest.mark.parametrize("name", [file.parent.name for file in sorted(REPOSITORY.glob("rossmann/*/__init__.py"))])
def test_the_reference_of_a_package_has_every_name_that_it_offers(site: Path, name: str) -> None:
    package = importlib.import_module(f"rossmann.{name}")
    page = (site / f"reference/{name}.html").read_text()
    offered = {f"rossmann.{name}.{each}" for each in getattr(package, "__all__", ())}
    assert offered - set(re.findall(r'id="([^"]+)"', page)) == set()


def test_the_pictures_are_what_their_script_draws() -> None:
    script = runpy.run_path(str(REPOSITORY / "docs/images/draw.py"))
    for name in ("phases", "folds", "boundaries"):
        picture = script[name]()
        assert (REPOSITORY / f"docs/images/{name}.svg").read_text() == picture.svg(), "run docs/images/draw.py"
