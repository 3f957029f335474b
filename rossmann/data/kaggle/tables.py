"""Turn Kaggle's files, once they are checked, into tables under the schema's names."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from rossmann.data.cleaning import RawTables
from rossmann.data.history import Stores
from rossmann.data.kaggle.columns import KAGGLE_NAMES, MONTHS, TEST_FILE
from rossmann.data.kaggle.reading import RawFiles
from rossmann.data.kaggle.store_attributes import StoreAttributes
from rossmann.schema import ACTUAL_COLUMNS, DTYPES, PLAN_COLUMNS, WEEK_DAYS, weekday


def raw_tables(files: RawFiles, is_unusable: np.ndarray | None = None) -> RawTables:
    """The tables under the schema's names. The files must have passed `check_raw`.

    The sales and customers of the rows `is_unusable`, bool [rows of train.csv], become NaN.
    """
    days = _select(files.days, (*PLAN_COLUMNS, *ACTUAL_COLUMNS))
    if is_unusable is not None:
        days = days.assign(**{name: days[name].mask(is_unusable) for name in ACTUAL_COLUMNS})
    plan = _select(files.plan, PLAN_COLUMNS).assign(is_published=files.plan["file"] == TEST_FILE)
    return RawTables(days, _stores(files.stores), plan)


def _select(table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The columns of these names in our schema, under these names."""
    columns = {name: table[KAGGLE_NAMES[name]] for name in names}
    return pd.DataFrame(columns | {"store": columns["store"].astype(DTYPES["store"])}, copy=False)


def _stores(table: pd.DataFrame) -> Stores:
    ordered = table.sort_values("Store")
    column = {name: ordered[name].to_numpy() for name in ordered}
    promo2 = column["Promo2"] == 1
    promo2_since = _monday_of_iso_week(column["Promo2SinceYear"], column["Promo2SinceWeek"])
    return Stores(
        number=column["Store"].astype(np.int32),
        attribute_codes=ordered[["StoreType", "Assortment"]].to_numpy().astype(np.int8),
        kaggle=StoreAttributes(
            competition_distance_m=column["CompetitionDistance"].astype(float),
            competition_since=_month(column["CompetitionOpenSinceYear"], column["CompetitionOpenSinceMonth"]),
            promo2=promo2,
            promo2_since=np.where(promo2, promo2_since, np.datetime64("NaT", "D")),
            promo2_months=_starting_months(ordered["PromoInterval"]) & promo2[:, None],
        ),
    )


def _month(year: np.ndarray, month: np.ndarray) -> np.ndarray:
    """The months as datetime64[M]; NaT where the year or the month is NaN."""
    is_unknown = np.isnan(year) | np.isnan(month)
    months = (np.nan_to_num(year, nan=1970) - 1970) * 12 + np.nan_to_num(month, nan=1) - 1
    return np.where(is_unknown, np.datetime64("NaT", "M"), months.astype(np.int64).astype("datetime64[M]"))


def _monday_of_iso_week(year: np.ndarray, week: np.ndarray) -> np.ndarray:
    """The first days of ISO weeks as datetime64[D]; NaT where the year or the week is NaN."""
    is_unknown = np.isnan(year) | np.isnan(week)
    years = (np.nan_to_num(year, nan=1970) - 1970).astype(np.int64).astype("datetime64[Y]")
    fourth_of_january = years.astype("datetime64[D]") + 3  # by definition in week 1
    weeks_later = (np.nan_to_num(week, nan=1) - 1).astype(np.int64)
    monday = fourth_of_january - weekday(fourth_of_january) + WEEK_DAYS * weeks_later
    return np.where(is_unknown, np.datetime64("NaT", "D"), monday)


def _starting_months(intervals: pd.Series) -> np.ndarray:
    """The months in which a round of promo2 starts, from text like "Jan,Apr,Jul,Oct". bool [stores, 12]"""
    text = intervals.fillna("").astype(str)
    return np.stack([text.str.contains(month).to_numpy() for month in MONTHS], axis=1)
