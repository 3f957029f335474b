"""The reasons of a forecast in the words of a shop, and why it moved.

terms      which term each column of the models belongs to
effects    the terms' effects on the logarithm of a forecast
reasons    the same as amounts, which add up to the forecast
movement   the difference of two forecasts of the same day: new actuals, a changed plan, a changed model
"""

from rossmann.explain.movement import Basis, Movement, why_it_moved
from rossmann.explain.reasons import Reasons, Term, reasons

__all__ = ["Basis", "Movement", "Reasons", "Term", "reasons", "why_it_moved"]
