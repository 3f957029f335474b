"""Versions of the history: immutable, addressed by what is in them, whole or not there at all.

`<root>/<fingerprint>/` holds days, plan and stores as Parquet and, written last, the manifest that makes it a
snapshot; `<root>/current` names the one in use. `root` is a folder or an s3:// address.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import date, datetime

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from rossmann.data.panel import Calendar, SalesHistory, Stores
from rossmann.storage import Storage
from rossmann.validation import DataError

MANIFEST, CURRENT = "manifest.json", "current"
CODES = ("open", "promo", "state_holiday", "school_holiday")


@dataclass(frozen=True)
class Snapshot:
    """One line of `rossmann snapshots`."""

    fingerprint: str
    created: str  # ISO, as the caller's clock had it
    rows: int  # store days that have a row
    stores: int
    first_day: str
    origin: str
    planned_until: str
    parent: str | None  # what was current when it was made
    source: str  # where the raw files lay
    as_of: str | None
    current: bool


def save_snapshot(history: SalesHistory, root: str, created: datetime, source: str, as_of: date | None = None) -> str:
    """Keep the history, make it the current one, answer its fingerprint. What is there is not rewritten."""
    fingerprint = history.fingerprint
    snapshots = Storage(str(root))
    if not _whole(snapshots.within(fingerprint)):
        parent = _pointed(snapshots)
        contents = {
            "days.parquet": _days(history),
            "plan.parquet": _plan(history),
            "stores.parquet": _stores(history.stores),
        }
        about = {
            "fingerprint": fingerprint,
            "created": created.isoformat(timespec="seconds"),
            "rows": int((~np.isnan(history.sales)).sum()),
            "stores": len(history.stores.number),
            "first_day": str(history.dates[0]),
            "origin": str(history.origin),
            "planned_until": str(history.calendar.dates[-1]),
            "parent": None if parent == fingerprint else parent,
            "source": source,
            "as_of": as_of.isoformat() if as_of else None,
        }
        _write(snapshots.within(fingerprint), contents, about)
    snapshots.write(CURRENT, f"{fingerprint}\n".encode())
    return fingerprint


def load_snapshot(root: str, fingerprint: str | None = None) -> SalesHistory:
    """The history of a snapshot (default: the current one); a unique beginning of its fingerprint will do."""
    whole = resolve_snapshot(root, fingerprint)
    snapshot = Storage(str(root)).within(whole)
    tables = {}
    for name, expected in _manifest(snapshot)["files"].items():
        content = snapshot.read(name) if snapshot.exists(name) else b""
        if hashlib.sha256(content).hexdigest() != expected:
            raise _damaged(snapshot, name)
        tables[name] = parquet.read_table(pa.BufferReader(content))
    return _history(tables["days.parquet"], tables["plan.parquet"], tables["stores.parquet"])


def list_snapshots(root: str) -> list[Snapshot]:
    """All snapshots, oldest first."""
    snapshots = Storage(str(root))
    current = _pointed(snapshots)
    found = []
    for name in _names(snapshots):
        about = _manifest(snapshots.within(name))
        del about["files"]
        found.append(Snapshot(**about, current=name == current))
    return sorted(found, key=lambda s: (s.created, s.fingerprint))


def current_snapshot(root: str) -> str:
    """The fingerprint of the snapshot in use."""
    snapshots = Storage(str(root))
    fingerprint = _pointed(snapshots)
    if fingerprint is None:
        raise DataError(f"There is no snapshot in {snapshots.address('')} yet. Make one: rossmann ingest --raw DIR")
    return resolve_snapshot(root, fingerprint)


def restore_snapshot(root: str, fingerprint: str) -> str:
    """Make an older snapshot the current one; answers its whole fingerprint. Refuses a damaged one."""
    whole = resolve_snapshot(root, fingerprint)
    load_snapshot(root, whole)
    Storage(str(root)).write(CURRENT, f"{whole}\n".encode())
    return whole


def resolve_snapshot(root: str, fingerprint: str | None = None) -> str:
    """The whole fingerprint that a beginning stands for; the current one's if none is given."""
    if fingerprint is None:
        return current_snapshot(root)
    names = _names(Storage(str(root)))
    meant = [name for name in names if name.startswith(fingerprint)] if fingerprint else []
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise DataError(f"{fingerprint} could be {', '.join(meant)}: write more of the fingerprint.")
    there = f"There are {', '.join(names)}" if names else "There are none"
    raise DataError(f"There is no snapshot {fingerprint or '(empty)'}. {there} (rossmann snapshots).")


