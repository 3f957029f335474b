"""What contributors meet: GitHub's workflow and forms are valid, and the hooks of pre-commit work offline."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
WORKFLOW = REPOSITORY / ".github/workflows/ci.yml"


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("vendor.github-workflows", ".github/workflows/*.yml"),
        ("custom.github-workflows-require-timeout", ".github/workflows/*.yml"),
        ("vendor.github-issue-config", ".github/ISSUE_TEMPLATE/config.yml"),
        ("vendor.github-issue-forms", ".github/ISSUE_TEMPLATE/[!c]*.yml"),
    ],
)
def test_githubs_files_are_valid_by_their_schemas(schema, pattern):
    files = sorted(map(str, REPOSITORY.glob(pattern)))
    assert files
    command = [BIN / "check-jsonschema", "--builtin-schema", schema, *files]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_workflow_pins_every_action_and_may_only_read():
    uses = re.findall(r"uses: (.+)", WORKFLOW.read_text())
    assert uses
    assert [each for each in uses if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v[\d.]+", each)] == []
    assert yaml.safe_load(WORKFLOW.read_text())["permissions"] == {"contents": "read"}


def test_the_workflow_and_the_guide_name_targets_that_exist():
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    for file in (WORKFLOW, REPOSITORY / "CONTRIBUTING.md"):
        assert set(re.findall(r"(?:run: |`|\$ )make ([a-z-]+)", file.read_text())) - targets == set(), file.name


@pytest.fixture
def clone(tmp_path) -> Path:
    """A git repository with our hooks and one module, which is staged."""
    for name in (".pre-commit-config.yaml", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    (tmp_path / ".venv").symlink_to(BIN.parent)
    (tmp_path / "rossmann").mkdir()
    (tmp_path / "rossmann/module.py").write_text('"""A module."""\n\n\nx  =  1\n')
    _git(tmp_path, "init", "--quiet")
    _git(tmp_path, "add", "rossmann", ".pre-commit-config.yaml")
    return tmp_path


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


def _hook(folder: Path, name: str) -> subprocess.CompletedProcess:
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin", "https_proxy": "http://127.0.0.1:1"}  # no network
    return subprocess.run(
        [BIN / "pre-commit", "run", name], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )


def test_the_hooks_mend_the_format_and_refuse_a_wrong_type_without_a_network(clone):
    module = clone / "rossmann/module.py"
    assert _hook(clone, "format").returncode == 1  # a hook that changes a file fails once
    assert module.read_text().endswith("\nx = 1\n")
    module.write_text('"""A module."""\n\nx: int = "1"\n')
    _git(clone, "add", "rossmann")
    result = _hook(clone, "types")
    assert result.returncode == 1
    assert "Incompatible types in assignment" in result.stdout
