"""From a recipe to a forecaster: naive rules, a linear model, boosted trees, their blend, and intervals."""

from rossmann.models.candidate import Candidate, candidates
from rossmann.models.forecaster import Forecast, Forecaster, blend, fit, load, pool
from rossmann.models.intervals import Intervals, calibrate
from rossmann.models.lessons import Lesson, lesson, lesson_origins

__all__ = [
    "Candidate", "Forecast", "Forecaster", "Intervals", "Lesson", "blend", "calibrate", "candidates", "fit",
    "lesson", "lesson_origins", "load", "pool",
]  # fmt: skip
