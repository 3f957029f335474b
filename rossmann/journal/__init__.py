"""What was forecast, when, by which model, from what: over HTTP and in batches, in the same two tables."""

from rossmann.journal.tables import Entry, forecasts, migrate, prune, record, requests
from rossmann.journal.writer import Health, Journal

__all__ = ["Entry", "Health", "Journal", "forecasts", "migrate", "prune", "record", "requests"]
