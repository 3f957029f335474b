"""The reasons of a forecast in the words of a shop, and why it moved.

terms      which term each column of the models belongs to
effects    the terms' effects on the logarithm of a forecast
reasons    the same as amounts, which add up to the forecast
movement   the difference of two forecasts of the same day: new actuals, a changed plan, a changed model
evenings   what was known on an evening, from the snapshots
comparison which two forecasts of a day are compared, for the command, the endpoint and the dashboard
"""

from rossmann.explain.comparison import (
    EarlierForecast,
    Reading,
    Source,
    earlier_basis,
    earlier_source,
    notes,
)
from rossmann.explain.evenings import Evening, evening_before, find_evening
from rossmann.explain.movement import Movement, why_it_moved
from rossmann.explain.reasons import Basis, Reasons, Term, reasons, reasons_of_day
from rossmann.explain.terms import feature_part

__all__ = [
    "Basis",
    "EarlierForecast",
    "Evening",
    "Movement",
    "Reading",
    "Reasons",
    "Source",
    "Term",
    "earlier_basis",
    "earlier_source",
    "evening_before",
    "feature_part",
    "find_evening",
    "notes",
    "reasons",
    "reasons_of_day",
    "why_it_moved",
]
