"""The results of commands as text on stdout. Nothing is loaded here.

A table is drawn in a terminal; in a pipe it is one line per row, with a tab between the columns and nothing cut off.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

from rossmann.schema import LEAD_RANGES

if TYPE_CHECKING:
    from datetime import datetime

    import pandas as pd

    from flows.cli.training_summary import TrainingSummary
    from flows.monitor import MonitorResult
    from flows.replay import ReplayResult
    from flows.retention import Expired
    from flows.retrain import RetrainResult
    from rossmann.alarms import AlarmRecord
    from rossmann.data import Snapshot
    from rossmann.evaluation import Loss, Verdict
    from rossmann.forecasting import DeliveredForecast
    from rossmann.monitoring import Performance
    from rossmann.registry import LedgerEntry, RegisteredModel

NEXT_STEPS = """
next steps: export ROSSMANN_DATA_DIR={home} PATH="{bin}:$PATH"
  rossmann models                                  versions of the model, and which one serves
  rossmann forecast --plan PLAN.csv --out OUT.csv  forecast days of your choice
  rossmann refresh --raw DIR                       newer files of the chain; then rossmann monitor
  rossmann init DIR                                files of another chain, with another ROSSMANN_DATA_DIR
  rossmann dashboard                               forecasts, their reasons and what-if, in a browser
  rossmann explain --store STORE --date DAY        why a forecast is what it is
  make up, and in another terminal make deploy     the same runs in the Prefect UI, all models in MLflow's"""


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    numeric: bool = False


def show(*lines: str) -> None:
    """Print lines as they are."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def show_table(columns: Sequence[Column], rows: Iterable[Sequence[str]], title: str = "") -> None:
    """Print a table: drawn in a terminal, tab-separated in a pipe. Line breaks within a cell become "; " there."""
    if sys.stdout.isatty():
        _draw(columns, rows, title)
        return
    if title:
        show(title)
    for row in ([column.name for column in columns], *rows):
        show("\t".join("; ".join(cell.splitlines()) for cell in row).rstrip())


def _draw(columns: Sequence[Column], rows: Iterable[Sequence[str]], title: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column.name, justify="right" if column.numeric else "left")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, markup=False).print(table)


def show_files(home: str, **files: str) -> None:
    """Print addresses by name: those in the workspace below its address, the others in full."""
    inside = {name: file.removeprefix(f"{home}/") for name, file in files.items() if file.startswith(f"{home}/")}
    for name, file in files.items():
        if name not in inside:
            show(f"{name}: {file}")
    if inside:
        show(f"files in {home}:", *(f"  {name}: {file}" for name, file in inside.items()))


def show_training(home: str, summary: "TrainingSummary") -> None:
    """The leaderboard, the challenger, and where its rows and runs are."""
    show_leaderboard(summary.leaderboard, summary.loss)
    show(
        *([f"warning: {summary.warning}"] if summary.warning else []),
        f"challenger: version {summary.result.challenger}, {summary.best} refitted on the whole history",
        f"MLflow run: {summary.result.run_id} in {summary.mlflow}",
    )
    if summary.result.report is None:
        show("warning: the report of the training could not be written; the log of the run says why")
    pages = {"report": summary.result.report} if summary.result.report else {}
    show_files(home, **pages, **{"backtest rows": summary.backtest_rows_file})


def show_leaderboard(board: "pd.DataFrame", loss: "Loss") -> None:
    """Best by the loss first. Scores are means over the folds, and in a second table those of each fold's origin.

    RMSPE, MAE and the bias are shown whatever the loss is.
    """
    from rossmann.reports.leaderboard import other_losses

    folds = [name for name in board.columns if name[0].isdigit()]
    others = other_losses(loss)
    labels = (loss.label, loss.capped_label, *(each.label for each in others))
    numbers = (*labels, "bias", "WQL", "coverage", "CPU s")
    columns = [Column("candidate"), *(Column(name, numeric=True) for name in numbers)]
    columns += [Column("failure")] if board.failure.any() else []
    rows = []
    for candidate, line in board.iterrows():
        scores = [loss.text(line[loss.name]), loss.text(line[loss.capped_name])]
        scores += [each.text(line[each.name]) for each in others]
        scores += [f"{line.bias:+.1%}", f"{line.wql:.4f}", f"{line.coverage:.2f}", f"{line.cpu_seconds:.1f}"]
        scores = [*["–"] * len(scores), str(line.failure)] if line.failure else scores
        rows.append([str(candidate), *scores])
    show_table(columns, rows, f"Leaderboard: means over the folds; capped: {loss.cap_text}")
    if board.param_changes.any():
        rows = [[str(name), changes] for name, changes in board.param_changes.items() if changes]
        show_table([Column("candidate"), Column("parameters")], rows, "What differs from the defaults")
    succeeded = board[board.failure == ""]
    show_table(
        [Column("origin"), *(Column(str(name), numeric=True) for name in succeeded.index)],
        [[fold, *(f"{score:.4f}" for score in succeeded[fold])] for fold in folds],
        "RMSPE of each fold",
    )


def show_verdict(verdict: "Verdict") -> None:
    """Promoted or not, with every reason."""
    show("promoted: the challenger is champion" if verdict.promote else "not promoted")
    show(*(f"  - {reason}" for reason in verdict.reasons))


def show_forecast(home: str, delivered: "DeliveredForecast") -> None:
    """The totals of a forecast, and its files."""
    summary = delivered.summary
    change = (
        ""
        if isnan(summary.year_over_year)
        else f", {summary.year_over_year:+.1%} against the same weekdays one year before (days open in both years)"
    )
    show(
        f"{summary.rows:,} rows: {summary.stores:,} stores, {summary.first_day} to {summary.last_day}",
        f"model version {delivered.model_version} forecasts sales of {summary.total:,.0f} in total{change}",
    )
    show_files(home, forecasts=delivered.file, **({"plot": delivered.plot} if delivered.plot else {}))


def show_retraining(home: str, result: "RetrainResult", summary: "TrainingSummary | None") -> None:
    """The results of all steps, the decision last, and what to type next."""
    show(f"snapshot {result.snapshot}", "")
    if summary:
        show_training(home, summary)
        show("")
    if result.forecast:
        show_forecast(home, result.forecast)
    else:
        show("no forecast: there is no champion yet")
    show("")
    if result.verdict:
        show_verdict(result.verdict)
    else:
        show(result.summary)
    show(NEXT_STEPS.format(home=home, bin=Path(sys.executable).parent))


def show_monitoring(home: str, result: "MonitorResult") -> None:
    """The last week's scores, the drift statistics beyond their limits, and the alarms raised."""
    if result.performance:
        show_performance(result.performance)
    else:
        show("no forecast of the champion has actuals yet")
    drift = result.drift
    for each in drift.alarm_findings:
        show(f"beyond its limit: {each.kind}, {each.name} ({each.subject}): {each.message}; since {each.since}")
    days = f"{drift.first_day} to {drift.last_day}"
    show(f"{len(drift.findings)} drift statistics of {days}, {len(drift.alarm_findings)} beyond their limits")
    show(*(f"alarm: {alarm.event}, {alarm.reason}" for alarm in result.alarms))
    if result.alarms:
        show("outcomes of alarms: rossmann alarms")
    show_files(home, report=result.report)


