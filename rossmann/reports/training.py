"""The report of a training: what it is made of, and its page."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from rossmann import evaluation
from rossmann.data import SalesHistory
from rossmann.evaluation import BASELINE, BacktestRun, Loss, chain_names
from rossmann.reports import charts, importance, leaderboard, page, scores, worst_rows

TEMPLATE = "training.html"


@dataclass(frozen=True)
class Challenger:
    """The model version that a training registered, and what it was computed with."""

    version: int
    candidate: str
    snapshot: str  # fingerprint
    train_end: str  # YYYY-MM-DD
    seed: int
    code_version: str
    environment: str  # hash of the versions of all packages


@dataclass(frozen=True)
class Decision:
    """What became of a challenger."""

    outcome: Literal["promoted", "refused", "taken back"]
    at: str  # time, UTC
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class TrainingReport:
    """All that the report shows, as the training stored it."""

    run: BacktestRun
    challenger: Challenger
    history: SalesHistory
    coverage: float  # nominal share of days between the bounds
    share_below_levels: Mapping[float, float]  # share of days at or below each quantile, out of sample
    decision: Decision | None  # None: not judged yet
    mlflow_run: str  # id
    feature_part: Callable[[str], str]  # what a feature describes, by its name

    @property
    def loss(self) -> Loss:
        """By which the candidates are ranked."""
        return self.run.backtest.loss


def render_training(report: TrainingReport) -> bytes:
    """The report as one HTML page. It loads nothing: style and charts are inside."""
    names, backtest = chain_names(report.history), report.run.backtest
    candidate = report.challenger.candidate
    return page.render(
        TEMPLATE,
        report=report,
        challenger=report.challenger,
        decision=report.decision,
        loss=report.loss,
        baseline=BASELINE,
        tiles=_tiles(report),
        warning=backtest.warning(candidate),
        columns=leaderboard.columns(report.loss),
        leaderboard=leaderboard.lines(report.run),
        lines=charts.lines(backtest, candidate),
        breakdowns=scores.breakdowns(backtest, candidate, names),
        calibration=charts.calibration(report.share_below_levels),
        worst_stores=scores.worst_stores(backtest, candidate, names),
        cpu_seconds=report.run.cpu_seconds[candidate],
        worst_rows=worst_rows.worst_rows(backtest, candidate, report.history, names),
        **_importance(report),
        charts=charts,
    )


def _tiles(report: TrainingReport) -> list[tuple[str, str, str]]:
    """The numbers at the top: name, number, and what to compare it with."""
    board, loss, candidate = report.run.backtest.score(), report.loss, report.challenger.candidate
    best: Any = board.loc[candidate]
    rows = report.run.backtest.of(candidate)
    tiles = [(loss.capped_label, loss.text(best[loss.capped_name]), "mean of the folds, lower is better")]
    if BASELINE in board.index and candidate != BASELINE:
        gain = 1 - best[loss.capped_name] / board[loss.capped_name][BASELINE]
        text = loss.text(board[loss.capped_name][BASELINE])
        tiles.append((f"error below {BASELINE}", page.percent(gain), f"{BASELINE}: {text}"))
    tiles.append(("bias", page.signed_percent(best.bias), "of all sales; 0 is best"))
    tiles.append(("inside the bounds", page.percent(best.coverage), f"{page.percent(report.coverage, 0)} nominal"))
    tiles.append(("days with sales", page.amount(len(evaluation.scored_rows(rows))), _extent(rows)))
    return tiles


def _extent(rows: pd.DataFrame) -> str:
    """How many days of stores the folds of a candidate have, closed ones included."""
    folds, days, stores = rows.origin.nunique(), int(rows.lead_days.max()), rows.store.nunique()
    return f"of {folds * days * stores:,}: {folds} folds × {days} days × {stores:,} stores"


def _importance(report: TrainingReport) -> dict[str, object]:
    """The gain of the candidate's features; of the best booster where the candidate has no trees."""
    run = report.run
    ranking = [report.challenger.candidate, *map(str, run.backtest.score().index)]
    source = next((name for name in ranking if run.importance.get(name)), None)
    shares = run.importance[source] if source else {}
    return {
        "importance_source": source,
        "importance_groups": importance.sum_by_part(shares, report.feature_part),
        "importance_features": importance.top_features(shares),
    }
