"""The options that several commands share."""

from datetime import date
from typing import Annotated

import typer

DAY = "YYYY-MM-DD"  # in the help texts


def parse_day(text: str) -> date:
    """A day from its text, YYYY-MM-DD."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text} is not a day of the form {DAY}, like 2015-03-31") from error


StoreName = Annotated[str, typer.Option("--store", help="The store: its number, or its label with a chain.toml.")]
FirstDay = Annotated[date, typer.Option("--date", parser=parse_day, metavar=DAY, help="The day, or the first one.")]
LastDay = Annotated[
    date | None, typer.Option("--until", parser=parse_day, metavar=DAY, help="The last day. [default: only --date]")
]
Because = Annotated[str, typer.Option("--because", help="The reason, which stays beside the override.")]
Planner = Annotated[str, typer.Option("--by", help="Who decides this.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else, to stdout.")]
RawFolder = Annotated[
    str | None,
    typer.Option(
        "--raw",
        help="Folder of raw files: those that its chain.toml names; without one, train.csv, store.csv and, optionally, "
        "test.csv. [default: raw/ in the workspace]",
    ),
]
AsOf = Annotated[
    date | None,
    typer.Option(parser=parse_day, help="Use only sales up to and including this day.", metavar=DAY),
]
AllowShrink = Annotated[
    bool, typer.Option("--allow-shrink", help="Accept files that lack stores or days of the current snapshot.")
]
Folds = Annotated[
    int | None,
    typer.Option(
        min=2, help="Backtest windows, counted back from the end of the history. [default: ROSSMANN_FOLDS at most]"
    ),
]
Candidates = Annotated[
    str | None,
    typer.Option(
        help="Candidates to backtest, separated by commas; last_week and median are always added. "
        "[default: ROSSMANN_CANDIDATES]"
    ),
]
Search = Annotated[int, typer.Option(min=0, help="Hyperparameter configurations to try for each booster.")]
PlanFile = Annotated[
    str | None,
    typer.Option(
        help="CSV of the days to forecast: store and date; open, promo, state_holiday, school_holiday where they "
        "differ from the published plan. Kaggle's names (Store, Date, …) work, too; with a chain.toml, labels of "
        "stores, the entries of [known], and the names in the chain's files. [default: the whole published plan]"
    ),
]
OutFile = Annotated[str | None, typer.Option(help="CSV to write. [default: a file in forecasts/ of the workspace]")]
AsKaggle = Annotated[bool, typer.Option("--kaggle", help="Write only Id and Sales, as Kaggle accepts them.")]


def split_names(text: str | None) -> list[str] | None:
    """The names in a comma-separated list; None for no text."""
    return [name for part in text.split(",") if (name := part.strip())] if text else None
