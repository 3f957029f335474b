"""Replays a history week by week through the real flows, under several retraining policies, and compares the errors.

By hand. Each policy runs in its own process on its own workspace, in the workspace's `replays` folder.
"""

import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

import pandas as pd

from flows import workspace
from flows.forecast import forecast
from flows.ingest import ingest
from flows.monitor import monitor
from flows.retrain import RetrainResult, retrain
from rossmann import data, figures, journal, simulation, training
from rossmann.alarms import Alarm, DriftDetected
from rossmann.monitoring import performance
from rossmann.settings import Settings
from rossmann.storage import Storage
from rossmann.validation import DataError

NEVER, MONTHLY, DRIFT = POLICIES = ("never", "monthly", "drift")
RETRAINING_INTERVAL = timedelta(days=28)  # of the policy "monthly"
PARALLEL_POLICIES = 2
LAST_WEEKS = 8  # scored separately: where the policies have diverged most
EXTERNAL_VARIABLES = (  # addresses of shared services, which a replay must not use
    "PREFECT_API_URL", "ROSSMANN_SERVE_ADDRESS", "ROSSMANN_JOURNAL_URL", "ROSSMANN_MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_URI", "ROSSMANN_RAY_ADDRESS", "PREFECT_SERVER_DATABASE_CONNECTION_URL",
)  # fmt: skip


@dataclass(frozen=True)
class ReplayStep:
    """What happened on one as-of day of a replay."""

    day: date
    causes: tuple[str, ...]  # of the alarms: the statistic, or the first words of the reason
    retraining: RetrainResult | None


@dataclass(frozen=True)
class PolicyResult:
    """What happened under one policy, and how well it forecast."""

    policy: str
    retrainings: int
    promotions: int
    refusals: int
    skipped: int
    alarms: tuple[tuple[date, str], ...]  # day and cause
    cpu_minutes: float
    weekly_rmspe: pd.Series  # of all batch forecasts, by the last day of the week
    lead_rmspe: pd.Series  # of all forecasts, by schema.LEAD_RANGES

    @property
    def rmspe(self) -> float:
        """Mean of the weeks."""
        return float(self.weekly_rmspe.mean())

    @property
    def last_weeks_rmspe(self) -> float:
        """Mean of the last LAST_WEEKS weeks."""
        return float(self.weekly_rmspe.tail(LAST_WEEKS).mean())

    def false_alarms(self, fault_start: date | None) -> int:
        """Alarms raised before the injected fault began; without a fault, all of them."""
        return sum(fault_start is None or day < fault_start for day, _ in self.alarms)


@dataclass(frozen=True)
class ReplayResult:
    """All policies, and the addresses of their tables and plot."""

    policies: tuple[PolicyResult, ...]
    fault_start: date | None
    table: str  # weeks
    leads: str
    plot: str


def replay(
    raw: str,
    first: date,
    last: date,
    step_days: int,
    policies: Sequence[str],
    candidates: list[str],
    stores: int | None = None,
    fault: str | None = None,
    fault_start: date | None = None,
) -> ReplayResult:
    """Replay the as-of days first … last, `step_days` apart, under each policy.

    The previous replay is deleted only after the raw files were read and the fault was injected. Raises DataError.
    """
    if not policies or not set(policies) <= set(POLICIES):
        raise DataError(f"policies are {', '.join(POLICIES)}")
    if not first < last:
        raise DataError(f"--from {first} must be before --to {last}")
    home = f"{Settings().local_folder}/replays"
    replay_raw = _write_raw_files(raw, home, stores, fault, fault_start)
    days = [first + timedelta(days=k) for k in range(0, (last - first).days + 1, step_days)]
    start = Lock()  # the environment belongs to the whole process: one child is started at a time

    def run_in_process(policy: str) -> PolicyResult:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            with start, workspace_environment(f"{home}/{policy}"):
                result = process.submit(run_policy, policy, replay_raw, days, candidates)
            return result.result()

    with ThreadPoolExecutor(PARALLEL_POLICIES) as threads:
        results = tuple(threads.map(run_in_process, policies))
    return _write_result(Storage(home), results, fault_start)


def _write_raw_files(raw: str, home: str, stores: int | None, fault: str | None, fault_start: date | None) -> str:
    """Write the raw files of the replay into an empty `home`. Returns their folder."""
    with TemporaryDirectory() as folder:
        simulation.write_replay_files(raw, folder, stores, fault, str(fault_start) if fault_start else None)
        shutil.rmtree(home, ignore_errors=True)
        return shutil.copytree(folder, f"{home}/raw")


