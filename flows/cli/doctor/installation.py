"""Python itself, the versions of requirements.lock, libraries that do not load, and settings that cannot be read."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from flows.cli.doctor.findings import INSTALL, OK, REPOSITORY, WARNING, WRONG, Finding, Surroundings

SHOWN = 3  # packages named in a finding
IMPORT_TIMEOUT_S = 10
NATIVE_PACKAGES = (
    "numpy",
    "pandas",
    "pyarrow",
    "scipy",
    "sklearn",
    "lightgbm",
    "xgboost",
)  # with libraries of the system
IMPORT_EACH = """
import importlib, sys
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except Exception as error:
        print(f"{name}: {type(error).__name__}: {error}".splitlines()[0])
"""


def python(_: Surroundings, root: Path = REPOSITORY) -> Iterator[Finding]:
    """The lock is resolved for one version of Python."""
    running = ".".join(map(str, sys.version_info[:3]))
    project = (root / "pyproject.toml").read_text(encoding="utf-8")
    (requirement,) = re.findall(r'^requires-python = "(.+?)"', project, flags=re.MULTILINE)
    lowest, limit = (tuple(map(int, text.split("."))) for text in re.findall(r"\d+\.\d+", requirement))
    if lowest <= sys.version_info[:2] < limit:
        yield Finding("python", OK, f"Python {running} at {sys.executable}")
    else:
        name = f"python{lowest[0]}.{lowest[1]}"
        advice = f"install {name}, then run `make install PYTHON={name}` and use .venv/bin"
        yield Finding("python", WRONG, f"Python {running} at {sys.executable}; the project needs {requirement}", advice)


def versions(_: Surroundings, root: Path = REPOSITORY) -> Iterator[Finding]:
    """Each installed package has the version of the lock, and what the project itself imports is installed."""
    lock = locked_versions(root / "requirements.lock")
    installed = {name: installed_version(name) for name in lock}
    different = [
        f"{name} {installed[name]} ({lock[name]})" for name in lock if installed[name] not in (None, lock[name])
    ]
    absent = [name for name in direct_dependencies(root / "pyproject.toml") if installed_version(name) is None]
    if absent:
        yield Finding("versions", WRONG, f"not installed: {_first(absent)}", INSTALL)
    if different:
        yield Finding("versions", WRONG, f"other versions than requirements.lock: {_first(different)}", INSTALL)
    if not absent and not different:
        count = sum(each is not None for each in installed.values())
        yield Finding("versions", OK, f"{count} packages have the versions of requirements.lock")


def libraries(_: Surroundings, names: tuple[str, ...] = NATIVE_PACKAGES) -> Iterator[Finding]:
    """The packages that need libraries of the system can be imported; in a process of its own, which may crash."""
    command = [sys.executable, "-c", IMPORT_EACH, *names]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=IMPORT_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        text = f"importing {', '.join(names)} takes more than {IMPORT_TIMEOUT_S} s"
        yield Finding("libraries", WARNING, text, "look at the load and at the disk of this machine, and try again")
        return
    problems = result.stdout.splitlines()
    if result.returncode != 0:
        problems.append(f"importing ended with code {result.returncode}")
    for problem in problems:
        missing = re.search(r"(lib\w+)\S*\.so\S*: cannot open", problem)
        package = {"libgomp": "libgomp1"}.get(missing[1], missing[1]) if missing else ""
        advice = f"install the system's package, on Debian: apt-get install {package}" if missing else INSTALL
        yield Finding("libraries", WRONG, problem, advice)
    if not problems:
        yield Finding("libraries", OK, f"{', '.join(names)} can be imported")


def settings(surroundings: Surroundings) -> Iterator[Finding]:
    """The variables ROSSMANN_… are settings, and their values are possible."""
    if surroundings.settings_problem:
        yield surroundings.settings_problem
    if surroundings.settings is None:
        return
    unknown = surroundings.settings.unknown_variables(surroundings.environment)
    for name, similar_name in unknown.items():
        advice = f"did you mean {similar_name}?" if similar_name else "docs/operations.md lists the settings"
        yield Finding("settings", WARNING, f"{name} is not a setting and has no effect", advice)
    if not unknown:
        yield Finding("settings", OK, "all variables ROSSMANN_… can be read")


def locked_versions(lock: Path) -> dict[str, str]:
    """Version by package. Lines with a marker of another platform are left out."""
    lines = re.findall(r"^([\w.-]+)(?:\[.*?\])?==([^\s;]+)\s*$", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(lines)


def direct_dependencies(project: Path) -> list[str]:
    """The packages that pyproject.toml names under `dependencies`."""
    (block,) = re.findall(
        r"^dependencies = \[\n(.*?)^\]", project.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    return re.findall(r'^\s*"([\w.-]+)', block, flags=re.MULTILINE)


def installed_version(name: str) -> str | None:
    """None where the package is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _first(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
