"""What a result was computed with: a hash of the code it depends on, and the installed packages."""

import ast
import hashlib
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

FORECAST_CODE = ("schema.py", "data", "features", "models")  # modules and packages whose code changes a forecast
# Distributions whose version can change a forecast. xgboost-cpu is a second distribution of XGBoost's code.
NUMERIC_DISTRIBUTIONS = {"numpy", "scipy", "holidays", "lightgbm", "xgboost", "xgboost-cpu", "scikit-learn"}


def code_version() -> str:
    """16 hex digits: the version of the code that forecasts depend on."""
    return code_hash(FORECAST_CODE)


@cache
def code_hash(parts: tuple[str, ...]) -> str:
    """16 hex digits: a hash of modules and packages of this library, and of the versions of NUMERIC_DISTRIBUTIONS.

    Comments, docstrings and layout do not change it.
    """
    package = Path(__file__).parent
    digest = hashlib.sha256("\n".join(_installed_versions(NUMERIC_DISTRIBUTIONS)).encode())
    paths = [package / part for part in parts]
    files = [file for path in paths for file in (path.rglob("*.py") if path.is_dir() else (path,))]
    for file in sorted(files):
        digest.update(f"{file.relative_to(package)}\0{dump_code(file.read_text())}".encode())
    return digest.hexdigest()[:16]


def dump_code(source: str) -> str:
    """The syntax tree of Python source as text, without comments, docstrings and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)


@cache
def installed_packages() -> tuple[str, ...]:
    """Every installed distribution as name==version, sorted."""
    return tuple(sorted({f"{d.metadata['Name'].lower()}=={d.version}" for d in distributions()}))


def installed_packages_hash() -> str:
    """16 hex digits: a hash of `installed_packages()`."""
    return hashlib.sha256("\n".join(installed_packages()).encode()).hexdigest()[:16]


def _installed_versions(names: Iterable[str]) -> list[str]:
    """Which of these are installed, as name==version, sorted; `installed_packages()` would take half a second."""
    installed = []
    for name in sorted(names):
        with suppress(PackageNotFoundError):
            installed.append(f"{name}=={version(name)}")
    return installed
