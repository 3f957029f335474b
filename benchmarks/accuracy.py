"""`python -m benchmarks.accuracy RAW`: the candidates of the blend on eight folds of one year, a Christmas among them.

They are the folds on which features and models were chosen, so that a change can be compared with what was there
before. Finished fits are reused if `--storage` names a folder.
"""

import argparse
import tempfile

import numpy as np
import pandas as pd
from rich.console import Console

from rossmann import models, training
from rossmann.data import read_history
from rossmann.evaluation import BacktestRun
from rossmann.models.candidate import BLEND
from rossmann.schema import HORIZON_DAYS
from rossmann.settings import Settings
from rossmann.storage import Storage
from rossmann.training.backtests import Progress

ORIGINS = tuple(
    np.array(
        [
            "2014-06-13",
            "2014-07-31",
            "2014-09-17",
            "2014-11-04",
            "2014-12-22",
            "2015-01-20",
            "2015-03-09",
            "2015-04-26",
        ],
        "datetime64[D]",
    )
)
LATEST = 3  # folds whose raw score is shown as well


def main() -> None:
    """Usage: python -m benchmarks.accuracy RAW [--storage FOLDER]"""
    console = Console(highlight=False)
    run = run_with_progress(parse_arguments(), console)
    console.print(table(run).to_string(float_format="{:.4f}".format), soft_wrap=True)


def parse_arguments() -> argparse.Namespace:
    """The arguments of this benchmark and of those that use its backtest: raw and storage."""
    parser = argparse.ArgumentParser()
    parser.add_argument("raw", help="Folder with the raw files.")
    parser.add_argument("--storage", help="Folder of finished fits.")
    return parser.parse_args()


def run_with_progress(arguments: argparse.Namespace, console: Console) -> BacktestRun:
    """The backtest that the arguments ask for; the console shows its progress."""
    with tempfile.TemporaryDirectory() as folder, console.status("fitting") as status:
        storage = arguments.storage or folder
        return backtest(arguments.raw, storage, lambda *done: status.update("{}/{} {}".format(*done)))


def backtest(raw: str, storage: str, progress: Progress) -> BacktestRun:
    """The backtest of the blend, its members and the linear model on ORIGINS."""
    settings = Settings()
    names = ("ridge", *models.BLEND_MEMBERS, BLEND)
    entries = [training.BacktestEntry(candidate.name, candidate) for candidate in models.candidates(names)]
    return training.run_backtests(
        read_history(raw).history, entries, ORIGINS, horizon_days=HORIZON_DAYS, coverage=settings.coverage,
        seed=settings.seed, ray_address=None, storage=Storage(storage), progress=progress,
    )  # fmt: skip


def table(run: BacktestRun) -> pd.DataFrame:
    """By candidate, best first: capped RMSPE, mean and by fold; raw RMSPE of the latest folds; coverage by fold."""
    by_fold = run.backtest.by("origin")
    capped, raw, coverage = (by_fold[name].unstack("origin") for name in ("rmspe_capped", "rmspe", "coverage"))
    board = pd.DataFrame({"capped": capped.mean(axis=1), f"raw, {LATEST} latest": raw.iloc[:, -LATEST:].mean(axis=1)})
    board = board.join(capped.rename(columns=lambda origin: f"{origin:%y-%m-%d}"))
    board["coverage"], board["lowest"], board["highest"] = (
        coverage.mean(axis=1),
        coverage.min(axis=1),
        coverage.max(axis=1),
    )
    board["cpu_seconds"] = pd.Series(run.cpu_seconds)
    return board.sort_values("capped")


if __name__ == "__main__":
    main()
