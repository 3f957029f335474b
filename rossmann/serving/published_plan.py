"""The published plan of a State, as rows."""

import numpy as np

from rossmann.data import Plan
from rossmann.features import State
from rossmann.schema import CALENDAR_COLUMNS


def published_plan(state: State) -> Plan:
    """A row for each store and day of the horizon, by store, then date, from the snapshot's calendar."""
    days = slice(-state.horizon_days, None)
    columns = {name: getattr(state.calendar, name)[:, days].ravel() for name in CALENDAR_COLUMNS}
    dates = np.tile(state.calendar.dates[days], len(state.store_numbers))
    return Plan(np.repeat(state.store_numbers, state.horizon_days), dates, **columns)
