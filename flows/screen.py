"""What the command line says of a run: tables, and what to do next."""

import sys
from datetime import datetime
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from flows import world
from rossmann import registry
from rossmann.data import list_snapshots
from rossmann.evaluation import Verdict
from rossmann.forecasting import Delivered
from rossmann.settings import Settings

if TYPE_CHECKING:
    from flows.monitor import Monitored
    from flows.replay import Replayed
    from flows.retrain import Retrained
    from flows.train import Trained

OPEN = {"rossmann.drift.detected", "rossmann.performance.degraded"}  # alarms that a retraining closes
PLAIN = {"box": box.SIMPLE_HEAD, "title_justify": "left", "pad_edge": False}
NEXT = """
next: export ROSSMANN_DATA_DIR={home} PATH="{bin}:$PATH"
      rossmann models                                  who serves, and why
      rossmann forecast --plan PLAN.csv --out OUT.csv  the days you ask for
      rossmann retrain --raw DIR                       your own files, in a world of their own ROSSMANN_DATA_DIR
      make up, and in another terminal make deploy     the same runs in the Prefect UI, all models in MLflow's"""


def trained(console: Console, made: "Trained") -> None:
    """The leaderboard, and where its rows and runs lie."""
    from rossmann import training  # Ray, which only this needs

    settings = Settings()
    race = training.load_race(world.backtests(settings), made.race)
    console.print(leaderboard(race.leaderboard()))
    console.print(f"challenger: version {made.challenger}, {race.backtest.best()} refitted on everything")
    console.print(f"rows: {world.backtests(settings).address(made.race)}/backtest.parquet", soft_wrap=True)
    console.print(f"MLflow run: {made.run} in {world.models(settings).address}", soft_wrap=True)


def leaderboard(board: pd.DataFrame) -> Table:
    """Best first; scores are means over the folds, which are named by their origins."""
    folds = [name for name in board.columns if name[0].isdigit()]
    table = Table(title="Leaderboard: RMSPE on all folds and on each (by origin), lower is better", **PLAIN)
    table.add_column("candidate", no_wrap=True)
    for name in ("RMSPE", *(f"{name[:4]}\n{name[5:]}" for name in folds), "MAE", "bias", "cover-\nage", "CPU s"):
        table.add_column(name, justify="right")
    table.add_column("")
    for candidate, line in board.iterrows():
        scores = [f"{line.rmspe:.4f}", *(f"{line[name]:.4f}" for name in folds)]
        scores += [f"{line.mae:,.0f}", f"{line.bias:+.1%}", f"{line.coverage:.2f}", f"{line.cpu_seconds:.1f}"]
        table.add_row(str(candidate), *(["–"] * len(scores) if line.failure else scores), str(line.failure))
    return table


def verdict(console: Console, decided: Verdict) -> None:
    """Promoted or not, and every reason."""
    console.print("promoted: the challenger is champion" if decided.promote else "not promoted", style="bold")
    for reason in decided.reasons:
        console.print(f"  - {reason}", soft_wrap=True)


def delivered(console: Console, made: Delivered) -> None:
    """What was forecast, and where it lies."""
    summary = made.summary
    console.print(f"{summary.rows:,} rows: {summary.stores:,} stores, {summary.first} to {summary.last}")
    console.print(
        f"model version {made.champion} forecasts {summary.total:,.0f} in all"
        + (
            ""
            if isnan(summary.on_year)
            else f", {summary.on_year:+.1%} on the same weekdays a year before where both sell"
        )
    )
    console.print(f"forecasts: {made.file}\nplot:      {made.picture}", soft_wrap=True)


def retrained(console: Console, made: "Retrained") -> None:
    """All of it, and what to type next."""
    console.print(f"snapshot {made.snapshot}\n")
    if made.trained and made.verdict:
        trained(console, made.trained)
        console.print()
        verdict(console, made.verdict)
    else:
        console.print(f"not trained: {made.decision.reason}", soft_wrap=True)
    console.print()
    if made.delivered:
        delivered(console, made.delivered)
    else:
        console.print("no forecast: there is no champion yet")
    console.print(NEXT.format(home=Settings().home, bin=Path(sys.executable).parent), soft_wrap=True)


