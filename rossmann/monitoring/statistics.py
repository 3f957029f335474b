"""What is watched: one number a day per statistic, each against what it was on all the days before.

The limit comes from a statistic's own earlier values, and is never below the smallest effect that matters (`floor`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rossmann.data import STORE_TYPES, SalesHistory
from rossmann.features.calendar import count_between
from rossmann.monitoring.panels import RECENT, Panels, earlier_mean

WINDOW_DAYS = 7
ENOUGH = 28  # earlier values that make a limit
MARGIN = 1.25  # on the QUANTILE of the earlier values' distances from their median
QUANTILE = {"quality": 0.9, "plan": 0.9, "concept": 0.95}  # an alarm of the past must not hide the next one
USUAL_QUANTILE = 0.99  # of sales, which have their Christmas every year
APART = 3  # standard deviations of a store that left its forecasts
SELLING = 5  # stores of a group that make a median
WILD, WILD_PRICE = 1.2, 0.9  # |log| of one store against its own past: × 3.3, × 2.5
MISSING_BASE = (8, 35)  # days back in which a store must have reported to be missed
SETTLED_DAYS = 28  # that a store must have reported: who comes back is not what it was
PRIOR_DAYS = 30  # with which a store's own deviation is drawn to that of all
WEEKEND = 5  # Saturday, from 0 Monday


@dataclass(frozen=True)
class Statistic:
    """Values [days], NaN without evidence; persistent if `need` of the last WINDOW_DAYS are beyond the limit."""

    kind: str
    name: str
    of: str
    values: np.ndarray
    floor: float
    need: int
    reference: str
    says: str  # a story with {effect} and {limit}

    @property
    def centre(self) -> float:
        """Median of the earlier values."""
        return float(np.nanmedian(self._past)) if self.limited else np.nan

    @property
    def limited(self) -> bool:
        """Whether there are enough earlier values."""
        return int(np.isfinite(self._past).sum()) >= min(ENOUGH, ENOUGH // WINDOW_DAYS * self.need)

    @property
    def limit(self) -> float:
        """How far from `centre` a day may be; NaN without a past."""
        if not self.limited:
            return np.nan
        usual = QUANTILE.get(self.kind, USUAL_QUANTILE)
        return max(self.floor, MARGIN * float(np.nanquantile(np.abs(self._past - self.centre), usual)))

    @property
    def beyond(self) -> np.ndarray:
        """Which of the last days are beyond the limit. bool [WINDOW_DAYS]"""
        return np.abs(self.values[-WINDOW_DAYS:] - self.centre) > self.limit

    @property
    def effect(self) -> float:
        """Median distance from `centre` of the last days: of those beyond, if it persists."""
        last = self.values[-WINDOW_DAYS:] - self.centre
        seen = last[self.beyond] if self.persistent else last[np.isfinite(last)]
        return float(np.median(seen)) if len(seen) else np.nan

    @property
    def persistent(self) -> bool:
        return int(self.beyond.sum()) >= self.need

    @property
    def _past(self) -> np.ndarray:
        return self.values[:-WINDOW_DAYS]


def of_history(history: SalesHistory, seen: Panels) -> Iterator[Statistic]:
    """Quality, features, target and plan, from what happened."""
    on_year = seen.dates[-1] - seen.dates[0] > np.timedelta64(364 + 60, "D")
    level, reference = (seen.on_year, "same season a year before") if on_year else (seen.on_recent, "previous weeks")
    types = [(f"store type {STORE_TYPES[k]}", history.stores.store_type == k) for k in range(len(STORE_TYPES))]
    types = [(name, which) for name, which in types if which.sum() >= SELLING]
    yield from _quality(seen, types)
    yield from _plan(seen)
    for column, flags in (("open", seen.open), ("promo", seen.promo), ("zero sales", seen.open & ~seen.sold)):
        yield Statistic(
            "feature",
            f"{column}_share".replace(" ", "_"),
            column,
            _on_year_share(flags, seen),
            0.5,
            4,
            "same season a year before",
            "the share of " + column + " moved by {effect:+.1%}",
        )
    for name, which in [("all stores", np.ones(len(level), bool)), *types]:
        yield Statistic(
            "target",
            "sales_level",
            name,
            _settled(_median(level, which)),
            0.1,
            4,
            reference,
            "sales of " + name + " moved by {effect:+.1%} against the growth of the weeks before",
        )


def _quality(seen: Panels, types: list[tuple[str, np.ndarray]]) -> Iterator[Statistic]:
    """Of the data as they came in; `types`: name and stores of each."""
    recently = "the weeks before"
    for name, which, of in [("stores", slice(None), ""), *((name, which, f" of {name}") for name, which in types)]:
        yield Statistic(
            "quality",
            "stores_missing",
            name,
            _missing(seen, which),
            0.02 if name == "stores" else 0.1,  # of a type's few stores one is many
            3,
            recently,
            "{effect:.1%} of the stores" + of + " that reported until lately have no rows, or come late",
        )
    for name, which in types:
        yield Statistic(
            "quality",
            "zero_sales",
            name,
            _share(seen.open & ~seen.sold, seen.open & seen.present, which),
            0.05,
            3,
            "all earlier days",
            "{effect:+.1%} of the open stores of " + name + " sell nothing",
        )
    yield Statistic(
        "quality",
        "customers_frozen",
        "customers",
        _share(seen.customers_same, seen.sold),
        0.05,
        3,
        "all earlier days",
        "{effect:.1%} of the stores report the customers of the day before",
    )
    for name, which in types:
        yield Statistic(
            "quality",
            "other_unit",
            name,
            _apart(seen.price, which),
            0.25,
            3,
            recently,
            "sales per customer of " + name + " moved by {effect:+.0%} against all other stores",
        )
    yield Statistic(
        "quality",
        "store_out_of_scale",
        "single stores",
        _wild(seen),
        0.5,
        1,
        recently,
        "{effect:.0f} stores sell several times, or a fraction, of their usual, four days in a week",
    )


def _plan(seen: Panels) -> Iterator[Statistic]:
    """Of the plan that these days had."""
    sunday = seen.weekday == 6
    open_share = _share(seen.open, seen.present)
    yield Statistic(
        "plan",
        "sundays_open",
        "open",
        np.where(sunday, open_share, np.nan),
        0.03,
        1,
        "all earlier Sundays",
        "{effect:+.1%} of the stores are open on Sunday",
    )
    closed = np.where(sunday, 0.0, _share(~seen.open & ~seen.holiday, seen.present))
    shifted = np.fmax(closed, _share(seen.repeated, seen.sold))
    yield Statistic(
        "plan",
        "dates_shifted",
        "open",
        shifted,
        0.4,
        1,
        "all earlier days",
        "{effect:.0%} of the stores tell a day again, or are closed on a workday without a holiday",
    )
    weekend = np.where(seen.weekday >= WEEKEND, _share(seen.promo, seen.present), np.nan)
    yield Statistic(
        "plan",
        "promo_inverted",
        "promo on weekends",
        weekend,
        0.03,
        1,
        "all earlier weekends",
        "{effect:.1%} of the stores promote on a weekend",
    )


def of_forecasts(history: SalesHistory, seen: Panels, residual: np.ndarray, lead: np.ndarray) -> Iterator[Statistic]:
    """Prediction and concept drift by day, from the newest forecasts of each: panels of `residuals`."""
    residual = np.where(count_between(seen.present, -SETTLED_DAYS, -1) >= SETTLED_DAYS - 1, residual, np.nan)
    forecast = seen.log_sales - residual
    before = np.full_like(forecast, np.nan)
    before[:, 364:] = seen.log_sales[:, :-364]
    everywhere = np.ones(len(residual), bool)
    yield Statistic(
        "prediction",
        "stale_forecasts",
        "lead days",
        _median(lead, everywhere),
        10.5,
        4,
        "earlier forecasts",
        "the newest forecasts are {effect:.0f} days older than usual",
    )
    yield Statistic(
        "prediction",
        "forecast_level",
        "all stores",
        _settled(_median(forecast - before, everywhere)),
        0.15,
        4,
        "same season a year before",
        "forecasts moved by {effect:+.1%} on the year",
    )
    yield Statistic(
        "concept",
        "residual_level",
        "all stores",
        _median(residual, everywhere),
        0.1,
        4,
        "earlier forecasts",
        "sales are {effect:+.1%} against what is forecast",
    )
    yield Statistic(
        "concept",
        "promo_uplift_gone",
        "days with promotion",
        _on_promo(residual, seen),
        0.08,
        2,
        "earlier forecasts",
        "days with promotion sell {effect:+.1%} against their forecast, compared with days without",
    )
    yield Statistic(
        "concept",
        "concept_shift",
        "groups of stores",
        apart_by_store(residual),
        0.045,
        1,
        "earlier forecasts",
        "{effect:+.1%} of the stores left their forecasts",
    )


def apart_by_store(residual: np.ndarray) -> np.ndarray:
    """Share of the stores whose week, against all stores', is beyond APART of its own standard deviations; by day."""
    off = week_off(residual)
    known = np.isfinite(off).sum(axis=0)
    low, high = (off < -APART).sum(axis=0), (off > APART).sum(axis=0)
    return np.where(known >= SELLING, np.maximum(low, high) / np.maximum(known, 1), np.nan)


