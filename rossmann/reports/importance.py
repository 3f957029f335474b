"""The gain of the boosters' features, summed by what they describe."""

from collections.abc import Mapping

from rossmann.chain import KAGGLE_CHAIN

# What features describe, and how their names begin; the first line that fits counts.
GROUPS = {
    "forecast and errors of the linear model": ("ridge_",),
    "usual sales of the weekday": ("cell_",),
    "recent level and trend": ("deviation_", "traffic_", "sales_per_"),
    "same season a year before": ("year_",),
    "promotions": ("promotion", "promo2"),
    "holidays": ("holiday",),
    "school holidays": ("school",),
    "closed days around": ("closed_", "closure_", "open_", "reopening_"),
    "weekday and day of the month": ("weekday", "day", "month_"),
    "the store": ("attribute ", *KAGGLE_CHAIN.attribute_columns, "competition_", "static "),
    "days after the origin": ("lead_",),
}
OTHERS = "the chain's own covariates"
KINDS = ("flag ", "number ", "static ")  # with which the names of a chain's own covariates begin


def grouped(importance: Mapping[str, float]) -> dict[str, float]:
    """The shares of the gain by group, largest first; groups without any gain are left out."""
    shares: dict[str, float] = {}
    for name, share in importance.items():
        shares[_group(name)] = shares.get(_group(name), 0.0) + share
    return dict(sorted(((name, share) for name, share in shares.items() if share > 0), key=lambda pair: -pair[1]))


def largest(importance: Mapping[str, float], count: int = 15) -> dict[str, float]:
    """The features with the largest shares, by names for readers."""
    top = sorted(importance.items(), key=lambda pair: -pair[1])[:count]
    return {_readable(name): share for name, share in top if share > 0}


def _group(feature: str) -> str:
    return next((group for group, starts in GROUPS.items() if feature.startswith(starts)), OTHERS)


def _readable(feature: str) -> str:
    """The name without its kind; that of a category without its values, which follow it as JSON."""
    name, _, values = feature.partition(" [")
    if values:
        return values.split(",")[0].strip('"]')
    return next((name.removeprefix(kind) for kind in KINDS if name.startswith(kind)), name).replace("_", " ")