def _names(snapshots: Storage) -> list[str]:
    return [name for name in snapshots.folders() if snapshots.exists(f"{name}/{MANIFEST}")]


def _manifest(snapshot: Storage) -> dict[str, object]:
    try:
        return json.loads(snapshot.read(MANIFEST))
    except ValueError:
        raise _damaged(snapshot, MANIFEST) from None


def _damaged(snapshot: Storage, name: str) -> DataError:
    return DataError(
        f"A snapshot is damaged: {snapshot.address(name)} is not what was written."
        " Ingest its raw files again, or restore another one (rossmann snapshots restore)."
    )


def _pointed(snapshots: Storage) -> str | None:
    return snapshots.read(CURRENT).decode().strip() if snapshots.exists(CURRENT) else None


def _write(snapshot: Storage, tables: dict[str, pa.Table], about: dict[str, object]) -> None:
    hashes = {}
    for name, table in tables.items():
        buffer = pa.BufferOutputStream()
        parquet.write_table(table, buffer, compression="zstd")
        content = buffer.getvalue().to_pybytes()
        hashes[name] = hashlib.sha256(content).hexdigest()
        snapshot.write(name, content)
    snapshot.write(MANIFEST, json.dumps({**about, "files": hashes}, indent=2).encode())


def _whole(snapshot: Storage) -> bool:
    """Whether the snapshot is there, and every file as it was written."""
    if not snapshot.exists(MANIFEST):
        return False
    try:
        hashes = _manifest(snapshot)["files"]
    except DataError:
        return False
    return all(
        snapshot.exists(name) and hashlib.sha256(snapshot.read(name)).hexdigest() == expected
        for name, expected in hashes.items()
    )


def _days(history: SalesHistory) -> pa.Table:
    """Every store on every day of the past, by store, then date; sales are null where there is no row."""
    past = slice(0, len(history.dates))
    return (
        _rows(history, past)
        .append_column("sales", _nullable(history.sales))
        .append_column("customers", _nullable(history.customers))
    )


def _plan(history: SalesHistory) -> pa.Table:
    return _rows(history, slice(len(history.dates), None))


def _rows(history: SalesHistory, days: slice) -> pa.Table:
    dates = history.calendar.dates[days]
    number = history.stores.number
    keys = {"store": np.repeat(number, len(dates)), "date": np.tile(dates, len(number))}
    return pa.table(keys | {name: getattr(history.calendar, name)[:, days].ravel() for name in CODES})


def _nullable(values: np.ndarray) -> pa.Array:
    return pa.array(values.ravel(), from_pandas=True)


def _stores(stores: Stores) -> pa.Table:
    columns = asdict(stores)
    columns["competition_since"] = stores.competition_since.astype("datetime64[D]")  # its first day
    columns["promo2_months"] = pa.FixedSizeListArray.from_arrays(pa.array(stores.promo2_months.ravel()), 12)
    columns["competition_distance_m"] = _nullable(stores.competition_distance_m)
    return pa.table(columns)


def _history(days: pa.Table, plan: pa.Table, stores: pa.Table) -> SalesHistory:
    columns = {name: stores[name].to_numpy() for name in stores.column_names if name != "promo2_months"}
    columns["competition_since"] = columns["competition_since"].astype("datetime64[M]")
    columns["promo2_since"] = columns["promo2_since"].astype("datetime64[D]")
    months = stores["promo2_months"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    n = len(stores)

    def panel(table: pa.Table, name: str) -> np.ndarray:
        return table[name].to_numpy().reshape(n, -1)

    dates = np.concatenate([panel(t, "date")[0].astype("datetime64[D]") for t in (days, plan)])
    codes = {c: np.concatenate([panel(days, c), panel(plan, c)], axis=1) for c in CODES}
    return SalesHistory(
        Stores(**columns, promo2_months=months.reshape(n, 12)),
        Calendar(dates, **codes),
        panel(days, "sales"),
        panel(days, "customers"),
    )
