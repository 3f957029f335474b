"""The terms of a forecast, named in business language, and which term each column of the models belongs to.

A term has parts where several columns say different things about it. The tables go by the first word of a column's
name, its kind, unless a whole name is listed; a test fails for a column that is in none of them.
"""

from rossmann import chain
from rossmann.features.ridge_design import kind
from rossmann.features.shrinkage import COVARIATE_KINDS

USUAL = "usual level of the weekday"
PROMOTION, AFTER_PROMOTION = "promotion", "days after a promotion"
PAY_DAY, DAY_OF_MONTH = "pay day", "day of month"
HOLIDAY, SCHOOL = "holiday nearby", "school holidays"
REFURBISHMENT, CONTINUING_PROMOTION = "refurbishment", "continuing promotion"
SEASON, RECENT, TREES, LOSS_SHIFT = "season", "recent level", "tree correction", "shift for the loss function"

# Parts of terms. Those of the tree correction are also named like terms.
CHRISTMAS, OTHER_HOLIDAYS = "Christmas and New Year", "days around holidays"
WEEKDAY, STORE, LINEAR_MODEL = "weekday", "the store", "forecast of the linear model"
LAST_YEAR, LEAD = "same season last year", "days ahead"
NOT_ATTRIBUTED, LIMIT = "not attributed", "limit for the whole chain"

FIRST_TERMS = (USUAL, PROMOTION, AFTER_PROMOTION, PAY_DAY, DAY_OF_MONTH, HOLIDAY, SCHOOL, REFURBISHMENT,
               CONTINUING_PROMOTION)  # fmt: skip
LAST_TERMS = (SEASON, RECENT, TREES, LOSS_SHIFT)  # between them: the covariates of chain.toml

# covariates that chain.toml declares as the promotion or the school holidays
_BY_ROLE = {chain.PROMOTION: PROMOTION, chain.SCHOOL_BREAK: SCHOOL}
_BY_DESIGN_NAME = {
    "season promotion sin": PROMOTION,
    "season promotion cos": PROMOTION,
    "trend promotion": PROMOTION,
    "monday after promotion": AFTER_PROMOTION,
    "saturday after promotion": AFTER_PROMOTION,
    "monday turn of month": DAY_OF_MONTH,
    "last day": DAY_OF_MONTH,
    "days before last": DAY_OF_MONTH,
    "promo2 month 0": CONTINUING_PROMOTION,
    "promo2 month 1": CONTINUING_PROMOTION,
    "before easter": HOLIDAY,
    **dict.fromkeys(("closed yesterday", "closed tomorrow"), HOLIDAY),
}
_BY_DESIGN_KIND = {
    # A competitor and membership in Promo2 begin once at most in a history, so they belong to the base level.
    **dict.fromkeys(("weekday", "trend", "competitor", "promo2"), USUAL),
    "promotion": PROMOTION,
    "pay_day": PAY_DAY,
    "day": DAY_OF_MONTH,
    **dict.fromkeys(
        ("holiday", "named_holiday", "before", "two", "after", "special_day", "advent", "december"), HOLIDAY
    ),
    **dict.fromkeys(("school", "break"), SCHOOL),
    "closure": REFURBISHMENT,
    **dict.fromkeys(("season", "fine_season"), SEASON),
}
CHRISTMAS_KINDS = ("advent", "december")
CHRISTMAS_NAMES = tuple(f"special_day {day}" for day in ("12-5", "12-24", "12-27", "12-31", "1-2"))
# The effect of these terms is relative to the mean of the same weekday; of all others, to a day without the event.
CENTRED_TERMS = (PAY_DAY, DAY_OF_MONTH, SEASON)

_BY_FEATURE = {
    "weekday": WEEKDAY,
    **dict.fromkeys(("day_of_month", "days_left_in_month", "month_effect"), DAY_OF_MONTH),
    "lead_days": LEAD,
    **dict.fromkeys(("promotion", "promotion_run", "promotion_until"), PROMOTION),
    **{f"promotion_{side}_{days}": PROMOTION for side in ("next", "past") for days in (7, 14)},
    **dict.fromkeys(("holiday_kind", "holiday_since", "holiday_until", "closed_since", "closed_until"), HOLIDAY),
    **dict.fromkeys(("open_yesterday", "open_tomorrow", "open_past_7", "open_next_7"), HOLIDAY),
    **dict.fromkeys(("school_break", "school_run", "school_left", "school_since", "school_until"), SCHOOL),
    "school_effect": SCHOOL,
    **dict.fromkeys(("closure_until", "reopening_since", "closure_days"), REFURBISHMENT),
    "promo2_phase": CONTINUING_PROMOTION,
    **dict.fromkeys((*chain.KAGGLE_CHAIN.attribute_columns, "competition_log_distance", "competition_months"), STORE),
    **dict.fromkeys(("attribute", "promo2", "promo2_months", "static"), STORE),
    **dict.fromkeys(("cell_expected", "cell_count", "cell_sd", "cell_median_deviation", "sales_per_customer"), STORE),
    **dict.fromkeys(("deviation_decayed", "deviation_slope", "traffic_change"), RECENT),
    "sales_per_customer_change": RECENT,
    **dict.fromkeys(("ridge_over_expected", "ridge_sd"), LINEAR_MODEL),
}
_BY_FEATURE_PREFIX = {
    "deviation_": RECENT,
    "ridge_residual_": RECENT,
    "year_ago_": LAST_YEAR,
    "year_over_year_": LAST_YEAR,
}


def design_term(name: str) -> str:
    """The term of a column of the linear model. KeyError for a column that is in no table."""
    # a flag has a column by weekday
    covariate_term = covariate(name.removesuffix(f" {name[-1]}") if name[-1].isdigit() else name)
    return _BY_DESIGN_NAME.get(name) or covariate_term or _BY_DESIGN_KIND[kind(name)]


def design_part(name: str) -> str:
    """The part of its term to which a column of the linear model belongs; empty for terms without parts."""
    if kind(name) in CHRISTMAS_KINDS or name in CHRISTMAS_NAMES:
        return CHRISTMAS
    return OTHER_HOLIDAYS if design_term(name) == HOLIDAY else ""


def is_centred(name: str) -> bool:
    """Whether a column of the linear model counts by its difference from usual days: see CENTRED_TERMS.

    So do numbers and categories of a chain, which always have some value.
    """
    return design_term(name) in CENTRED_TERMS or is_centred_covariate(name)


def is_centred_covariate(name: str) -> bool:
    """Whether a column is a number of chain.toml, but for the size of a promotion, or the flag of a category."""
    if covariate(name) in _BY_ROLE.values():
        return False
    return kind(name) == "number" or (kind(name) == "flag" and "=" in name)


def feature_part(name: str) -> str:
    """The part of the tree correction to which a feature belongs. KeyError for a feature that is in no table."""
    if name in _BY_FEATURE:
        return _BY_FEATURE[name]
    for prefix, part in _BY_FEATURE_PREFIX.items():
        if name.startswith(prefix):
            return part
    if other_part := covariate(name) or _BY_FEATURE.get(kind(name)):
        return other_part
    raise KeyError(f"the feature {name} has no part: add it to the table of features in rossmann/explain/terms.py")


def covariate(name: str) -> str | None:
    """The term of a covariate of chain.toml: its name there; None if it is no covariate's name."""
    first, _, rest = name.partition(" ")
    if first not in COVARIATE_KINDS:
        return None
    entry = rest.partition("=")[0]
    return _BY_ROLE.get(entry, entry)
