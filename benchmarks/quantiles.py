"""`python -m benchmarks.quantiles RAW`: whether the quantiles of the blend are right, on the folds of `accuracy`.

Coverage by fold and by slice of days, of quantiles that were calibrated on the other folds; and the folds as one year,
with quantiles that stay and with those that follow the outcomes; and the same with weekly origins of the linear model,
which takes two minutes more. Finished fits are reused if `--storage` names a
folder, like that of `accuracy`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from rich.console import Console

from benchmarks import accuracy
from benchmarks.freshness import linear_forecast
from rossmann import evaluation, features, models, training
from rossmann.data import SalesHistory, read_history
from rossmann.models.candidate import BLEND
from rossmann.models.quantiles import bound_levels
from rossmann.schema import DAY, HORIZON_DAYS, WEEK_DAYS
from rossmann.settings import Settings

SHARES = (0.5, 0.8, 0.9, 0.95)
SLICES = ("origin", "attribute", "weekday", "promotion", "lead_week")
NARROWNESS = 0.7  # of a calibration that is wrong
WEEKS = 52  # of the weekly origins
EARLIER_DAYS = (0, 24)  # of the origins that the first calibration is of, before the last whose days are known


def main() -> None:
    """Usage: python -m benchmarks.quantiles RAW [--storage FOLDER]"""
    console = Console(highlight=False)
    arguments = accuracy.parse_arguments()
    rows = accuracy.run_with_progress(arguments, console).backtest.of(BLEND)
    for table in (coverage(rows), replay(rows), weekly_replay(read_history(arguments.raw).history)):
        console.print(table.to_string(float_format="{:.3f}".format), soft_wrap=True)


def coverage(rows: pd.DataFrame) -> pd.DataFrame:
    """Share of days with sales inside the middle SHARES of quantiles: mean of the folds, and by each of SLICES."""
    tables = []
    for fold, quantiles in training.quantiles_of_folds(rows, Settings().coverage, _levels(SHARES)):
        sold = fold[fold.sales > 0]
        names = dict(zip(quantiles.levels, _quantiles(quantiles, sold).T, strict=True))
        bounds = {share: bound_levels(share) for share in SHARES}
        inside = {s: (names[low] <= sold.sales) & (sold.sales <= names[high]) for s, (low, high) in bounds.items()}
        tables.append(sold[list(SLICES)].assign(origin=sold.origin.dt.strftime("%Y-%m-%d"), **_named(inside)))
    days, columns = pd.concat(tables), list(_named(dict.fromkeys(SHARES)))
    slices = {name: days.groupby(name, observed=True)[columns].mean() for name in SLICES}
    mean = slices["origin"].mean().to_frame("").T
    return pd.concat({"mean of the folds": mean, **slices}, names=["slice", "value"])


def replay(rows: pd.DataFrame) -> pd.DataFrame:
    """Coverage of SHARES by quarter of the folds' year, static and adaptive, from a right and from a narrow start.

    Each week has the quantiles after all days before it. The right calibration is that of all folds.
    """
    sold = rows[(rows.sales > 0) & (rows.forecast > 0)]
    days = sold[["date"]].assign(error=np.log(sold.sales / sold.forecast) / sold.standard_deviation)
    weeks = [Week(week, _by_day(week)) for _, week in days.groupby(pd.Grouper(key="date", freq="7D"))]
    right = _calibration(days)
    return pd.concat({"right": _replay_from(right, weeks), f"× {NARROWNESS}": _replay_from(_narrow(right), weeks)})


def weekly_replay(history: SalesHistory) -> pd.DataFrame:
    """The same of the linear model, which forecasts the whole horizon from an origin every week of a year.

    As in operation, the outcomes of a day are those of all its forecasts, and the first calibration is of days before.
    """
    last = history.origin - HORIZON_DAYS * DAY
    origins = last - WEEK_DAYS * DAY * np.arange(WEEKS)[::-1]
    earlier = pd.concat([_linear_errors(history, origins[0] - (HORIZON_DAYS + days) * DAY) for days in EARLIER_DAYS])
    forecasts = pd.concat([_linear_errors(history, origin) for origin in origins])
    by_day = dict(list(forecasts.groupby("date")))
    weeks = []
    for origin, week in forecasts.groupby("origin"):
        days = pd.date_range(origin, periods=WEEK_DAYS + 1)[1:]
        tables = [by_day[day] for day in days if day in by_day]
        weeks.append(Week(week, [table.error[table.origin <= origin].to_numpy() for table in tables]))
    right = _calibration(forecasts)
    starts = {"earlier": _calibration(earlier), "right": right, f"× {NARROWNESS}": _narrow(right)}
    return pd.concat({name: _replay_from(start, weeks) for name, start in starts.items()})


@dataclass(frozen=True)
class Week:
    """What is forecast with the same quantiles, and what is known when the next week begins."""

    forecasts: pd.DataFrame  # date and error, log(sales / forecast) in standard deviations, of each day with sales
    outcomes: list[np.ndarray]  # of each day the errors of its forecasts


def _linear_errors(history: SalesHistory, origin: np.datetime64) -> pd.DataFrame:
    """Origin, date and error of the linear model's forecasts of the days with sales."""
    fold = evaluation.cut_fold(history, origin, HORIZON_DAYS)
    rows = features.join_plan(features.fit_state(history.until(origin, HORIZON_DAYS)), fold.plan)
    sold = (fold.plan.open == 1) & (fold.actuals.sales > 0)
    error = (np.log(fold.actuals.sales[sold]) - linear_forecast(rows)[sold]) / rows.standard_deviation[sold]
    return pd.DataFrame({"origin": origin, "date": fold.plan.date[sold], "error": error.astype(np.float32)})


