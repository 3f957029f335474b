"""From the past and a plan to numbers a model can learn from, in two steps that cannot leak.

`summarise` sees only the past, `build` only its State and the plan: training, backtests, batch and HTTP share
the two calls.
"""

from rossmann.features.matrix import Rows, build, lay
from rossmann.features.spec import FeatureSpec
from rossmann.features.state import HORIZON_DAYS, State, summarise

__all__ = ["HORIZON_DAYS", "FeatureSpec", "Rows", "State", "build", "lay", "summarise"]
