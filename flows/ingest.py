"""Raw CSVs → validated snapshot: validate raw → clean → validate clean → features → validate features → version.

When new files have come. Needs train.csv and store.csv; the same content again is the same snapshot, and is not written again.
"""

from datetime import UTC, date, datetime

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows import world
from rossmann import data
from rossmann.settings import Settings

read_raw = task(data.read_raw, cache_policy=NO_CACHE)
clean = task(data.clean, cache_policy=NO_CACHE)
save_snapshot = task(data.save_snapshot, cache_policy=NO_CACHE)


@flow
def ingest(raw: str | None = None, as_of: date | None = None) -> str:
    """Validate, clean and version the raw files; answers the snapshot's fingerprint.

    raw: folder with train.csv, store.csv and, where known, test.csv; default: the world's raw folder.
    as_of: reveal the files only up to this day.
    """
    settings = Settings()
    read = read_raw(raw or settings.place("raw"), as_of)
    cleaned = clean(read, settings.horizon_days)
    return save_snapshot(cleaned.history, world.snapshots(settings), datetime.now(UTC), read.source, as_of)
