"""What the Prefect UI shows of a run: artifacts in Markdown."""

from rossmann.evaluation import Verdict
from rossmann.forecasting import Delivered


def verdict(decided: Verdict, challenger: int) -> str:
    """The verdict on a challenger and every reason."""
    outcome = "becomes champion" if decided.promote else "is refused, the champion stays"
    reasons = "\n".join(f"- {reason}" for reason in decided.reasons)
    return f"# Version {challenger} {outcome}\n\n{reasons}\n"


def forecast(delivered: Delivered) -> str:
    """What was forecast, and where it lies."""
    made = delivered.summary
    return (
        f"# {made.stores:,} stores, {made.first} to {made.last}\n\n"
        f"Model version {delivered.champion} forecasts sales of **{made.total:,.0f}** in {made.rows:,} rows; "
        f"{made.on_year:+.1%} on the same weekdays a year before where both sell (nan: none does).\n\n"
        f"- file: `{delivered.file}`\n- picture: `{delivered.picture}`\n"
    )
