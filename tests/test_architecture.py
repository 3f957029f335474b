"""Imports go strictly down the layers, and each vendor is imported by one package: read from the code by `ast`."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = {
    "schema": 0, "chain": 0, "workspace": 0, "provenance": 0, "settings": 0, "storage": 0, "validation": 0,
    "number_formats": 0,
    "data": 1, "alarms": 1,
    "simulation": 2, "features": 2, "evaluation": 2,
    "models": 3, "figures": 3,
    "training": 4, "registry": 4, "forecasting": 4, "journal": 4, "monitoring": 4, "explain": 4, "planning": 4,
    "reports": 4,
    "serving": 5, "dashboard": 5,
}  # fmt: skip
SAME_LAYER = {  # (importer, imported) on one layer; everything else on a layer knows nothing of its neighbours
    ("settings", "schema"), ("settings", "workspace"), ("validation", "schema"),
    ("chain", "schema"), ("chain", "validation"),
    ("dashboard", "serving"),  # how the endpoint is asked
}  # fmt: skip
VENDOR_PACKAGES = {
    "pandera": {"validation"},
    "lightgbm": {"models"},
    "xgboost": {"models"},
    "sklearn": {"models", "evaluation"},
    "skops": {"models"},
    "scipy": {"features"},
    "ray": {"training", "serving"},
    "optuna": {"training"},
    "fastapi": {"serving"},
    "sqlalchemy": {"journal"},
    "alembic": {"journal"},
    "mlflow": {"registry"},
    "boto3": {"storage"},
    "botocore": {"storage"},
    "evidently": {"monitoring"},
    "matplotlib": {"figures"},
    "PIL": {"figures"},
    "jinja2": {"reports"},
    "prefect": {"flows"},
    "typer": {"flows"},
    "holidays": {"data"},
    "rich": {"flows"},
    "streamlit": {"dashboard"},
    "plotly": {"dashboard"},
}
NAMELESS_PACKAGES = {"features", "models", "monitoring", "serving"}  # they know the roles of columns
KAGGLE_COLUMN = re.compile(
    r"promo(?!t)|state_?holiday|school_?holiday|customers|store_?type|assortment|competition", re.I
)
MOST_LINES = 400
SOURCES = sorted([*ROOT.glob("rossmann/**/*.py"), *ROOT.glob("flows/**/*.py")])


def package(file: Path) -> str:
    """The module or package of rossmann that a file belongs to, or flows."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return parts[1] if parts[0] == "rossmann" else "flows"


def imports(file: Path) -> set[str]:
    """Every module that a file imports, dotted, `from a import b` as a.b."""
    modules = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file.relative_to(ROOT)} imports relatively; write the whole path"
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    return modules


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_go_strictly_down(file):
    importer = package(file)
    if importer in ("flows", "__init__"):
        return
    for name in imports(file):
        assert not name.startswith("flows"), f"{importer} imports flows; nothing does"
        if not name.startswith("rossmann."):
            continue
        target = name.split(".")[1]
        assert target == importer or LAYERS[target] < LAYERS[importer] or (importer, target) in SAME_LAYER, (
            f"{file.relative_to(ROOT)} in layer {LAYERS[importer]} imports {target} in layer {LAYERS[target]}; "
            "imports go down"
        )


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_vendor_is_imported_only_by_its_packages(file):
    for name in imports(file):
        vendor = name.split(".")[0]
        assert package(file) in VENDOR_PACKAGES.get(vendor, {package(file)}), (
            f"{file.relative_to(ROOT)} imports {vendor}, which belongs to {' and '.join(VENDOR_PACKAGES[vendor])}"
        )


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_file_is_too_long(file):
    lines = len(file.read_text().splitlines())
    assert lines <= MOST_LINES, f"{file.relative_to(ROOT)} has {lines} lines; over {MOST_LINES} it becomes a package"


def test_every_package_has_a_layer():
    packages = {package(file) for file in SOURCES} - {"flows", "__init__"}
    assert packages == set(LAYERS), "a new file in rossmann/ is a decision: give it a layer here and in DECISIONS.md"


@pytest.mark.parametrize("name", sorted(NAMELESS_PACKAGES))
def test_no_column_of_kaggles_files_is_named_outside_their_module(name):
    """Not in a comment either. Roles have names of their own, which a chain translates (`rossmann.chain`)."""
    matches = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in SOURCES
        if package(file) == name
        for number, line in enumerate(file.read_text().splitlines(), start=1)
        if KAGGLE_COLUMN.search(line)
    ]
    assert not matches, "\n".join(matches)


def test_the_library_reads_no_clock_and_no_environment():
    banned = {"os.environ", "os.getenv", "datetime.now", "date.today", "Timestamp.now", "time.time()"}
    for file in SOURCES:
        if package(file) in ("flows", "serving", "settings", "dashboard", "alarms"):  # the edges; alarms are raised now
            continue
        text = file.read_text()
        used = [word for word in banned if word in text]
        assert not used, f"{file.relative_to(ROOT)} uses {used}; time and environment are arguments"
