"""The leaderboard as texts, the columns that matter most first."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from rossmann.evaluation import MAE, RMSPE, BacktestRun, Loss
from rossmann.reports import page


@dataclass(frozen=True)
class LeaderboardLine:
    """One candidate: its scores are means over the folds, as texts in the order of `columns`."""

    candidate: str
    scores: tuple[str, ...]
    share: float  # of the largest capped loss, for the bar; 0 for one that failed
    failure: str
    param_changes: str  # its parameters that differ from the defaults


def columns(loss: Loss) -> tuple[str, ...]:
    """The names of the scores; the first one ranks."""
    return (loss.capped_label, "bias", "coverage", loss.label, *_other_labels(loss), "WQL", "CPU s")


def lines(run: BacktestRun) -> list[LeaderboardLine]:
    """One line per candidate, best first, then those that failed."""
    board, loss = run.leaderboard(), run.backtest.loss
    largest = board[loss.capped_name].max()
    return [
        LeaderboardLine(str(name), (), 0.0, line.failure, line.param_changes)
        if line.failure
        else LeaderboardLine(str(name), _scores(line, loss), line[loss.capped_name] / largest, "", line.param_changes)
        for name, line in board.iterrows()
    ]


def leaderboard_rows(run: BacktestRun) -> list[dict[str, str]]:
    """The lines as rows of a table: rounded texts by column.

    The last columns are there only where a candidate has them: parameters that differ from the defaults, and the reason
    why it failed.
    """
    names, board = columns(run.backtest.loss), lines(run)
    has_changes, has_failures = any(line.param_changes for line in board), any(line.failure for line in board)
    return [
        {"candidate": line.candidate}
        | dict(zip(names, line.scores or ("–",) * len(names), strict=True))
        | ({"differs from the defaults": line.param_changes} if has_changes else {})
        | ({"failure": line.failure} if has_failures else {})
        for line in board
    ]


def other_losses(loss: Loss) -> Sequence[Loss]:
    """RMSPE and MAE, which are shown whatever the loss of the backtest is, without that loss."""
    return [each for each in (RMSPE, MAE) if each != loss]


def _other_labels(loss: Loss) -> Sequence[str]:
    return [each.label for each in other_losses(loss)]


def _scores(line: pd.Series, loss: Loss) -> tuple[str, ...]:
    """The texts of `columns`."""
    return (
        loss.text(line[loss.capped_name]),
        page.signed_percent(line.bias),
        page.percent(line.coverage, 0),
        loss.text(line[loss.name]),
        *(each.text(line[each.name]) for each in other_losses(loss)),
        "–" if pd.isna(line.wql) else f"{line.wql:.4f}",
        f"{line.cpu_seconds:,.1f}",
    )
