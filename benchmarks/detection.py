"""False alarms of every week, and how soon injected faults are found and how they are named.

Usage: python -m benchmarks.detection FOLDER [STORES]   raw files or a world with a snapshot; the first STORES stores
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from rossmann import data, evaluation, features, models
from rossmann.data import SalesHistory
from rossmann.monitoring import FAULTS, Examination, examine, inject
from rossmann.monitoring.panels import panels

DAY, WEEK = np.timedelta64(1, "D"), np.timedelta64(7, "D")
WARM_WEEKS = 17  # of forecasts before the first week that is examined
FIRST = np.datetime64("2014-07-06", "D")
STARTS = ("2014-09-08", "2014-12-08", "2015-02-12", "2015-04-20")  # of faults; one before Christmas
STALE = ("stale_model", (21.0, 35.0), ("stale_forecasts",), "days the forecasts are late")
GAP = ("2014-07-01", "2014-07-20")  # 180 stores leave the books for refurbishment
CANDIDATE = "ridge"


def main() -> None:
    """Prints both tables."""
    history = read(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
    console = Console(width=None if sys.stdout.isatty() else 130)
    judged = forecasts(history)
    console.print(false_alarms(history, judged))
    console.print(detections(history, judged))


def read(folder: Path, stores: int | None) -> SalesHistory:
    """The history of a world's current snapshot, or of raw files."""
    raw = (folder / "train.csv").exists()
    history = data.read_history(str(folder)).history if raw else data.load_snapshot(f"{folder}/snapshots")
    return first_stores(history, stores) if stores else history


def first_stores(history: SalesHistory, count: int) -> SalesHistory:
    """The history of the first stores only."""
    calendar = {n: v if n == "dates" else v[:count] for n, v in vars(history.calendar).items()}
    attributes = {name: values[:count] for name, values in vars(history.stores).items()}
    return SalesHistory(type(history.stores)(**attributes), type(history.calendar)(**calendar),
                        history.sales[:count], history.customers[:count])  # fmt: skip


def forecasts(history: SalesHistory) -> pd.DataFrame:
    """A week's forecasts, made on the evening before it, for every week from WARM_WEEKS before FIRST; judged rows."""
    weeks = int((history.origin - FIRST + WARM_WEEKS * WEEK) // WEEK)
    origins = [history.origin - k * WEEK for k in range(weeks, 0, -1)]
    return pd.concat([week(history, origin, origin) for origin in track(origins, "forecasts")], ignore_index=True)


def week(history: SalesHistory, origin: np.datetime64, made: np.datetime64) -> pd.DataFrame:
    """The week after `origin` as forecast on the evening of `made`."""
    (recipe,) = (c for c in models.candidates((CANDIDATE,)) if c.name == CANDIDATE)
    days = int((origin - made) / DAY) + 7
    window = evaluation.fold(history, made, days)
    sales = models.fit(recipe, (), made, 0).predict(features.summarise(window.past), window.plan).sales
    rows = evaluation.tabulate(recipe.name, window, sales).assign(source="batch", model_version=1)
    return rows[rows.date > pd.Timestamp(origin.item())]


def false_alarms(history: SalesHistory, judged: pd.DataFrame) -> Table:
    """Every week from FIRST: what alarms."""
    table = Table(title="Alarms of every week, nothing injected", title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("week until", "alarm", "of", "effect", "limit", "is"):
        table.add_column(column, justify="right" if column in ("effect", "limit") else "left")
    weeks, false, running = np.arange(FIRST, history.origin + DAY, WEEK), 0, set()
    for last in track(weeks, "weeks"):
        found = seen(history, judged, last)
        for each in found.alarms:
            true = each.name == "stores_missing" and GAP[0] <= str(last) <= GAP[1]
            again = each.name in running
            false += not true and not again
            word = "true: 180 stores left" if true else "the same as the week before" if again else "false"
            table.add_row(str(last), each.name, each.of, f"{each.effect:+.3f}", f"{each.limit:.3f}", word)
        running = {each.name for each in found.alarms}
    table.caption = f"{len(weeks)} weeks, {false} false alarms: {false * 52 / len(weeks):.1f} a year"
    return table


def seen(history: SalesHistory, judged: pd.DataFrame, last: np.datetime64) -> Examination:
    """What is found on the evening of `last`."""
    return examine(history.until(last), judged[judged.date <= pd.Timestamp(last.item())])


def detections(history: SalesHistory, judged: pd.DataFrame) -> Table:
    """Every fault, size and start: days until it is named rightly, and what else is said until then."""
    table = Table(title="Faults put into real weeks", title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("fault", "size", "what", *STARTS, "named otherwise before"):
        table.add_column(column, justify="right" if column in ("size", *STARTS) else "left")
    listed = [(name, fault.sizes, fault.diagnosis, fault.means) for name, fault in FAULTS.items()] + [STALE]
    cases = [(name, size, names, means) for name, sizes, names, means in listed for size in sizes]
    rightly = 0
    for name, size, names, means in track(cases, "faults"):
        cells, others = [], set()
        for start in STARTS:
            first = on_promo(history, np.datetime64(start, "D")) if name == "promo_uplift_gone" else start
            days, other = found(history, judged, name, size, np.datetime64(first, "D"), names)
            rightly += days is not None
            cells.append("never" if days is None else str(days))
            others |= other
        table.add_row(name, f"{size:.3g}", means, *cells, ", ".join(sorted(others)))
    table.caption = f"days from the first faulty evening on; {rightly} of {len(cases) * len(STARTS)} named within 7"
    return table


def on_promo(history: SalesHistory, start: np.datetime64) -> np.datetime64:
    """The first promotion from `start` on: before it, a promotion that no longer works is nowhere to be seen."""
    promoted = panels(history).promo.mean(axis=0) > 0.5
    return history.dates[(history.dates >= start) & promoted][0]


def found(
    history: SalesHistory, judged: pd.DataFrame, name: str, size: float, start: np.datetime64, names: tuple[str, ...]
) -> tuple[int | None, set[str]]:
    """(days until it is named, None: not within 7; other alarms before that)."""
    changed = history if name == STALE[0] else inject(history.until(start + 20 * DAY), name, start, size)
    rows = late(history, judged, start, size) if name == STALE[0] else with_outcomes(judged, changed)
    others: set[str] = set()
    for day in range(7):
        alarms = {each.name for each in seen(changed, rows, start + day * DAY).alarms}
        if alarms & set(names):
            return day + 1, others
        others |= alarms
    return None, others


def with_outcomes(judged: pd.DataFrame, history: SalesHistory) -> pd.DataFrame:
    """The same forecasts beside what another history says happened."""
    rows = judged[judged.date <= pd.Timestamp(history.origin.item())]
    day = (rows.date.to_numpy().astype("datetime64[D]") - history.dates[0]).astype(int)
    return rows.assign(sales=history.sales[np.searchsorted(history.stores.number, rows.store), day]).dropna(
        subset="sales"
    )


def late(history: SalesHistory, judged: pd.DataFrame, start: np.datetime64, size: float) -> pd.DataFrame:
    """From `start` on the forecasts of an origin that lies `size` days before it."""
    before = judged[judged.date < pd.Timestamp(start.item())]
    return pd.concat([before, week(history, start - DAY, start - DAY - int(size) * DAY)], ignore_index=True)


if __name__ == "__main__":
    main()
