"""`python -m benchmarks.quantiles RAW`: whether the quantiles of the blend are right, on the folds of `accuracy`.

Coverage by fold and by slice of days, of quantiles that were calibrated on the other folds; and the folds as one year,
with quantiles that stay and with those that follow the outcomes. Finished fits are reused if `--storage` names a
folder, like that of `accuracy`.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
from rich.console import Console

from benchmarks import accuracy
from rossmann import models, training
from rossmann.models.candidate import BLEND
from rossmann.models.quantiles import bound_levels
from rossmann.settings import Settings

SHARES = (0.5, 0.8, 0.9, 0.95)
SLICES = ("origin", "store_type", "weekday", "promo", "lead_week")
NARROWNESS = 0.7  # of a calibration that is wrong


def main() -> None:
    """Usage: python -m benchmarks.quantiles RAW [--storage FOLDER]"""
    console = Console(highlight=False)
    rows = accuracy.run_with_progress(accuracy.parse_arguments(), console).backtest.of(BLEND)
    for table in (coverage(rows), replay(rows)):
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
    right = models.calibrate(np.ones(len(days)), days.error.to_numpy(), Settings().coverage, _levels(SHARES))
    narrow = replace(right, offsets=tuple(NARROWNESS * offset for offset in right.offsets))
    return pd.concat({"right": _replay_from(right, days), f"× {NARROWNESS}": _replay_from(narrow, days)})


def _replay_from(static: models.Quantiles, days: pd.DataFrame) -> pd.DataFrame:
    """Coverage by quarter, first of the year. days: date and error, log(sales / forecast) in standard deviations."""
    adaptive, tables = static, []
    for _, week in days.groupby(pd.Grouper(key="date", freq="7D")):
        inside = {f"{name} {share:.0%}": _inside(quantiles, share, week.error)
                  for name, quantiles in (("static", static), ("adaptive", adaptive)) for share in SHARES}  # fmt: skip
        tables.append(week[["date"]].assign(**inside))
        adaptive = models.follow_outcomes(adaptive, [errors.to_numpy() for _, errors in week.groupby("date").error])
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
