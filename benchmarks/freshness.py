"""`python -m benchmarks.freshness RAW`: what new days are worth to the linear model, by lead, without a training.

Every STEP_DAYS an origin, so that every weekday is the first of a forecast equally often. Each forecasts the days after
it three times: from the State of STEP_DAYS before, from its own without the correction by recent residuals, and with
it. The weights of the correction are estimated by least squares on one half of the origins and on the other.
"""

import argparse
from collections.abc import Sequence

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track

from rossmann import evaluation, features
from rossmann.data import SalesHistory, read_history
from rossmann.evaluation import RMSPE, Fold
from rossmann.features import PlanRows, State
from rossmann.models.learner import loss_shift
from rossmann.models.training_windows import MAX_DIFFERENCE, linear_base
from rossmann.schema import DAY, HORIZON_DAYS, LEAD_RANGES, MIN_SEASON_HISTORY_DAYS, lead_range

STEP_DAYS = 8
VARIANTS = ("older", "uncorrected", "corrected")
WEIGHTS = ("last days", "last weeks")  # in the order of store_ridge.RESIDUAL_HALF_LIVES_DAYS


def main() -> None:
    """Usage: python -m benchmarks.freshness RAW"""
    parser = argparse.ArgumentParser()
    parser.add_argument("raw", help="Folder with the raw files.")
    history = read_history(parser.parse_args().raw).history
    origins = origins_of(history)
    rows = pd.concat(rows_of_origins(history, track(origins, console=Console(stderr=True))))
    console = Console(highlight=False)
    console.print(f"{len(origins) - 1} origins, {origins[1]} to {origins[-1]}\n")
    console.print(scores(rows).to_string(float_format="{:.4f}".format), soft_wrap=True)
    console.print("\n" + weights(rows).to_string(float_format="{:.2f}".format), soft_wrap=True)


def origins_of(history: SalesHistory) -> list[np.datetime64]:
    """The origins, ascending, counted back from the last one that has a whole horizon of actuals after it."""
    last, first = history.origin - HORIZON_DAYS * DAY, history.dates[0] + MIN_SEASON_HISTORY_DAYS * DAY
    return list(np.arange(last, first, -STEP_DAYS * DAY)[::-1])


def rows_of_origins(history: SalesHistory, origins: Sequence[np.datetime64]) -> list[pd.DataFrame]:
    """The rows with sales of every origin but the first, which is only the older one of the second.

    The plan of every State reaches STEP_DAYS beyond the horizon, so that the next origin's days are in it.
    """
    tables: list[pd.DataFrame] = []
    older: State | None = None
    for origin in origins:
        fold = evaluation.cut_fold(history, origin, HORIZON_DAYS)
        state = features.fit_state(history.until(origin, HORIZON_DAYS + STEP_DAYS))
        if older is not None:
            tables.append(forecast_rows(fold, older, state))
        older = state
    return tables


def forecast_rows(fold: Fold, older: State, state: State) -> pd.DataFrame:
    """The rows of a fold with sales: log errors of the VARIANTS, and what the correction is computed from."""
    rows = features.join_plan(state, fold.plan)
    sold = (fold.plan.open == 1) & (fold.actuals.sales > 0)
    decayed = rows.at_store(state.ridge.decayed_residual)[sold]
    forecasts = {
        "older": linear_forecast(features.join_plan(older, fold.plan)),
        "uncorrected": rows.ridge + loss_shift(rows, RMSPE.variance_factor),
        "corrected": linear_forecast(rows),
    }
    log_sales = np.log(fold.actuals.sales[sold])
    errors = {name: log_sales - forecast[sold] for name, forecast in forecasts.items()}
    residual = np.clip(log_sales - rows.ridge[sold], -MAX_DIFFERENCE, MAX_DIFFERENCE)
    lead_days = pd.Categorical(lead_range(rows.lead_days)[sold], list(LEAD_RANGES))
    columns = {"origin": fold.origin, "lead_days": lead_days, "residual": residual}
    return pd.DataFrame(columns | errors | dict(zip(WEIGHTS, decayed.T, strict=True))).astype(
        dict.fromkeys(("residual", *VARIANTS, *WEIGHTS), np.float32)
    )


def linear_forecast(rows: PlanRows) -> np.ndarray:
    """Log sales of the candidate `ridge`. [rows]"""
    return linear_base(rows) + loss_shift(rows, RMSPE.variance_factor)


def scores(rows: pd.DataFrame) -> pd.DataFrame:
    """Capped RMSPE of the VARIANTS by lead, over all rows, and on how many origins the correction is better."""
    errors = rows[list(VARIANTS)].to_numpy()
    squares = np.square(np.minimum(np.abs(np.expm1(-errors)), RMSPE.cap))
    table = rows[["lead_days", "origin"]].assign(**dict(zip(VARIANTS, squares.T, strict=True)))
    by_lead = np.sqrt(table.groupby("lead_days", observed=True)[list(VARIANTS)].mean())
    by_origin = table.groupby(["lead_days", "origin"], observed=True)[list(VARIANTS)].mean()
    is_better = (by_origin.corrected < by_origin.uncorrected).groupby("lead_days", observed=True)
    return by_lead.assign(better=is_better.sum(), origins=is_better.count())


def weights(rows: pd.DataFrame) -> pd.DataFrame:
    """The weights of the two decayed residuals that fit the residuals of the coming days best, by lead."""
    half = rows.origin.rank(method="dense") % 2
    halves = {"all": rows, "odd origins": rows[half == 1], "even origins": rows[half == 0]}
    return pd.concat({name: least_squares(part) for name, part in halves.items()}, axis=1)


def least_squares(rows: pd.DataFrame) -> pd.DataFrame:
    """Least-squares weights by lead: a row each. Columns WEIGHTS"""
    solutions = {
        lead: np.linalg.lstsq(part[list(WEIGHTS)], part.residual, rcond=None)[0]
        for lead, part in rows.groupby("lead_days", observed=True)
    }
    return pd.DataFrame(solutions, index=WEIGHTS).T


if __name__ == "__main__":
    main()
