"""Whether a retraining pays: first a fresh State is tried, since it costs seconds; a new model must promise to gain."""

from dataclasses import dataclass

import numpy as np

from rossmann import evaluation, features
from rossmann.data import SalesHistory
from rossmann.models import Forecaster
from rossmann.monitoring.drift import Examination
from rossmann.monitoring.performance import WEEK_DAYS, Promise, scores, sums


@dataclass(frozen=True)
class Decision:
    """Whether to train, and why (not)."""

    train: bool
    reason: str


def worth(
    forecaster: Forecaster, history: SalesHistory, promised: Promise, examination: Examination, gain: float
) -> Decision:
    """Judge the champion with a fresh State on the last week; `gain`: share of its error that must be in reach."""
    broken = [each for each in examination.alarms if each.broken]
    if broken:
        return Decision(False, f"the data are broken, mend them first: {broken[0].name}, {broken[0].story}")
    origin = history.origin - np.timedelta64(WEEK_DAYS, "D")
    window = evaluation.fold(history, origin, WEEK_DAYS)
    made = forecaster.predict(features.summarise(window.past), window.plan)
    rows = evaluation.tabulate("champion", window, made.sales).assign(source="fresh", model_version=0)
    fresh = float(scores(sums(rows), "slice").wape["all"])
    soon = promised.sums[(promised.sums.slice == "lead_week") & (promised.sums.value == "1")]
    usual = float(soon.absolute.sum() / soon.sales.sum())
    reach = 1 - usual / fresh
    told = f"with a fresh State the champion has WAPE {fresh:.3f} on the last week, {usual:.3f} was promised"
    if reach < gain:
        return Decision(False, f"{told}: a retraining promises {max(reach, 0):.0%} less error, {gain:.0%} is its price")
    return Decision(True, f"{told}: a retraining promises {reach:.0%} less error")