def week_off(residual: np.ndarray) -> np.ndarray:
    """Mean residual of the last 7 days, less all stores' median, in standard deviations of the store's earlier ones."""
    known = np.isfinite(residual).sum(axis=0) >= SELLING
    usual = np.full(residual.shape[1], np.nan)
    usual[known] = np.nanmedian(residual[:, known], axis=0)
    apart = residual - usual
    week = np.where(
        count_between(np.isfinite(apart), 1 - WINDOW_DAYS, 0) >= 3, earlier_mean(apart, 0, WINDOW_DAYS - 1), np.nan
    )
    past = np.where(np.isfinite(week), week, 0.0)[:, :-WINDOW_DAYS]
    count = np.isfinite(week[:, :-WINDOW_DAYS]).sum(axis=1)
    own = np.square(past).sum(axis=1)
    typical = own.sum() / max(count.sum(), 1)
    sd = np.sqrt((own + PRIOR_DAYS * typical) / (count + PRIOR_DAYS))
    return week / np.where(sd > 0, sd, np.nan)[:, None]


def _on_promo(residual: np.ndarray, seen: Panels) -> np.ndarray:
    """Median residual where there is a promotion, less that of the days without one around them; by day."""
    promoted = _median_of(residual, seen.promo)
    without = earlier_mean(_median_of(residual, ~seen.promo)[None], 0, 2 * WINDOW_DAYS)[0]
    return promoted - np.where(np.isfinite(without), without, 0.0)


