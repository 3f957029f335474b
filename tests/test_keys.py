"""Results are stored under keys that change with all the code that they depend on, and with no other code.

Each test changes one line in a copy of the library and runs the copy in a process of its own.
"""

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rossmann import evaluation, models, training
from rossmann.storage import Storage
from rossmann.training import BacktestEntry

pytestmark = pytest.mark.proof

REPOSITORY = Path(__file__).parents[1]
OPTIONS = {"horizon_days": 48, "coverage": 0.9, "seed": 7}
PRINT_KEYS = """
from rossmann.provenance import code_version
from rossmann.training.files import fit_key, run_key
print(code_version(), fit_key("x"), run_key("x"))
"""
RUN_AGAIN = """
import pickle, sys
from rossmann import training
from rossmann.storage import Storage
with open(sys.argv[1], "rb") as file:
    history, entries, origins, options, root = pickle.load(file)
progress = []
run = training.run_backtests(history, entries, origins, **options, ray_address="127.0.0.1:1", storage=Storage(root),
                             progress=lambda done, total, what: progress.append((done, total)))
print(run.key, progress == [(4, 4)], run.coverage("ridge"))
"""


@pytest.fixture
def library(tmp_path) -> Path:
    """A copy of the library in a folder of its own."""
    shutil.copytree(REPOSITORY / "rossmann", tmp_path / "copy" / "rossmann")
    return tmp_path / "copy"


def change(library: Path, module: str, before: str, after: str) -> None:
    file = library / "rossmann" / module
    source = file.read_text()
    assert source.count(before) == 1
    file.write_text(source.replace(before, after))


def run_with(library: Path, code: str, *arguments: str) -> list[str]:
    """The words that the code prints with this copy of the library."""
    command = [sys.executable, "-c", code, *arguments]
    environment = os.environ | {"PYTHONPATH": str(library)}
    process = subprocess.run(command, cwd=library, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return process.stdout.split()


@pytest.mark.parametrize(
    ("module", "before", "after", "changed"),
    [
        ("models/quantiles.py", "(rows + 1) *", "(rows + 2) *", {"code", "fit", "run"}),
        ("features/levels.py", "HALF_LIFE_DAYS = 28.0", "HALF_LIFE_DAYS = 27.0", {"code", "fit", "run"}),
        ("training/fits.py", "if origin < last]", "if origin <= last]", {"fit", "run"}),
        ("training/backtests.py", "rows.origin != origin", "rows.origin == origin", {"run"}),
        ("evaluation/backtest.py", "sort_values(self.loss.capped_name)", 'sort_values("rmse")', {"run"}),
        ("evaluation/folds.py", "MIN_PAST_DAYS = 180", "MIN_PAST_DAYS = 190", {"run"}),
        ("figures.py", "DPI = 110", "DPI = 120", set()),
    ],
)
def test_a_key_changes_with_the_code_behind_it(library, module, before, after, changed):
    kinds = ("code", "fit", "run")
    original = run_with(REPOSITORY, PRINT_KEYS)
    change(library, module, before, after)
    keys = run_with(library, PRINT_KEYS)
    assert {kind for kind, one, other in zip(kinds, original, keys, strict=True) if one != other} == changed


def test_a_changed_calibration_is_another_run_of_the_same_fits(library, noisy, local_ray, tmp_path):
    """So a version that is registered under the old key is not taken for the new one, and nothing is fitted again."""
    origins = evaluation.fold_origins(noisy, 2, 48, 48)
    by_name = {candidate.name: candidate for candidate in models.candidates(("ridge",))}
    entries = [BacktestEntry(name, by_name[name]) for name in ("median", "ridge")]
    storage = Storage(str(tmp_path / "backtests"))
    run = training.run_backtests(
        noisy, entries, origins, **OPTIONS, ray_address=None, storage=storage, progress=lambda *_: None
    )
    arguments = tmp_path / "arguments.pickle"
    arguments.write_bytes(pickle.dumps((noisy, entries, origins, OPTIONS, storage.root)))
    change(library, "training/backtests.py", "log_residual, coverage, levels)", "2 * log_residual, coverage, levels)")
    key, all_fits_reused, coverage = run_with(library, RUN_AGAIN, str(arguments))
    assert all_fits_reused == "True"
    assert float(coverage) > run.coverage("ridge")
    assert key != run.key
