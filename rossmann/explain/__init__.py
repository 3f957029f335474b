"""The reasons of a forecast in business terms, and why it moved.

terms      which term each column of the models belongs to
effects    the terms' effects on the logarithm of a forecast
reasons    the same as amounts, which add up to the forecast
movement   the difference of two forecasts of the same day: new actuals, a changed plan, a changed model
data_as_of the data as they were known at an origin, from the snapshots
comparison which two forecasts of a day are compared, for the command, the endpoint and the dashboard
"""

from rossmann.explain.comparison import (
    EarlierForecast,
    InputLoaders,
    InputVersions,
    load_earlier_inputs,
    notes,
)
from rossmann.explain.data_as_of import DataAsOf, find_data_as_of, latest_data_before
from rossmann.explain.movement import Movement, why_it_moved
from rossmann.explain.reasons import (
    ForecastInputs,
    Reasons,
    Term,
    reasons,
    reasons_of_day,
    reasons_of_stores,
    sum_terms,
)
from rossmann.explain.terms import feature_part

__all__ = [
    "DataAsOf",
    "EarlierForecast",
    "ForecastInputs",
    "InputLoaders",
    "InputVersions",
    "Movement",
    "Reasons",
    "Term",
    "feature_part",
    "find_data_as_of",
    "latest_data_before",
    "load_earlier_inputs",
    "notes",
    "reasons",
    "reasons_of_day",
    "reasons_of_stores",
    "sum_terms",
    "why_it_moved",
]
