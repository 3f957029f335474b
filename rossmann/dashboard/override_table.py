"""The table that a planner edits: the override of a store's open days, beside what is known of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from rossmann.dashboard import formats
from rossmann.data import SalesHistory
from rossmann.planning.amounts import is_unlikely, parse_amount
from rossmann.planning.overrides import with_overrides
from rossmann.schema import DAY, DTYPES, KEYS, WEEKS_YEAR_DAYS
from rossmann.validation import DataError

Texts = Mapping[pd.Timestamp, str]  # what stands in the column override and is not saved, by day


@dataclass(frozen=True)
class Edits:
    """What a planner typed into the column override. Each table has the columns date and amount."""

    override: np.ndarray  # of all days of the table, as it would be after saving; NaN: none. float64 [days]
    changed: pd.DataFrame  # days with another amount
    removed: pd.DataFrame  # days without one by now; their amount is NaN
    problems: tuple[str, ...]  # texts that are no amount, and what to write instead
    unlikely: tuple[str, ...]  # amounts that are far from the forecast

    @property
    def count(self) -> int:
        """How many days are changed."""
        return len(self.changed) + len(self.removed)


def override_table(
    history: SalesHistory, store: int, forecasts: pd.DataFrame, earlier: pd.DataFrame, overrides: pd.DataFrame
) -> pd.DataFrame:
    """A row per open day of the plan: date, promotion, last_year, earlier, forecast, override, planner, reason.

    earlier: the forecasts of an earlier origin; NaN where there is none, as in last_year and override.
    Days without a forecast in the journal, or closed in the plan, are left out.
    """
    dates = history.calendar.dates[-history.horizon_days :]
    number = np.full(len(dates), store)
    days = pd.DataFrame({
        "date": dates.astype(DTYPES["date"]),
        "is_open": history.take("open", number, dates) == 1,
        "promotion": history.take("promotion", number, dates) == 1,
        "last_year": history.take("sales", number, dates - WEEKS_YEAR_DAYS * DAY),
    })  # fmt: skip
    values = with_overrides(forecasts[[*KEYS, "forecast"]], overrides).drop(columns="store")
    earlier_forecasts = earlier[["date", "forecast"]].rename(columns={"forecast": "earlier"}).astype({"earlier": float})
    table = days[days["is_open"]].drop(columns="is_open").merge(earlier_forecasts, on="date", how="left")
    table = table.merge(values, on="date").reset_index(drop=True)
    columns = ["date", "promotion", "last_year", "earlier", "forecast", "override", "planner", "reason"]
    return table[columns].fillna({"planner": "", "reason": ""})


def to_editor_table(table: pd.DataFrame, texts: Texts) -> pd.DataFrame:
    """The table as the editor shows it: rounded, and its overrides as text, some of which are not saved."""
    rounded_table = table.round({"last_year": 0, "earlier": 0, "forecast": 0})
    return rounded_table.assign(override=[
        texts.get(day, _as_text(amount)) for day, amount in zip(table["date"], table["override"], strict=True)
    ])  # fmt: skip


def unsaved_texts(table: pd.DataFrame, editor_table: pd.DataFrame) -> dict[pd.Timestamp, str]:
    """The texts of the column override that are not those of the saved table."""
    saved_texts = to_editor_table(table, {})["override"]
    editor_texts = editor_table["override"].fillna("")
    is_unsaved = editor_texts != saved_texts
    return dict(zip(table["date"][is_unsaved], editor_texts[is_unsaved], strict=True))


def amounts_as_texts(table: pd.DataFrame, first: date, last: date, amounts: pd.Series) -> dict[pd.Timestamp, str]:
    """These amounts as overrides of the days first … last that the table has: closed days are not in it.

    DataError if it has none of them.
    """
    is_chosen = table["date"].between(pd.Timestamp(first), pd.Timestamp(last))
    if not is_chosen.any():
        raise DataError(
            f"no day from {first} to {last} is in the table: the last day is before the first, or the store is closed "
            "on all of them"
        )
    return dict(zip(table["date"][is_chosen], amounts[is_chosen].map(_as_text), strict=True))


def read_edits(table: pd.DataFrame, texts: Texts) -> Edits:
    """What the unsaved texts mean. A text that cannot be read changes nothing."""
    override, problems, is_typed = table["override"].to_numpy(dtype=float).copy(), [], table["date"].isin(list(texts))
    for row in np.flatnonzero(is_typed):
        text, forecast = texts[table["date"][row]], float(table["forecast"][row])
        try:
            override[row] = parse_amount(text, forecast) if text.strip() else np.nan
        except DataError as error:
            problems.append(f"{formats.day(table['date'].to_numpy()[row])}: {error}")
    saved_amounts = table["override"].to_numpy(dtype=float)
    is_changed = is_typed & ~np.isnan(override) & (override != saved_amounts)
    days = pd.DataFrame({"date": table["date"], "amount": override})
    changed, removed = days[is_changed], days[np.isnan(override) & ~np.isnan(saved_amounts)]
    return Edits(override, changed, removed, tuple(problems), _unlikely(changed, table["forecast"][is_changed]))


def _unlikely(changed: pd.DataFrame, forecast: pd.Series) -> tuple[str, ...]:
    rows = changed.assign(forecast=forecast)[is_unlikely(changed["amount"].to_numpy(), forecast.to_numpy())]
    return tuple(
        f"{formats.day(str(row.date))}: {row.amount:,.2f} instead of a forecast of {row.forecast:,.0f}"
        for row in rows.itertuples()
    )


def _as_text(amount: float) -> str:
    """An amount as `parse_amount` reads it; nothing for NaN."""
    return "" if np.isnan(amount) else f"{amount:,.2f}".removesuffix(".00")
