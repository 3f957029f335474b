"""The charts of what changes of the plan are worth: bars of differences with their prediction intervals."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from rossmann.dashboard import charts, formats
from rossmann.data import SalesHistory
from rossmann.planning.scenarios import Comparison, Difference
from rossmann.schema import DAY


def day_chart(history: SalesHistory, comparison: Comparison) -> go.Figure:
    """The difference of each day; a day without one has no bar and no interval."""
    dates = np.unique(comparison.plan.date)
    differences = [comparison.total(comparison.plan.date == day) for day in dates]
    amounts = np.array([each.amount or np.nan for each in differences])
    chart = charts.figure(f"difference per day, {formats.unit(history)}", height=300)
    chart.add_bar(
        x=dates, y=amounts, marker={"color": _colours(amounts)}, error_y=_intervals(differences, amounts),
        name="difference", hovertemplate="%{y:+,.0f}",
    )  # fmt: skip
    chart.update_xaxes(range=[str(dates[0] - DAY), str(dates[-1] + DAY)])
    return chart


def scenario_chart(history: SalesHistory, differences: Mapping[str, Difference]) -> go.Figure:
    """The difference of each scenario, by name."""
    amounts = np.array([each.amount for each in differences.values()])
    chart = charts.figure("", height=90 + 40 * len(differences))
    chart.add_bar(
        y=[charts.plain(name) for name in differences], x=amounts, orientation="h", marker={"color": _colours(amounts)},
        error_x=_intervals(tuple(differences.values()), amounts), name="difference", hovertemplate="%{x:+,.0f}",
    )  # fmt: skip
    chart.update_layout(hovermode="closest", yaxis={"autorange": "reversed", "type": "category"})
    chart.update_xaxes(title=f"difference from the published plan, {formats.unit(history)}", tickformat="~s")
    return chart


def _colours(amounts: np.ndarray) -> np.ndarray:
    return np.where(amounts >= 0, charts.BETTER, charts.WORSE)


def _intervals(differences: Sequence[Difference], amounts: np.ndarray) -> dict[str, object]:
    """Plotly's error bars around these amounts: how far the bounds of the differences are from them."""
    upper, lower = (np.array([getattr(each, name) for each in differences]) for name in ("upper", "lower"))
    return {"symmetric": False, "array": upper - amounts, "arrayminus": amounts - lower, "color": charts.ACTUAL}
