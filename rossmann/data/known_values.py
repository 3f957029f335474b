"""A plan's own values of the entries of [known] in chain.toml, as columns of the calendar and as covariates."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from rossmann.chain import Chain, Column
from rossmann.data.history import Calendar

# The values of a plan's rows by names of [known]: float64, NaN as published; of categories text, None as published.
KnownValues = Mapping[str, np.ndarray]


def lay_over(chain: Chain, calendar: Calendar, store: np.ndarray, day: np.ndarray, values: KnownValues) -> np.ndarray:
    """The covariates of rows with their own values over those of the calendar. float32 [rows, covariates]

    A value of a category that the history does not have makes all flags of that category 0.

    store, day: positions of the rows in the calendar. [rows] each
    """
    covariates = published_covariates(calendar, store, day)
    names = calendar.covariate_names.tolist()
    for name, column in chain.covariate_columns:
        for position, own in _own_values(name, column, names, values):
            covariates[:, position] = np.where(np.isnan(own), covariates[:, position], own)
    return covariates


def published_covariates(calendar: Calendar, store: np.ndarray, day: np.ndarray) -> np.ndarray:
    """The covariates of rows at these positions in the calendar, a copy. float32 [rows, covariates]"""
    return calendar.covariates[:, store, day].T


def calendar_values(chain: Chain, values: KnownValues) -> dict[str, np.ndarray]:
    """What the values say about columns of the calendar. float64, NaN as published. By role [rows]"""
    known = dict(chain.known)
    return {
        role: np.where(np.isnan(values[name]), np.nan, values[name] > 0)
        for role, name in chain.names.items()
        if name in known and name in values and known[name].kind != "category" and not known[name].file
    }


def _own_values(
    name: str, column: Column, names: Sequence[str], values: KnownValues
) -> Iterator[tuple[int, np.ndarray]]:
    """The position of each covariate that an entry of [known] has become, and the rows' own values. float64 [rows]"""
    if name not in values:
        return
    if column.kind != "category":
        own = {f"{column.kind} {name}": values[name]}
    else:
        prefix, text = f"flag {name}=", values[name]
        is_published = np.array([not isinstance(each, str) for each in text.tolist()])
        own = {
            each: np.where(is_published, np.nan, text == each.removeprefix(prefix))
            for each in names
            if each.startswith(prefix)
        }
    yield from ((position, own[each]) for position, each in enumerate(names) if each in own)
