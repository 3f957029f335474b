"""The notebooks run from the beginning to the end, and their stored outputs are what they print now."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

REPOSITORY = Path(__file__).parents[1]
NOTEBOOKS = sorted(REPOSITORY.glob("docs/notebooks/*.ipynb"))
MAX_BYTES = 150_000
PATH = re.compile(r"(?:/root|/home|/tmp|/work|/var)/\w+")


def texts(notebook: nbformat.NotebookNode) -> list[list[str]]:
    """What each code cell prints and shows, without pictures."""
    return [
        [output.text if "text" in output else output.data["text/plain"] for output in cell.outputs]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def test_there_are_notebooks():
    assert len(NOTEBOOKS) == 4


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_is_small_shows_no_machine_and_no_warning(file):
    assert file.stat().st_size < MAX_BYTES
    assert PATH.findall(file.read_text()) == []
    assert "iopub" not in file.read_text(), "the times of the run are stored: run the command of CONTRIBUTING.md"
    assert '"name": "stderr"' not in file.read_text()
    cells = nbformat.read(file, as_version=4).cells
    assert all(cell.execution_count for cell in cells if cell.cell_type == "code"), "run all cells and save"


@pytest.mark.slow
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_runs_and_prints_what_is_stored(file, monkeypatch):
    """After a change of numbers, run the command of CONTRIBUTING.md."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("MPLBACKEND", raising=False)  # another test's, which draws into no cell
    stored = nbformat.read(file, as_version=4)
    fresh = nbformat.read(file, as_version=4)
    kernel = NotebookClient(
        fresh, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(REPOSITORY)}}
    )
    kernel.execute()
    assert texts(fresh) == texts(stored)
