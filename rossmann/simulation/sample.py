"""The files of a sample chain."""

from pathlib import Path

import numpy as np

from rossmann.schema import HORIZON_DAYS
from rossmann.simulation.calendar import make_calendar
from rossmann.simulation.chain import REFERENCE_DAYS, make_chain
from rossmann.simulation.draws import Draws
from rossmann.simulation.files import plan_csv, save_files, store_csv, train_csv
from rossmann.simulation.sales import SALES_LOOKAHEAD_DAYS, simulate_sales
from rossmann.validation import DataError

# The sample of `rossmann sample` without options.
STORES, DAYS, SEED = 60, REFERENCE_DAYS, 7
MIN_DAYS = 28


def write_sample(
    out: str | Path,
    stores: int = STORES,
    days: int = DAYS,
    seed: int = SEED,
    horizon_days: int = HORIZON_DAYS,
    overwrite: bool = False,
    *,
    extra_days: int = 0,
) -> Path:
    """Write train.csv, store.csv and test.csv into the folder `out` and return it.

    The same arguments give the same bytes. `days` belong to the chain itself, since its events are spread over them:
    other `days` make another chain. `extra_days` are the next days of the same chain: train.csv has them before the
    unchanged rows of the first `days` (the latest day comes first), with the calendar that test.csv had published for
    them; store.csv stays as it is. A longer horizon leaves train.csv as it is.

    The files appear when all three are complete. Raises DataError for arguments that make no chain, and if there are
    other files of these names, unless `overwrite`.
    """
    check_size(str(out), stores, days, horizon_days, extra_days)
    calendar_rng, chain_rng, sales_rng, extra_rng = np.random.default_rng(seed).spawn(4)
    train_days = days + extra_days
    chain = make_chain(stores, days, chain_rng)
    calendar = make_calendar(chain, train_days + max(horizon_days, SALES_LOOKAHEAD_DAYS), calendar_rng)
    sales, customers = simulate_sales(chain, calendar, Draws(sales_rng, extra_rng, days, extra_days))

    out = Path(out)
    contents = {
        out / "store.csv": store_csv(chain),
        out / "test.csv": plan_csv(calendar.until(train_days + horizon_days), train_days),
        out / "train.csv": train_csv(chain, calendar, sales, customers),
    }
    save_files(out, contents, overwrite)
    return out


def check_size(out: str, stores: int, days: int, horizon_days: int, extra_days: int) -> None:
    """Raise DataError for a place or a size that no sample can have."""
    if "://" in out:
        raise DataError(f"a sample cannot be written to {out}: write it to a folder, and pass that to ingest by --raw")
    if stores < 1:
        raise DataError(f"a chain of {stores} stores has no sales; choose 1 store or more")
    if days < MIN_DAYS:
        raise DataError(f"{days} days are too few for weekly patterns; choose {MIN_DAYS} days or more")
    if horizon_days < 1:
        raise DataError(f"a plan of {horizon_days} days is empty; choose 1 day or more")
    if extra_days < 0:
        raise DataError(f"a sample cannot have {extra_days} extra days; choose 0 or more")