def show_performance(performance: "Performance") -> None:
    """The scores of the last week, for all rows and by slice."""
    names = ("rows", "WAPE", "RMSPE", "expected RMSPE", "bias", "coverage")
    rows = []
    slices = performance.slices
    for (name, value), (_, line) in zip(slices.index, slices.iterrows(), strict=True):
        scores = (f"{line.wape:.3f}", f"{line.rmspe:.3f}", f"{line.expected_rmspe:.3f}", f"{line.bias:+.1%}")
        rows.append([f"{name} {value}".strip(), f"{line.rows:,.0f}", *scores, f"{line.coverage:.2f}"])
    show(performance.reason)
    show_table([Column("slice"), *(Column(each, numeric=True) for each in names)], rows)


def show_replay(home: str, result: "ReplayResult") -> None:
    """The policies side by side, their errors by days after the origin, then the alarms of each."""
    names = ("RMSPE", "last 8 weeks", "retrained", "promoted", "refused", "skipped", "alarms", "false", "CPU min")
    rows = []
    for each in result.policies:
        counts = (each.retrainings, each.promotions, each.refusals, each.skipped, len(each.alarms),
                  each.false_alarms(result.fault_start))  # fmt: skip
        scores = (f"{each.rmspe:.4f}", f"{each.last_weeks_rmspe:.4f}")
        rows.append([each.policy, *scores, *map(str, counts), f"{each.cpu_minutes:.1f}"])
    show_table([Column("policy"), *(Column(each, numeric=True) for each in names)], rows)
    leads = [Column(lead, numeric=True) for lead in LEAD_RANGES]
    rows = [
        [each.policy, *("" if isnan(value) else f"{value:.4f}" for value in each.lead_rmspe)]
        for each in result.policies
    ]
    show_table([Column("RMSPE by days ahead"), *leads], rows)
    for each in result.policies:
        text = ", ".join(f"{day} {cause}" for day, cause in each.alarms)
        show(f"{each.policy}: {text or 'no alarm'}")
    show_files(home, weeks=result.table, leads=result.leads, plot=result.plot)


