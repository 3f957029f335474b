"""What was forecast, when, by which model, from what, over HTTP and in batches; and, day by day, how it went."""

from rossmann.journal.growing import accuracy, asked_between, findings, given, keep, kept, traffic
from rossmann.journal.tables import Entry, forecasts, migrate, prune, record, requests
from rossmann.journal.writer import Health, Journal

__all__ = [
    "Entry",
    "Health",
    "Journal",
    "accuracy",
    "asked_between",
    "findings",
    "forecasts",
    "given",
    "keep",
    "kept",
    "migrate",
    "prune",
    "record",
    "requests",
    "traffic",
]
