"""The best promotion weeks of the What-if page, found by forecasting every choice."""

from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd
import streamlit as st

from rossmann.dashboard import formats, loading, series
from rossmann.dashboard.loading import Current
from rossmann.dashboard.scenario_list import CHANGES_KEY
from rossmann.dashboard.selection import Selection
from rossmann.dashboard.tables import amount_column
from rossmann.data import SalesHistory
from rossmann.planning import scenarios
from rossmann.planning.scenarios import Change, WeekChoice
from rossmann.schema import DAY, WEEK_DAYS

BEST_KEY = "best"  # of the session
MOST_CHOICES = 5  # that the page lists


def show_best_weeks(history: SalesHistory, selection: Selection, stores: tuple[str, ...], now: Current) -> None:
    """Try every choice of weeks for the chosen stores, and list the best ones. stores: labels; empty for all"""
    weeks = scenarios.whole_weeks(loading.state(now.snapshot))[: scenarios.BEST_OF_WEEKS]
    if len(weeks) <= scenarios.BEST_WEEKS or not scenarios.has_promotions(history):
        return
    st.subheader(f"Best {scenarios.BEST_WEEKS} promotion weeks of the next {len(weeks)}")
    st.caption(
        f"{formats.plain(selection.title)}: every choice is forecast, with promotions in these weeks and no other of "
        f"the {len(weeks)} weeks from {formats.day(weeks[0])}, and compared with the published plan, which has "
        f"{_promotion_weeks(history, selection, weeks)}. A choice with fewer promotion weeks than the plan "
        "usually sells less: compare the choices with each other."
    )
    if st.button("Try every choice", icon=":material/search:"):
        st.session_state[BEST_KEY] = (now, stores, _try_all(now, stores))
    if st.session_state.get(BEST_KEY, ())[:2] == (now, stores):
        _show_choices(history, st.session_state[BEST_KEY][2], weeks, stores)


def _promotion_weeks(history: SalesHistory, selection: Selection, weeks: Sequence[date]) -> str:
    """The weeks in which most of the chosen stores have a promotion already, as text."""
    days = np.array(weeks, "datetime64[D]")[:, None] + DAY * np.arange(WEEK_DAYS)
    has_promotion = series.promotion_days(history, selection.positions, days.ravel()).reshape(days.shape).any(axis=1)
    names = [formats.day(monday) for monday in np.array(weeks)[has_promotion]]
    return f"promotions in {len(names)} of them (weeks from {', '.join(names)})" if names else "no promotion in them"


def _try_all(now: Current, stores: tuple[str, ...]) -> list[WeekChoice]:
    bar = st.progress(0.0)
    forecaster, state = loading.forecaster(now.snapshot, now.champion.version), loading.state(now.snapshot)
    choices = scenarios.best_weeks(
        forecaster, state, stores, lambda done, total: bar.progress(done / total, f"{done} of {total} forecast")
    )
    bar.empty()
    return choices


def _show_choices(
    history: SalesHistory, choices: Sequence[WeekChoice], weeks: Sequence[date], stores: tuple[str, ...]
) -> None:
    rows = [
        {
            "weeks from": " and ".join(formats.day(monday) for monday in choice.weeks),
            f"difference, {formats.unit(history)}": round(choice.difference.amount),
            "from": round(choice.difference.lower),
            "to": round(choice.difference.upper),
        }
        for choice in choices[:MOST_CHOICES]
    ]
    amounts = dict.fromkeys(list(rows[0])[1:], amount_column())
    st.caption(f"The best {len(rows)} of {len(choices)} choices; the difference is from the published plan.")
    st.dataframe(pd.DataFrame(rows), hide_index=True, column_config=amounts)
    best = scenarios.weeks_as_changes(choices[0].weeks, weeks, stores)
    st.button("Add the best one to the changes", on_click=_add_best, args=(best,))


def _add_best(changes: tuple[Change, ...]) -> None:
    st.session_state[CHANGES_KEY] += changes