def _write_result(folder: Storage, results: tuple[PolicyResult, ...], fault_start: date | None) -> ReplayResult:
    weeks = pd.DataFrame({each.policy: each.weekly_rmspe for each in results})
    table = folder.write("weeks.csv", weeks.to_csv(index_label="week_end", float_format="%.5f").encode())
    leads = pd.DataFrame({each.policy: each.lead_rmspe for each in results})
    lead_table = folder.write("leads.csv", leads.to_csv(float_format="%.5f").encode())
    marks = {each.policy: [day for day, _ in each.alarms] for each in results}
    plot = folder.write("weeks.png", figures.replay_figure(weeks, marks, str(fault_start) if fault_start else None))
    return ReplayResult(results, fault_start, table, lead_table, plot)


def run_policy(policy: str, raw: str, days: list[date], candidates: list[str]) -> PolicyResult:
    """One policy on this process's workspace, from its first model on."""
    last_training, steps = days[0], []
    started = time.process_time()
    with training.ray_cluster(None):
        retrain(raw, days[0], candidates=candidates)
        for number, day in enumerate(days[1:], 1):
            sys.stderr.write(f"  {policy}: {day}, {number} of {len(days) - 1}\n")
            due = policy == MONTHLY and day - last_training >= RETRAINING_INTERVAL
            last_training = day if due else last_training
            steps.append(run_step(policy, raw, day, candidates, due))
    cpu_seconds = time.process_time() - started + training.fit_cpu_seconds(workspace.backtests(Settings()))
    return _policy_result(policy, steps, cpu_seconds / 60, *rmspe_by_week_and_lead(Settings(), days[0], days[-1]))


def run_step(policy: str, raw: str, day: date, candidates: list[str], due: bool) -> ReplayStep:
    """Ingest the new days, monitor, and retrain or forecast. `due`: the calendar asks for a retraining."""
    ingest(raw, day)
    alarms = monitor().alarms
    causes = tuple(_cause(alarm) for alarm in alarms)
    trigger = next((each for each in alarms if each.starts_retraining), None)
    if policy == DRIFT and trigger:
        return ReplayStep(
            day, causes, retrain(raw, day, candidates=candidates, reason=trigger.reason, alarm_id=trigger.id)
        )
    if due:
        return ReplayStep(day, causes, retrain(raw, day, candidates=candidates))
    forecast()
    return ReplayStep(day, causes, None)


def _cause(alarm: Alarm) -> str:
    return alarm.name if isinstance(alarm, DriftDetected) else alarm.reason.split(":")[0]


def rmspe_by_week_and_lead(settings: Settings, first: date, last: date) -> tuple[pd.Series, pd.Series]:
    """`weekly_rmspe` and `lead_rmspe` of the days first … last."""
    history = workspace.history(settings, data.current_snapshot(settings.workspace.snapshots))
    by_lead = performance.rmspe_by_lead(workspace.daily_forecasts(settings, history, first, last))
    return weekly_rmspe(settings, first, last), by_lead


def _policy_result(
    policy: str, steps: list[ReplayStep], cpu_minutes: float, weekly: pd.Series, by_lead: pd.Series
) -> PolicyResult:
    retrainings = [each.retraining for each in steps if each.retraining]
    verdicts = [each.verdict.promote for each in retrainings if each.verdict]
    return PolicyResult(
        policy=policy,
        retrainings=sum(each.training is not None for each in retrainings),
        promotions=sum(verdicts),
        refusals=len(verdicts) - sum(verdicts),
        skipped=sum(each.training is None for each in retrainings),
        alarms=tuple((each.day, cause) for each in steps for cause in each.causes),
        cpu_minutes=cpu_minutes,
        weekly_rmspe=weekly,
        lead_rmspe=by_lead,
    )


@contextmanager
def workspace_environment(home: str) -> Iterator[None]:
    """The environment of another workspace: its own Prefect, no endpoint, no shared database."""
    environment = dict(os.environ)
    for name in EXTERNAL_VARIABLES:
        os.environ.pop(name, None)
    os.environ |= {"ROSSMANN_DATA_DIR": home, "PREFECT_HOME": f"{home}/prefect-embedded", "OMP_NUM_THREADS": "1"}
    Path(home).mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(environment)


def weekly_rmspe(settings: Settings, first: date, last: date) -> pd.Series:
    """RMSPE of all batch forecasts, by the last day of the week."""
    table = journal.read_rows(settings.journal_address, journal.accuracy, first)
    batch = table[(table.slice == "all") & (table.source == "batch")]
    batch = batch.assign(week=performance.week_ends(batch, pd.Timestamp(last).to_datetime64()))
    return performance.scores_of_sums(batch, "week").rmspe