def show_alarms(records: "Sequence[AlarmRecord]", retraining: str) -> None:
    """Every alarm with its outcome, newest first; delays count from the alarm. Then what is done about open ones.

    The reason of a retraining that answered several alarms is in the first of their lines.
    """
    if not records:
        show("no alarm has been raised in this workspace")
        return
    names = ("at (UTC)", "alarm", "reason", "run after", "outcome after", "outcome", "champion")
    from rossmann.alarms import ids_of_repeated_outcomes

    repeated = ids_of_repeated_outcomes(records)
    show_table([Column(name) for name in names], [_alarm_row(each, each.alarm.id in repeated) for each in records])
    if retraining:
        show(retraining)


def _alarm_row(record: "AlarmRecord", is_repeated: bool) -> list[str]:
    from rossmann.alarms import RetrainingOutcome

    alarm, outcome = record.alarm, record.outcome
    name = " ".join(filter(None, [alarm.event_kind, alarm.statistic]))
    row = [f"{alarm.at:%Y-%m-%d %H:%M:%S}", name, alarm.reason]
    if outcome is None:
        return [*row, "", "", "open", ""]
    text = f"{outcome.decision}, as above" if is_repeated else f"{outcome.decision}: {outcome.reason}"
    if not isinstance(outcome, RetrainingOutcome):
        return [*row, "", _delay(alarm.at, outcome.at), text, ""]
    delays = [_delay(alarm.at, moment) for moment in (outcome.started, outcome.at)]
    return [*row, *delays, text, str(outcome.model_version or "–")]


def _delay(start: "datetime", end: "datetime") -> str:
    return f"{(end - start).total_seconds():,.0f} s"


def show_sweep(expired: "Sequence[Expired]", dry_run: bool) -> None:
    """What was deleted, or would be."""
    if not expired:
        show("nothing to delete: all that is older than its retention is in use")
        return
    columns = [Column("what"), Column("name"), Column("count", numeric=True), Column("MB", numeric=True)]
    rows = [[each.kind, each.name, f"{each.count:,}", each.megabytes] for each in expired]
    show_table(columns, rows, "Would be deleted" if dry_run else "Deleted")


def show_snapshots(home: str, versions: "Iterable[Snapshot]") -> None:
    """Every version of the history, newest first."""
    names = ("", "snapshot", "created (UTC)", "rows", "stores", "last day", "parent", "raw files")
    columns = [Column(name, numeric=name in ("rows", "stores")) for name in names]
    rows = []
    for each in versions:
        created, parent = each.created[:16].replace("T", " "), (each.parent or "–")[:8]
        source = each.source.removeprefix(f"{home}/")
        marker = "current" if each.current else "–"
        rows.append(
            [marker, each.fingerprint, created, f"{each.rows:,}", f"{each.stores:,}", each.origin, parent, source]
        )
    show(f"workspace: {home}")
    show_table(columns, rows)


def show_models(versions: "Iterable[RegisteredModel]", ledger: "Iterable[LedgerEntry]") -> None:
    """Every version of the model, and every decision about the champion, newest first."""
    names = ("alias", "version", "candidate", "RMSPE", "coverage", "trained until", "snapshot")
    columns = [Column(name, numeric=name in ("version", "RMSPE", "coverage")) for name in names]
    show_table(columns, [_model_row(each) for each in versions])
    columns = [Column(name) for name in ("at (UTC)", "decision", "version", "previous", "reasons")]
    show("")
    show_table(columns, [_ledger_row(each) for each in ledger], "Promotion ledger")


def _model_row(version: "RegisteredModel") -> list[str]:
    card = version.card
    scores = (f"{card.mean_rmspe:.4f}", f"{card.coverage:.2f}")
    return [
        ", ".join(version.aliases) or "–",
        str(version.version),
        card.candidate,
        *scores,
        card.train_end,
        card.snapshot,
    ]


def _ledger_row(entry: "LedgerEntry") -> list[str]:
    action = entry.action if entry.done else f"{entry.action} (unfinished)"
    return [
        f"{entry.at:%Y-%m-%d %H:%M}",
        action,
        str(entry.version),
        str(entry.previous or "–"),
        "\n".join(entry.reasons),
    ]
