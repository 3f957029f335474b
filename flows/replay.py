"""The time machine: reveal a history week by week to the real flows, under each policy, and compare what it came to.

By hand. Each policy lives in a world of its own below replays/ of the data folder, which is made anew.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import pandas as pd

from flows.forecast import forecast
from flows.ingest import ingest
from flows.monitor import monitor
from flows.retrain import Retrained, retrain
from rossmann import figures, journal, monitoring, training
from rossmann.monitoring import performance
from rossmann.settings import Settings
from rossmann.storage import Storage
from rossmann.validation import DataError

POLICIES = ("never", "monthly", "drift")
MONTH = timedelta(days=28)
WAKING = {"rossmann.drift.detected", "rossmann.performance.degraded"}  # as the triggers in prefect.yaml


@dataclass
class Lived:
    """What one policy went through."""

    policy: str
    retrainings: int = 0
    promotions: int = 0
    refusals: int = 0
    skipped: int = 0
    alarms: list[tuple[date, str]] = field(default_factory=list)
    cpu_minutes: float = 0.0
    weeks: pd.Series | None = None  # RMSPE of all batch forecasts by week

    def dealt(self, made: Retrained) -> None:
        """Count what a retraining came to."""
        self.skipped += made.trained is None
        self.retrainings += made.trained is not None
        self.promotions += made.verdict is not None and made.verdict.promote
        self.refusals += made.verdict is not None and not made.verdict.promote


@dataclass(frozen=True)
class Replayed:
    """All policies side by side, and where table and plot lie."""

    lives: tuple[Lived, ...]
    faulty_from: date | None
    table: str
    plot: str


def replay(
    raw: str, first: date, last: date, every: int, policies: list[str], candidates: list[str], stores: int | None,
    fault: str | None, since: str | None, progress: Callable[[str, date, int, int], None],
) -> Replayed:  # fmt: skip
    """Live through first … last in steps of `every` days under each policy."""
    unknown = set(policies) - set(POLICIES)
    if unknown or not first < last:
        raise DataError(f"policies are {', '.join(POLICIES)}, and --from must lie before --to")
    home = Settings().place("replays")
    shutil.rmtree(home, ignore_errors=True)
    staged = monitoring.stage(raw, f"{home}/raw", stores, fault, since)
    days = [first + timedelta(days=k) for k in range(0, (last - first).days + 1, every)]
    with training.cluster(Settings().ray_address):
        lives = tuple(live(policy, f"{home}/{policy}", staged, days, candidates, progress) for policy in policies)
    weeks = pd.DataFrame({each.policy: each.weeks for each in lives})
    place = Storage(home)
    table = place.write("weeks.csv", weeks.to_csv(index_label="week until", float_format="%.5f").encode())
    marks = {each.policy: [day for day, _ in each.alarms] for each in lives}
    plot = place.write("weeks.png", figures.replay_figure(weeks, marks, since))
    return Replayed(lives, date.fromisoformat(since) if since else None, table, plot)


def live(
    policy: str, home: str, raw: str, days: list[date], candidates: list[str],
    progress: Callable[[str, date, int, int], None],
) -> Lived:  # fmt: skip
    """One policy, from its first model on."""
    life, trained = Lived(policy), days[0]
    started = time.process_time()
    with world_of(home):
        retrain(raw, days[0], candidates=candidates)
        for number, day in enumerate(days[1:], 1):
            progress(policy, day, number, len(days) - 1)
            ingest(raw, day)
            seen = monitor()
            life.alarms += [(day, alarm.event.removeprefix("rossmann.")) for alarm in seen.raised]
            wake = next((each for each in seen.raised if each.event in WAKING), None)
            if policy == "drift" and wake:
                life.dealt(retrain(raw, day, candidates=candidates, reason=wake.reason, alarm=wake.id))
            elif policy == "monthly" and day - trained >= MONTH:
                life.dealt(retrain(raw, day, candidates=candidates))
                trained = day
            else:
                forecast()
        life.weeks = weeks(Settings(), days[0], days[-1])
        life.cpu_minutes = (time.process_time() - started + fitted_seconds(Settings())) / 60
    return life


@contextmanager
def world_of(home: str) -> Iterator[None]:
    """The flows' world for the time being; no endpoint."""
    before = dict(os.environ)
    os.environ["ROSSMANN_DATA_DIR"] = home
    for name in (
        "ROSSMANN_SERVE_ADDRESS",
        "ROSSMANN_JOURNAL_URL",
        "ROSSMANN_MLFLOW_TRACKING_URI",
        "MLFLOW_TRACKING_URI",
    ):
        os.environ.pop(name, None)
    Path(home).mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def weeks(settings: Settings, first: date, last: date) -> pd.Series:
    """RMSPE of all batch forecasts by the week they were for."""
    table = journal.kept(settings.journal, journal.accuracy, first)
    own = table[(table.slice == "all") & (table.source == "batch")]
    own = own.assign(week=performance.weekly(own, pd.Timestamp(last).to_datetime64()))
    return performance.scores(own, "week").rmspe


def fitted_seconds(settings: Settings) -> float:
    """CPU seconds of every fit in this world, which Ray's workers spent."""
    kept = Storage(settings.place("backtests"))
    races = [folder for folder in kept.folders() if folder != "fits"]
    return sum(sum(training.load_race(kept, key).cpu_seconds.values()) for key in races)
