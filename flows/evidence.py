"""What is known of a champion: what its backtest promised, and what became of the forecasts that were given."""

from datetime import timedelta

import pandas as pd

from flows import world
from rossmann import journal, monitoring, training
from rossmann.data import SalesHistory
from rossmann.registry import Registered
from rossmann.settings import Settings

LOOK_BACK = timedelta(days=56)  # of forecasts that drift is read from


def backtest_of(settings: Settings, version: Registered) -> pd.DataFrame:
    """The rows of the race that a version won, its own only."""
    return training.load_race(world.backtests(settings), version.race).backtest.of(version.card.candidate)


def judged(settings: Settings, history: SalesHistory) -> pd.DataFrame:
    """The forecasts of the last weeks with their outcomes."""
    last = history.origin.item()
    return monitoring.judge(journal.given(settings.journal, last - LOOK_BACK, last), history)
