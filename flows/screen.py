"""What the command line says of a run: tables, and what to do next."""

import pandas as pd
from rich.console import Console
from rich.table import Table

from flows import world
from flows.retrain import Retrained
from flows.train import Trained
from rossmann import registry, training
from rossmann.data import list_snapshots
from rossmann.evaluation import Verdict
from rossmann.forecasting import Delivered
from rossmann.settings import Settings


def trained(console: Console, made: Trained) -> None:
    """The leaderboard, and where its rows and runs lie."""
    settings = Settings()
    race = training.load_race(world.backtests(settings), made.race)
    console.print(leaderboard(race.leaderboard()))
    console.print(f"challenger: version {made.challenger}, {race.backtest.best()} refitted on everything")
    console.print(f"rows: {world.backtests(settings).address(made.race)}/backtest.parquet", soft_wrap=True)
    console.print(f"MLflow run: {made.run} in {settings.tracking_uri}", soft_wrap=True)


def leaderboard(board: pd.DataFrame) -> Table:
    """Best first; scores are means over the folds, named by their origins."""
    folds = [name for name in board.columns if name[0].isdigit()]
    table = Table(title="Leaderboard: RMSPE, lower is better", title_justify="left")
    for name in ("candidate", "RMSPE", *folds, "MAE", "bias", "coverage", "CPU s", ""):
        table.add_column(name, justify="left" if name in ("candidate", "") else "right")
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
    console.print(
        f"{summary.rows:,} rows, {summary.stores:,} stores, {summary.first} to {summary.last}, by model version "
        f"{made.champion}: {summary.total:,.0f} in all; the same weekdays a year before: {summary.same_days_last_year:,.0f}"
    )
    console.print(f"forecasts: {made.file}\nplot:      {made.picture}", soft_wrap=True)


def retrained(console: Console, made: Retrained) -> None:
    """All of it, and what to type next."""
    console.print(f"snapshot {made.snapshot}\n")
    trained(console, made.trained)
    console.print()
    verdict(console, made.verdict)
    console.print()
    delivered(console, made.delivered)
    console.print(
        "\nnext: rossmann models · rossmann snapshots · rossmann forecast --out my.csv · make up (the Prefect and MLflow UIs)"
    )


def snapshots(console: Console, settings: Settings) -> None:
    """Every version of the history."""
    table = Table("snapshot", "made", "rows", "stores", "origin", "parent", "from", "")
    for one in list_snapshots(world.snapshots(settings)):
        mark = "current" if one.current else ""
        table.add_row(
            one.fingerprint,
            one.created,
            f"{one.rows:,}",
            f"{one.stores:,}",
            str(one.origin),
            one.parent or "–",
            one.source,
            mark,
        )
    console.print(table)


def models(console: Console, settings: Settings) -> None:
    """Every version of the model, and every decision about the champion."""
    known = world.models(settings)
    table = Table("version", "candidate", "RMSPE", "coverage", "origin", "snapshot", "is")
    for version in registry.versions(known):
        card = version.card
        mean = sum(card.rmspe.values()) / len(card.rmspe)
        table.add_row(
            str(version.version),
            card.candidate,
            f"{mean:.4f}",
            f"{card.coverage:.2f}",
            card.origin,
            card.snapshot,
            ", ".join(version.aliases),
        )
    console.print(table)
    ledger = Table(
        "at (UTC)",
        "decision",
        "version",
        "champion before",
        "why",
        title="Promotion ledger",
        title_justify="left",
    )
    for entry in registry.ledger(known):
        action = entry.action if entry.done else f"{entry.action} (unfinished)"
        ledger.add_row(
            f"{entry.at:%Y-%m-%d %H:%M}",
            action,
            str(entry.version),
            str(entry.previous or "–"),
            "\n".join(entry.reasons),
        )
    console.print(ledger)
