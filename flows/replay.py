"""The time machine: reveal a history week by week to the real flows, under each policy, and compare what it came to.

By hand. Each policy lives in a world of its own below replays/ of the data folder, which is made anew.
"""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

import pandas as pd

from flows import alarms
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
AT_ONCE = 2  # policies
ELSEWHERE = ("PREFECT_API_URL", "ROSSMANN_SERVE_ADDRESS", "ROSSMANN_JOURNAL_URL", "ROSSMANN_MLFLOW_TRACKING_URI",
             "MLFLOW_TRACKING_URI", "ROSSMANN_RAY_ADDRESS")  # fmt: skip


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
    fault: str | None, since: str | None,
) -> Replayed:  # fmt: skip
    """Live through first … last in steps of `every` days under each policy. The replay before is gone only then."""
    unknown = set(policies) - set(POLICIES)
    if unknown or not policies or not first < last:
        raise DataError(f"policies are {', '.join(POLICIES)}, and --from must lie before --to")
    home = f"{Settings().local_home}/replays"
    with TemporaryDirectory() as staging:
        monitoring.stage(raw, staging, stores, fault, since)
        shutil.rmtree(home, ignore_errors=True)
        staged = shutil.copytree(staging, f"{home}/raw")
    days = [first + timedelta(days=k) for k in range(0, (last - first).days + 1, every)]
    lock = Lock()

    def apart(policy: str) -> Lived:
        """In a process of its own, which begins in its own world."""
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            with lock, world_of(f"{home}/{policy}"):
                life = process.submit(live, policy, staged, days, candidates)
            return life.result()

    with ThreadPoolExecutor(AT_ONCE) as threads:
        lives = tuple(threads.map(apart, policies))
    weeks = pd.DataFrame({each.policy: each.weeks for each in lives})
    place = Storage(home)
    table = place.write("weeks.csv", weeks.to_csv(index_label="week until", float_format="%.5f").encode())
    marks = {each.policy: [day for day, _ in each.alarms] for each in lives}
    plot = place.write("weeks.png", figures.replay_figure(weeks, marks, since))
    return Replayed(lives, date.fromisoformat(since) if since else None, table, plot)


def live(policy: str, raw: str, days: list[date], candidates: list[str]) -> Lived:
    """One policy in this process's world, from its first model on."""
    life, trained = Lived(policy), days[0]
    started = time.process_time()
    with training.cluster(None):
        retrain(raw, days[0], candidates=candidates)
        for number, day in enumerate(days[1:], 1):
            sys.stderr.write(f"  {policy}: {day}, {number} of {len(days) - 1}\n")
            due = policy == "monthly" and day - trained >= MONTH
            trained = day if due else trained
            step(life, raw, day, candidates, due)
    life.weeks = weeks(Settings(), days[0], days[-1])
    life.cpu_minutes = (time.process_time() - started + fitted_seconds(Settings())) / 60
    return life


def step(life: Lived, raw: str, day: date, candidates: list[str], due: bool) -> None:
    """What happens when new days are there; `due`: a retraining is, by the calendar."""
    ingest(raw, day)
    seen = monitor()
    life.alarms += [(day, getattr(alarm, "name", None) or alarm.reason.split(":")[0]) for alarm in seen.raised]
    wake = next((each for each in seen.raised if each.event in alarms.WAKING), None)
    if life.policy == "drift" and wake:
        life.dealt(retrain(raw, day, candidates=candidates, reason=wake.reason, alarm=wake.id))
    elif due:
        life.dealt(retrain(raw, day, candidates=candidates))
    else:
        forecast()


@contextmanager
def world_of(home: str) -> Iterator[None]:
    """The environment of a world of its own: its own Prefect, no endpoint, nobody who would be woken."""
    before = dict(os.environ)
    for name in ELSEWHERE:
        os.environ.pop(name, None)
    os.environ |= {"ROSSMANN_DATA_DIR": home, "PREFECT_HOME": f"{home}/prefect-embedded", "OMP_NUM_THREADS": "1"}
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
