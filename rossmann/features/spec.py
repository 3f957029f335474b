"""Which columns a model sees."""

from dataclasses import dataclass

from rossmann.features import level, ridge

# No month and no day of the year: each is seen once or twice, and trees would remember what happened then.
_TIME = ("lead_days", "weekday", "day", "days_left")
_PLAN = ("promo", "state_holiday", "school_holiday")
_NEIGHBOURS = (
    "promo_run", "promo_next", "promo_in_7", "promo_in_14", "promo_past_7", "promo_past_14",
    "holiday_since", "holiday_until", "closed_since", "closed_until", "open_yesterday", "open_tomorrow",
    "open_past_7", "open_in_7", "school_run", "school_left", "school_since", "school_until",
    "closing_in", "reopened_since", "closure_length",
)  # fmt: skip
_STORE = (
    "store_type", "assortment", "competition_log_distance", "competition_months",
    "promo2", "promo2_phase", "promo2_months",
)  # fmt: skip
_LEVEL = (
    "cell_expected", "cell_count", "cell_deviation", "cell_median", "departure_decayed", "departure_slope",
    "school_effect", "month_effect", "customers_recent", "basket_recent", "basket_level",
)  # fmt: skip
_RIDGE = ("ridge_over_expected", "ridge_spread")


@dataclass(frozen=True)
class FeatureSpec:
    """Switches and windows; the columns follow."""

    recent_days: tuple[int, ...] = level.RECENT_DAYS  # of these, which recency means
    neighbours: bool = True  # what lies around the day
    year_ago: bool = True  # the same season a year before
    ridge: bool = True  # the linear model's forecast and residuals

    def __post_init__(self):
        unknown = set(self.recent_days) - set(level.RECENT_DAYS)
        if unknown:
            raise ValueError(f"no recency mean over {sorted(unknown)} days; there are {level.RECENT_DAYS}")

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the matrix's columns, in order."""
        names = [*_TIME, *_PLAN, *_STORE, *_LEVEL, *(f"departure_{days}" for days in self.recent_days)]
        if self.neighbours:
            names += _NEIGHBOURS
        if self.year_ago:
            names += [f"year_ago_{around}" for around in level.YEAR_AGO_AROUND] + ["on_year_28", "on_year_91"]
        if self.ridge:
            names += [*_RIDGE, *(f"residual_{days}" for days in ridge.RECENT_DAYS)]
        return tuple(names)
