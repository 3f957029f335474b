"""Rules that several contracts share. The caller gives the names of the columns, so that messages use its names."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from rossmann.validation.contract import Rule


def store_exists(store: str, numbers: np.ndarray, problem: str, remedy: str) -> Rule:
    """The number in the column `store` is one of `numbers`."""
    return Rule(
        "store_exists", problem, remedy, (store,), lambda table: table[store].isin(numbers) | table[store].isna()
    )


def flags_are_0_or_1(names: Sequence[str]) -> list[Rule]:
    """One rule for each of these columns: its values are 0 or 1."""
    return [
        Rule(
            f"{name}_is_0_or_1",
            f"{name} is neither 0 nor 1",
            "Write 0 or 1.",
            (name,),
            partial(_is_flag, name=name),
        )
        for name in names
    ]


def _is_flag(table: pd.DataFrame, name: str) -> pd.Series:
    return table[name].isna() | (table[name] == 0) | (table[name] == 1)


def one_row_per_store_and_day(store: str, date: str, *others: str) -> Rule:
    """No two rows have the same store and date, and the same values in the `others`."""
    keys = [store, date, *others]
    return Rule(
        "one_row_per_store_and_day",
        "more than one row for the same store and day",
        "Keep one of them.",
        (store, date),
        lambda table: ~table[keys].duplicated(keep=False) | table[store].isna() | table[date].isna(),
    )


def one_row_per(key: str, what: str) -> Rule:
    """No two rows have the same value in the column `key`, which is a store or a day: `what` says which."""
    return Rule(
        f"one_row_per_{what}",
        f"more than one row for the {what}",
        "Keep one of them.",
        (key,),
        lambda table: ~table[key].duplicated(keep=False) | table[key].isna(),
    )


def day_of_week_agrees(day_of_week: str, date: str) -> Rule:
    """The weekday that a file gives is that of the date. Files count from 1 Monday to 7 Sunday."""
    return Rule(
        "day_of_week_agrees",
        f"{day_of_week} is not the weekday of the date (1 Monday … 7 Sunday)",
        f"Correct {day_of_week} or {date}.",
        (day_of_week,),
        lambda table: (
            (table[day_of_week] == table[date].dt.dayofweek + 1) | table[date].isna() | table[day_of_week].isna()
        ),
    )