def _median_of(values: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Of the store-days `which`, by day; NaN where few stores have one."""
    own = np.where(which, values, np.nan)
    enough = np.isfinite(own).sum(axis=0) >= max(SELLING, len(own) // 4)
    result = np.full(values.shape[1], np.nan)
    result[enough] = np.nanmedian(own[:, enough], axis=0)
    return result


def _median(values: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Of the stores `which`, by day; NaN where few of them have a value, or few of those that could."""
    return _median_of(values[which], np.ones((int(which.sum()), 1), bool))


def _settled(daily: np.ndarray) -> np.ndarray:
    """Against the mean of its own eight weeks before, so that a growth that stays is no news for ever."""
    return daily - earlier_mean(daily[None], *RECENT)[0]


def _share(flags: np.ndarray, among: np.ndarray, which: np.ndarray | slice = slice(None)) -> np.ndarray:
    """Of the store-days `among`, by day; NaN where there are few."""
    count = among[which].sum(axis=0)
    return np.where(count >= SELLING, (flags & among)[which].sum(axis=0) / np.maximum(count, 1), np.nan)


def _apart(values: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Median of the stores `which` against that of all others."""
    return _median(values, which) - _median(values, ~which)


def _missing(seen: Panels, which: np.ndarray | slice) -> np.ndarray:
    """Share of the stores `which` that reported on most of the days before, and do not now."""
    first, last = MISSING_BASE
    base = count_between(seen.present, -last, -first) > (last - first + 1) // 2
    return _share(~seen.present, base, which)


def _wild(seen: Panels) -> np.ndarray:
    """Stores out of their own scale on at least 4 of the last 7 days, by day."""
    off = (np.abs(seen.on_recent) > WILD) | (np.abs(seen.price) > WILD_PRICE)
    return (count_between(off, 1 - WINDOW_DAYS, 0) >= 4).sum(axis=0).astype(float)


def _on_year_share(flags: np.ndarray, seen: Panels) -> np.ndarray:
    """Share of the stores now, less that of the same stores 364 days before; a week's mean, by day."""
    moved = np.full(len(seen.dates), np.nan)
    if len(moved) > 364:
        both = seen.present[:, 364:] & seen.present[:, :-364]
        moved[364:] = _share(flags[:, 364:], both) - _share(flags[:, :-364], both)
    return earlier_mean(moved[None], 0, WINDOW_DAYS - 1)[0]
