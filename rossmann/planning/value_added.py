"""Forecast value added: whether overrides were closer to the sales than the forecasts that they replaced.

Forecast value added is the change in a measure of accuracy that a step or a person of the forecasting process brings
about (M. Gilliland, The Business Forecasting Deal, Wiley 2010). That it depends on direction and size was found by
Fildes, Goodwin, Lawrence and Nikolopoulos (International Journal of Forecasting 25, 2009): large downward adjustments
helped, small and upward ones mostly did not.
"""

import numpy as np
import pandas as pd

from rossmann.data import SalesHistory

SIZES = {"below 5 %": 0.0, "5 to 15 %": 0.05, "above 15 %": 0.15}  # name and smallest change against the forecast
ORDERED_SIZES = pd.CategoricalDtype([*SIZES], ordered=True)
UP, DOWN, EQUAL = "up", "down", "equal"  # directions
GROUPS = (("planner",), ("direction",), ("size",), ("direction", "size"), ("planner", "direction", "size"))
GROUP_COLUMNS = ("planner", "direction", "size")
SCORE_NAMES = {  # what readers see of the columns of `value_added`
    "days": "days", "decisions": "decisions", "mae_forecast": "MAE forecast", "mae_override": "MAE override",
    "wape_forecast": "WAPE forecast", "wape_override": "WAPE override", "closer": "closer by", "p_closer": "P(closer)",
}  # fmt: skip
ALL = "all"  # in a group column: whatever its value is
MIN_DECISIONS = 5  # fewer cannot be told from chance: there is no probability
FEW_DECISIONS = 20  # fewer are reported with a note
BOOTSTRAPS, SEED = 2000, 7


def scored_overrides(overrides: pd.DataFrame, history: SalesHistory) -> pd.DataFrame:
    """The overrides of days that are over, with sales, direction, size, and both absolute errors.

    overrides: those in force. Days on which the sales are not known are left out. A day without sales counts: that the
    store would close may be what the planner knew.
    """
    rows = overrides.assign(sales=history.take("sales", overrides["store"].to_numpy(), overrides["date"].to_numpy()))
    rows = rows[rows["sales"].notna()]
    change = _relative_change(rows["forecast"].to_numpy(), rows["amount"].to_numpy())
    size = np.array([*SIZES])[np.searchsorted([*SIZES.values()], np.abs(change), side="right") - 1]
    return rows.assign(
        direction=np.select([change > 0, change < 0], [UP, DOWN], EQUAL),
        size=size,
        forecast_error=(rows["forecast"] - rows["sales"]).abs(),
        override_error=(rows["amount"] - rows["sales"]).abs(),
    )


def value_added(rows: pd.DataFrame) -> pd.DataFrame:
    """The errors of forecasts and overrides side by side: all rows, then each of GROUPS. Empty without rows.

    Columns: GROUP_COLUMNS (ALL: whatever the value is); days, decisions (what one planner saved at one moment); MAE and
    WAPE of both (WAPE NaN without any sales); closer: by how much the overrides were closer in sum, in the unit of the
    sales, negative where further; days_closer; p_closer: probability that they are closer than the forecasts, NaN for
    fewer than MIN_DECISIONS; note.
    """
    if rows.empty:
        return pd.DataFrame()
    tables = [pd.DataFrame([_summary(rows)])]
    for columns in GROUPS:
        groups = rows.astype({"size": ORDERED_SIZES}).groupby(list(columns), observed=True)
        tables.append(
            pd.DataFrame([dict(zip(columns, key, strict=True)) | _summary(group_rows) for key, group_rows in groups])
        )
    table = pd.concat(tables, ignore_index=True)
    values = table.reindex(columns=[*GROUP_COLUMNS, *tables[0].columns])
    return values.fillna(dict.fromkeys(GROUP_COLUMNS, ALL))


def _summary(rows: pd.DataFrame) -> dict[str, object]:
    gain = rows["forecast_error"] - rows["override_error"]
    decisions = gain.groupby([rows["planner"], rows["at"]]).sum().to_numpy()
    sales = rows["sales"].sum()
    return {
        "days": len(rows),
        "decisions": len(decisions),
        "mae_forecast": rows["forecast_error"].mean(),
        "mae_override": rows["override_error"].mean(),
        "wape_forecast": rows["forecast_error"].sum() / sales if sales else np.nan,
        "wape_override": rows["override_error"].sum() / sales if sales else np.nan,
        "closer": gain.sum(),
        "days_closer": int((gain > 0).sum()),
        "p_closer": _probability(decisions),
        "note": _note(len(decisions)),
    }


def _probability(gains: np.ndarray) -> float:
    """Share of bootstrap samples of decisions in which the sum of their gains is positive.

    The days of one decision are right or wrong together, so decisions are drawn and not days; one fewer than there are,
    as in the verdict.
    """
    count = len(gains)
    if count < MIN_DECISIONS:
        return np.nan
    draws = np.random.default_rng(SEED).multinomial(count - 1, np.full(count, 1 / count), size=BOOTSTRAPS)
    return float(np.mean(draws @ gains > 0))


def _note(decisions: int) -> str:
    if decisions < MIN_DECISIONS:
        return "too few to tell from chance"
    return "few: may change" if decisions < FEW_DECISIONS else ""


def _relative_change(forecast: np.ndarray, amount: np.ndarray) -> np.ndarray:
    """amount / forecast − 1; infinite where a forecast of 0 was raised."""
    of_nothing = np.where(amount > 0, np.inf, 0.0)
    return np.where(forecast > 0, amount / np.where(forecast > 0, forecast, 1.0) - 1, of_nothing)