def monitored(console: Console, seen: "Monitored") -> None:
    """How the last week went, and what drifts."""
    performance, examination = seen.performance, seen.examination
    console.print(performance.reason if performance else "no forecast of the champion has come due", soft_wrap=True)
    if performance:
        table = Table("", "rows", "WAPE", "RMSPE", "promised", "bias", "coverage", **PLAIN)
        for (name, value), line in performance.slices.iterrows():
            row = (f"{line.wape:.3f}", f"{line.rmspe:.3f}", f"{line.promised_rmspe:.3f}", f"{line.bias:+.1%}")
            table.add_row(f"{name} {value}", f"{line.rows:,.0f}", *row, f"{line.coverage:.2f}")
        console.print(table)
    for each in examination.alarms:
        console.print(f"alarm: {each.kind}, {each.name} ({each.of}): {each.story}; since {each.since}", soft_wrap=True)
    console.print(f"{len(examination.findings)} statistics of {examination.first} to {examination.last}, "
                  f"{len(examination.alarms)} beyond their limits")  # fmt: skip
    for alarm in seen.raised:
        console.print(f"raised: {alarm.event}, {alarm.reason}", soft_wrap=True)
    if seen.raised:
        console.print("what becomes of it: rossmann trail")
    console.print(f"report: {seen.report}", soft_wrap=True)


def replayed(console: Console, done: "Replayed") -> None:
    """The policies side by side."""
    columns = ("policy", "RMSPE", "last 8 weeks", "retrained", "promoted", "refused", "skipped", "alarms", "false",
               "CPU min")  # fmt: skip
    table = Table(*columns, **PLAIN)
    for each in done.lives:
        false = [day for day, _ in each.alarms if done.faulty_from is None or day < done.faulty_from]
        counts = (each.retrainings, each.promotions, each.refusals, each.skipped, len(each.alarms), len(false))
        scores = (f"{each.weeks.mean():.4f}", f"{each.weeks.tail(8).mean():.4f}")
        table.add_row(each.policy, *scores, *map(str, counts), f"{each.cpu_minutes:.1f}")
    console.print(table)
    for each in done.lives:
        said = ", ".join(f"{day} {what}" for day, what in each.alarms)
        console.print(f"{each.policy}: {said or 'no alarm'}", soft_wrap=True)
    console.print(f"weeks: {done.table}\nplot:  {done.plot}", soft_wrap=True)


def trail(console: Console, told: list[tuple[dict, dict | None]]) -> None:
    """From alarm to outcome, newest first."""
    table = Table("at (UTC)", "alarm", "reason", "run after", "outcome after", "outcome", "serves", **PLAIN)
    for alarm, outcome in told:
        what = " ".join(filter(None, [alarm["event"].removeprefix("rossmann."), alarm.get("name")]))
        end = ("", "", "open" if alarm["event"] in OPEN else "", "")
        if outcome:
            at = [datetime.fromisoformat(moment) for moment in (alarm["at"], outcome["started"], outcome["at"])]
            delays = [f"{(later - at[0]).total_seconds():,.0f} s" for later in at[1:]]
            end = (*delays, f"{outcome['decision']}: {outcome['reason']}", str(outcome["model_version"] or "–"))
        table.add_row(alarm["at"][:19].replace("T", " "), what, alarm["reason"], *end)
    console.print(table if told else "no alarm has been raised in this world")


def snapshots(console: Console, settings: Settings) -> None:
    """Every version of the history, newest first."""
    table = Table("", "snapshot", "made (UTC)", "rows", "stores", "last day", "parent", "from", **PLAIN)
    for one in reversed(list_snapshots(world.snapshots(settings))):
        made, parent = one.created[:16].replace("T", " "), (one.parent or "–")[:8]
        row = (made, f"{one.rows:,}", f"{one.stores:,}", one.origin, parent, one.source)
        table.add_row("current" if one.current else "", one.fingerprint, *row)
    table.columns[1].no_wrap = True
    console.print(table)


def models(console: Console, settings: Settings) -> None:
    """Every version of the model, and every decision about the champion, newest first."""
    known = world.models(settings)
    table = Table("", "version", "candidate", "RMSPE", "coverage", "learnt until", "snapshot", **PLAIN)
    for version in registry.versions(known):
        card, mean = version.card, sum(version.card.rmspe.values()) / len(version.card.rmspe)
        row = (card.candidate, f"{mean:.4f}", f"{card.coverage:.2f}", card.origin, card.snapshot)
        table.add_row(", ".join(version.aliases), str(version.version), *row)
    console.print(table)
    ledger = Table("at (UTC)", "decision", "version", "before", "why", title="Promotion ledger", **PLAIN)
    for entry in registry.ledger(known):
        action = entry.action if entry.done else f"{entry.action} (unfinished)"
        before = str(entry.previous or "–")
        ledger.add_row(f"{entry.at:%Y-%m-%d %H:%M}", action, str(entry.version), before, "\n".join(entry.reasons))
    console.print(ledger)
