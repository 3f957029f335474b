"""The gain of the boosters' features, summed by what they describe."""

import json
from collections.abc import Callable, Mapping

from rossmann.features import ATTRIBUTE
from rossmann.features.shrinkage import COVARIATE_KINDS

KINDS = (*COVARIATE_KINDS, "static")  # the first word of the names of a chain's own covariates


def sum_by_part(importance: Mapping[str, float], part_of: Callable[[str], str]) -> dict[str, float]:
    """The shares of the gain by what a feature describes, largest first; without those that have no gain."""
    shares: dict[str, float] = {}
    for name, share in importance.items():
        if share > 0:
            shares[part_of(name)] = shares.get(part_of(name), 0.0) + share
    return dict(sorted(shares.items(), key=lambda pair: -pair[1]))


def top_features(importance: Mapping[str, float], count: int = 15) -> dict[str, float]:
    """The features with the largest shares, by names for readers."""
    top = sorted(importance.items(), key=lambda pair: -pair[1])[:count]
    return {_readable(name): share for name, share in top if share > 0}


def _readable(feature: str) -> str:
    """The name without its kind; an attribute's column has its name and its categories as JSON."""
    if feature.startswith(ATTRIBUTE):
        return str(json.loads(feature.removeprefix(ATTRIBUTE))[0])
    kind, _, name = feature.partition(" ")
    return (name if kind in KINDS else feature).replace("_", " ")
