"""A Rossmann-shaped world, seeded, in Kaggle's files: what the project runs on until the real data are there.

Inside, arrays are [days, stores], the order in which Kaggle writes, and effects are in log sales. The tables hold
rounded means of the real chain; `statistics` shows how near the world comes (data/README.md).
"""

from pathlib import Path

import numpy as np

from rossmann.sample.calendar import plan_days
from rossmann.sample.chain import found
from rossmann.sample.files import plan_csv, store_csv, train_csv, write
from rossmann.sample.likeness import statistics
from rossmann.sample.sales import sell
from rossmann.validation import DataError

__all__ = ["statistics", "write_world"]

SHORTEST_DAYS = 28


def write_world(
    out: str | Path, stores: int = 60, days: int = 942, seed: int = 7, horizon_days: int = 48, replace: bool = False
) -> Path:
    """Write train.csv, store.csv and test.csv into the folder `out` and return it.

    The same arguments give the same bytes; a longer horizon leaves train.csv as it is. The files appear when all three
    are whole. Raises DataError for a world that cannot be, and for other files that are there, unless `replace`.
    """
    _check(str(out), stores, days, horizon_days)
    of_calendar, of_stores, of_sales = np.random.default_rng(seed).spawn(3)
    chain = found(stores, days, of_stores)
    calendar = plan_days(chain, days + horizon_days, of_calendar)
    sales, customers = sell(chain, calendar.until(days), of_sales)

    out = Path(out)
    contents = {
        out / "store.csv": store_csv(chain),
        out / "test.csv": plan_csv(calendar, days),
        out / "train.csv": train_csv(chain, calendar, sales, customers),
    }
    other = [path.name for path, content in contents.items() if path.exists() and path.read_bytes() != content]
    if other and not replace:
        raise DataError(
            f"{out} holds other files ({', '.join(other)}): choose another --out, or replace them by --force"
        )
    out.mkdir(parents=True, exist_ok=True)
    write(contents)
    return out


def _check(out: str, stores: int, days: int, horizon_days: int) -> None:
    if "://" in out:
        raise DataError(f"the sample is not written to {out}: choose a folder by --out, and ingest it by --raw")
    if stores < 1:
        raise DataError(f"a world of {stores} stores has nothing to sell; ask for 1 or more")
    if days < SHORTEST_DAYS:
        raise DataError(f"{days} days are too short for a rhythm to show; ask for {SHORTEST_DAYS} or more")
    if horizon_days < 1:
        raise DataError(f"a plan of {horizon_days} days is empty; ask for 1 or more")
