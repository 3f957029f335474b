"""`rossmann explain`: the reasons of a forecast as a waterfall, and why it moved."""

from datetime import date
from itertools import accumulate
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.environment import prepare_environment
from flows.cli.options import DAY, AsJson, PlanFile, parse_day
from rossmann.number_formats import change, unsigned_zero

if TYPE_CHECKING:
    from flows.cli.documents import Document
    from flows.explanation import Explanation
    from rossmann.explain import EarlierForecast, InputVersions, Term

BAR_WIDTH = 24  # characters of the waterfall
AXIS_MARGIN = 0.15  # of its range, to the left of its lowest end
RISE, FALL = "█", "░"
MIN_PART_CHANGE = 0.005  # of sales


def explain(
    store: Annotated[str, typer.Option(help="The store: its label in the chain's files, or its number.")],
    day: Annotated[date, typer.Option("--date", parser=parse_day, metavar=DAY, help="The day of the forecast.")],
    plan: PlanFile = None,
    since: Annotated[
        date | None,
        typer.Option(
            parser=parse_day,
            metavar=DAY,
            help="Also explain why the forecast moved since this origin, the last day with known sales.",
        ),
    ] = None,
    since_version: Annotated[
        int | None, typer.Option(min=1, help="Also explain why it moved from that of this model version.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Say why the champion's forecast of a store's day is what it is; with another plan, also what the plan changes.

    A past day is forecast from the sales up to the day before.
    """
    settings = prepare_environment()
    from flows.cli import documents
    from flows.explanation import actual_sales, explain_day

    explanation = explain_day(settings, store, day, plan, since, since_version)
    sales = actual_sales(explanation)
    if json:
        documents.write(document(explanation) | {"sales": sales})
    else:
        show(explanation, sales)


def document(explanation: "Explanation") -> "Document":
    """What --json prints, but for `sales`. `movement` is null unless another forecast, or a plan, is named."""
    return {
        "store": explanation.store,
        **explanation.reasons.document(),
        **explanation.versions.document(),
        "movement": explanation.earlier.document() if explanation.earlier else None,
        "notes": explanation.notes(),
    }


def show(explanation: "Explanation", sales: float | None) -> None:
    """The waterfall, what was sold if that is known, what the forecast was made from, and the movement."""
    from flows.cli import console

    reasons = explanation.reasons
    days = "1 day" if reasons.lead_days == 1 else f"{reasons.lead_days} days"
    console.show(
        f"store {explanation.store}, {reasons.date:%A} {reasons.date}: forecast {reasons.forecast:,.0f}"
        + ("" if sales is None else f", sold {sales:,.0f}"),
        f"from {_sentence(explanation.versions)}, {days} ahead",
        *(f"note: {note}" for note in explanation.notes()),
    )
    if reasons.closed:
        console.show("closed: the plan says that the store does not open on this day")
    else:
        columns = [console.Column("reason"), console.Column(f"amount, {explanation.unit}", numeric=True)]
        columns += [console.Column("effect", numeric=True), console.Column("waterfall")]
        console.show_table(columns, _waterfall(explanation))
    if explanation.earlier:
        show_movement(explanation.earlier)


def show_movement(earlier: "EarlierForecast") -> None:
    """The difference from the other forecast, by cause."""
    from flows.cli import console

    movement = earlier.movement
    console.show("", f"before: forecast {movement.before:,.0f} from {_sentence(earlier.versions)}")
    columns = [console.Column("why it moved"), console.Column("amount", numeric=True)]
    rows = [[name, f"{amount:+,.0f}"] for name, amount in (*movement.causes, ("total", movement.change))]
    console.show_table(columns, rows)


def _sentence(versions: "InputVersions") -> str:
    plan = f", plan {versions.plan}" if versions.plan else ""
    return f"sales up to {versions.data.origin}, model version {versions.model_version}{plan}"


def _waterfall(explanation: "Explanation") -> list[list[str]]:
    """A row for each term, for each part of one, and for the forecast."""
    reasons = explanation.reasons
    ends = list(accumulate(term.amount for term in reasons.terms))
    low, high = min(ends), max(ends)
    low -= (high - low) * AXIS_MARGIN
    rows: list[list[str]] = []
    for start, end, term in zip([low, *ends], ends, reasons.terms, strict=False):
        numbers = _signed_texts(term) if rows else [f"{term.amount:,.0f}", ""]
        rows.append([term.name, *numbers, _bar(start, end, low, high)])
        rows += [[f"  {part.name}", *_signed_texts(part), ""] for part in _visible_parts(term)]
    return [*rows, ["forecast", f"{reasons.forecast:,.0f}", "", _bar(low, ends[-1], low, high)]]


def _signed_texts(term: "Term") -> list[str]:
    """The amount and the change of a term with their signs. Zero has none."""
    return [change(term.amount), unsigned_zero(f"{term.change:+.1%}")]


def _visible_parts(term: "Term") -> list["Term"]:
    """The parts that change sales by MIN_PART_CHANGE at least; --json has all of them."""
    return [part for part in term.parts if abs(part.change) >= MIN_PART_CHANGE]


def _bar(start: float, end: float, low: float, high: float) -> str:
    """A piece of the waterfall: full where it adds, light where it takes away."""
    scale = BAR_WIDTH / (high - low) if high > low else 0.0
    first, last = sorted((round((start - low) * scale), round((end - low) * scale)))
    return " " * first + (RISE if end >= start else FALL) * max(last - first, 1)