def _by_day(rows: pd.DataFrame) -> list[np.ndarray]:
    return [errors.to_numpy() for _, errors in rows.groupby("date").error]


def _calibration(rows: pd.DataFrame) -> models.Quantiles:
    return models.calibrate(np.ones(len(rows)), rows.error.to_numpy(), Settings().coverage, _levels(SHARES))


def _narrow(quantiles: models.Quantiles) -> models.Quantiles:
    return replace(quantiles, offsets=tuple(NARROWNESS * offset for offset in quantiles.offsets))


def _replay_from(static: models.Quantiles, weeks: Sequence[Week]) -> pd.DataFrame:
    """Coverage by quarter, first of the year."""
    adaptive, tables = static, []
    for week in weeks:
        inside = {f"{name} {share:.0%}": _inside(quantiles, share, week.forecasts.error)
                  for name, quantiles in (("static", static), ("adaptive", adaptive)) for share in SHARES}  # fmt: skip
        tables.append(week.forecasts[["date"]].assign(**inside))
        adaptive = models.follow_outcomes(adaptive, week.outcomes)
    table = pd.concat(tables).set_index("date")
    return pd.concat([table.mean().to_frame("year").T, table.groupby(table.index.to_period("Q")).mean()])


def _inside(quantiles: models.Quantiles, share: float, errors: pd.Series) -> pd.Series:
    """Whether errors in standard deviations are between the two quantiles with this share between them."""
    lower, upper = (quantiles.offsets[quantiles.levels.index(level)] for level in bound_levels(share))
    return errors.between(lower, upper)


def _quantiles(quantiles: models.Quantiles, rows: pd.DataFrame) -> np.ndarray:
    return quantiles.around(rows.standard_deviation.to_numpy(), rows.forecast.to_numpy())


def _levels(shares: tuple[float, ...]) -> list[float]:
    return sorted(level for share in shares for level in bound_levels(share))


def _named(by_share: dict[float, object]) -> dict[str, object]:
    return {f"{share:.0%}": value for share, value in by_share.items()}


if __name__ == "__main__":
    main()
