"""Scores of the best candidate beside those of the baseline, on parts of the backtest."""

from dataclasses import dataclass
from typing import Any

from rossmann.evaluation import BASELINE, Backtest, Names
from rossmann.schema import WEEKDAY_NAMES

FLAG_WORDS = ("no", "yes")


@dataclass(frozen=True)
class PartScore:
    """The scores of one candidate on some rows of its backtest, and the baseline's on the same rows."""

    label: str
    score: float  # capped, by the loss of the backtest
    baseline_score: float
    bias: float
    coverage: float  # NaN without quantiles
    rows: int  # days with sales


@dataclass(frozen=True)
class Breakdown:
    """One way to divide the rows of a backtest, and the scores of its parts."""

    title: str
    parts: tuple[PartScore, ...]

    @property
    def largest(self) -> float:
        """The largest score, which has the longest bar."""
        return max(max(part.score, part.baseline_score) for part in self.parts)


def breakdowns(backtest: Backtest, candidate: str, names: Names) -> list[Breakdown]:
    """The candidate's scores by fold, week after the origin, weekday, and by the slices of the release rule."""
    pair = _with_baseline(backtest, candidate)
    columns = {"origin": "fold from", "lead_week": "lead", "weekday": "weekday"}
    columns |= {column: name.replace("_", " ") for column, name in names.slices.items() if column not in columns}
    return [Breakdown(title, _parts(pair, candidate, column)) for column, title in columns.items()]


def worst_stores(backtest: Backtest, candidate: str, names: Names, count: int = 10) -> Breakdown:
    """The stores with the highest capped scores of a candidate, the worst first."""
    pair = _with_baseline(backtest, candidate)
    store_scores = Backtest(pair.of(candidate), pair.loss).by("store")[pair.loss.capped_name].droplevel("candidate")
    worst = store_scores.nlargest(count).index
    parts = _parts(Backtest(pair.rows[pair.rows.store.isin(worst)], pair.loss), candidate, "store", names)
    return Breakdown("Worst stores", tuple(sorted(parts, key=lambda part: -part.score)))


def _with_baseline(backtest: Backtest, candidate: str) -> Backtest:
    """The rows of the candidate and of the baseline."""
    return Backtest(backtest.rows[backtest.rows.candidate.isin([candidate, BASELINE])], backtest.loss)


def _parts(pair: Backtest, candidate: str, column: str, names: Names | None = None) -> tuple[PartScore, ...]:
    """The parts with scored rows, in the order of the column's values."""
    scores, capped_name = pair.by(column), pair.loss.capped_name
    candidate_scores = scores.loc[candidate]
    baseline = scores[capped_name].loc[BASELINE if BASELINE in pair.candidates else candidate]
    return tuple(
        PartScore(
            names.store(int(str(value))) if names else _label(column, value),
            float(row[capped_name]),
            float(baseline[value]),
            float(row.bias),
            float(row.coverage),
            int(row.rows),
        )
        for value, row in candidate_scores.iterrows()
        if row.rows
    )


def _label(column: str, value: Any) -> str:
    if column == "origin":
        return f"{value:%-d %b %Y}"
    if column == "weekday":
        return WEEKDAY_NAMES[value]
    if column == "lead_week":
        return f"week {value}"
    return str(value) if isinstance(value, str) else FLAG_WORDS[int(value)]
