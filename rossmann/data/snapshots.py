"""Versions of the history. A version never changes, is named by a hash of its content, and is complete or absent.

`<root>/<fingerprint>/` has days, plan and stores as Parquet files, chain.toml if there is one, and the manifest, which
is written last: without it there is no snapshot. The file `<root>/current` names the snapshot in use. `root` is a
folder or an s3:// address.
"""

import hashlib
import json
import logging
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from rossmann.chain import CHAIN_FILE, Chain, parse_chain
from rossmann.data.history import Calendar, SalesHistory, Stores
from rossmann.data.kaggle.store_attributes import StoreAttributes
from rossmann.data.stored_names import attribute_names, stored_name
from rossmann.schema import ACTUAL_COLUMNS, CALENDAR_COLUMNS, PLAN_COLUMNS
from rossmann.storage import Storage
from rossmann.validation import DataError

MANIFEST, CURRENT = "manifest.json", "current"
DIGEST = "digest"  # the field of the manifest with the hash of the others
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Snapshot:
    """Metadata of one snapshot. Dates are ISO text."""

    fingerprint: str
    created: str  # date and time, by the caller's clock
    rows: int  # days of stores that have a row
    stores: int
    first_day: str
    origin: str
    plan_end: str
    parent: str | None  # fingerprint of the snapshot that was current before
    source: str  # folder or s3:// address of the raw files
    as_of: str | None
    current: bool


def save_snapshot(history: SalesHistory, root: str, created: datetime, source: str, as_of: date | None = None) -> str:
    """Store the history and make it the current snapshot. Returns its fingerprint.

    A snapshot with the same content that is complete already is not written again.
    """
    fingerprint = history.fingerprint
    snapshots = Storage(str(root))
    if not _is_complete(snapshots.subfolder(fingerprint)):
        parent = _read_current(snapshots)
        contents = {
            "days.parquet": _parquet(_days_table(history)),
            "plan.parquet": _parquet(_plan_table(history)),
            "stores.parquet": _parquet(_stores_table(history)),
        }
        if not history.chain.is_kaggle:
            contents["later_holidays.parquet"] = _parquet(_later_table(history.calendar, history.stores))
            contents[CHAIN_FILE] = history.chain.text.encode()
        about = {
            "fingerprint": fingerprint,
            "created": created.isoformat(timespec="seconds"),
            "rows": int((~np.isnan(history.sales)).sum()),
            "stores": len(history.stores.number),
            "first_day": str(history.dates[0]),
            "origin": str(history.origin),
            "plan_end": str(history.calendar.dates[-1]),
            "parent": None if parent == fingerprint else parent,
            "source": source,
            "as_of": as_of.isoformat() if as_of else None,
        }
        _write(snapshots.subfolder(fingerprint), contents, about)
    snapshots.write(CURRENT, f"{fingerprint}\n".encode())
    return fingerprint


def load_snapshot(root: str, fingerprint: str | None = None) -> SalesHistory:
    """The history of a snapshot, by its fingerprint or the first characters of it; by default of the current one.

    Raises DataError if there is no such snapshot or a file of it was changed.
    """
    snapshot = Storage(str(root)).subfolder(resolve_snapshot(root, fingerprint))
    contents = {
        name: _read_file(snapshot, name, expected) for name, expected in _read_manifest(snapshot)["files"].items()
    }
    chain = parse_chain(contents.pop(CHAIN_FILE, b"").decode())
    tables = {name: parquet.read_table(pa.BufferReader(content)) for name, content in contents.items()}
    history = _history(tables["days.parquet"], tables["plan.parquet"], tables["stores.parquet"], chain)
    if "later_holidays.parquet" not in tables:
        return history
    return replace(history, calendar=_with_later_holidays(history.calendar, tables["later_holidays.parquet"]))


def load_chain(root: str, fingerprint: str) -> Chain:
    """How the files of a snapshot are described, by its whole fingerprint. DataError if it is damaged."""
    snapshot = Storage(str(root)).subfolder(fingerprint)
    expected = _read_manifest(snapshot)["files"].get(CHAIN_FILE)
    return parse_chain(_read_file(snapshot, CHAIN_FILE, expected).decode() if expected else "")


def list_snapshots(root: str) -> list[Snapshot]:
    """All snapshots, the oldest first. One whose manifest is damaged is left out, with a warning in the log."""
    snapshots = []
    for name in _fingerprints(Storage(str(root))):
        try:
            snapshots.append(describe_snapshot(root, name))
        except DataError as error:
            log.warning("left out: %s", error)
    return sorted(snapshots, key=lambda snapshot: (snapshot.created, snapshot.fingerprint))


def describe_snapshot(root: str, fingerprint: str) -> Snapshot:
    """The metadata of a snapshot, by its whole fingerprint. Raises DataError if its manifest is damaged."""
    storage = Storage(str(root))
    about = {key: value for key, value in _read_manifest(storage.subfolder(fingerprint)).items() if key != "files"}
    return Snapshot(**about, current=fingerprint == _read_current(storage))


def is_snapshot(root: str, fingerprint: str) -> bool:
    """Whether there is a complete snapshot with this fingerprint."""
    return _is_complete(Storage(root).subfolder(fingerprint))


def current_snapshot(root: str) -> str:
    """The fingerprint of the snapshot in use. Raises DataError if there is none."""
    snapshots = Storage(str(root))
    fingerprint = find_current(root)
    if fingerprint is None:
        raise DataError(f"There is no snapshot in {snapshots.address('')} yet. Make one: rossmann ingest --raw DIR")
    try:
        return resolve_snapshot(root, fingerprint)
    except DataError as error:
        advice = "Choose one: rossmann snapshots restore FINGERPRINT"
        raise DataError(f"{snapshots.address(CURRENT)} is damaged: {error} {advice}") from error


def find_current(root: str) -> str | None:
    """What `<root>/current` names, whether or not that snapshot is complete; None if there is no such file."""
    return _read_current(Storage(str(root)))


def current_since(root: str) -> datetime:
    """When the current snapshot was set last, by the clock of the disk or the object store. There must be one."""
    return next(file.modified for file in Storage(str(root)).files() if file.name == CURRENT)


def restore_snapshot(root: str, fingerprint: str) -> str:
    """Make an older snapshot the current one. Returns its whole fingerprint. Raises DataError for a damaged one."""
    whole = resolve_snapshot(root, fingerprint)
    load_snapshot(root, whole)
    Storage(str(root)).write(CURRENT, f"{whole}\n".encode())
    return whole


def remove_snapshot(root: str, fingerprint: str) -> None:
    """Delete a snapshot. Raises DataError for the current one."""
    snapshots = Storage(str(root))
    if fingerprint == _read_current(snapshots):
        raise DataError(f"{fingerprint} is the current snapshot; it cannot be deleted.")
    snapshots.delete_folder(fingerprint, first=MANIFEST)


def resolve_snapshot(root: str, fingerprint: str | None = None) -> str:
    """The whole fingerprint from its first characters; by default of the current snapshot.

    Raises DataError if no snapshot or several snapshots have it.
    """
    if fingerprint is None:
        return current_snapshot(root)
    names = _fingerprints(Storage(str(root)))
    matches = [name for name in names if name.startswith(fingerprint)] if fingerprint else []
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise DataError(f"{fingerprint} could be {', '.join(matches)}: write more of the fingerprint.")
    existing = f"There are {', '.join(names)}" if names else "There are none"
    raise DataError(f"There is no snapshot {fingerprint or '(empty)'}. {existing} (rossmann snapshots).")


def _fingerprints(snapshots: Storage) -> list[str]:
    return [name for name in snapshots.folders() if snapshots.exists(f"{name}/{MANIFEST}")]


def _read_manifest(snapshot: Storage) -> dict[str, Any]:
    """The fields of Snapshot except `current`, and the hashes of the `files`. Raises DataError for anything else.

    Manifests of versions before 0.3.0 have no digest: they are read unverified.
    """
    try:
        manifest = json.loads(snapshot.read(MANIFEST))
        if manifest.pop(DIGEST, None) not in (None, _digest(manifest)):
            raise ValueError("other values than were written")
        datetime.fromisoformat(manifest["created"])
        if manifest.keys() != {*(field.name for field in fields(Snapshot)), "files"} - {"current"}:
            raise ValueError("other fields than were written")
    except (ValueError, TypeError, KeyError, AttributeError, FileNotFoundError):
        raise _damaged(snapshot, MANIFEST) from None
    return manifest


def _damaged(snapshot: Storage, name: str) -> DataError:
    return DataError(
        f"A snapshot is damaged: {snapshot.address(name)} is missing or was changed."
        " Ingest its raw files again, or restore another one (rossmann snapshots restore)."
    )


def _read_current(snapshots: Storage) -> str | None:
    return snapshots.read(CURRENT).decode(errors="replace").strip() if snapshots.exists(CURRENT) else None


def _parquet(table: pa.Table) -> bytes:
    buffer = pa.BufferOutputStream()
    parquet.write_table(table, buffer, compression="zstd")
    return buffer.getvalue().to_pybytes()


def _write(snapshot: Storage, contents: dict[str, bytes], about: dict[str, object]) -> None:
    hashes = {}
    for name, content in contents.items():
        hashes[name] = hashlib.sha256(content).hexdigest()
        snapshot.write(name, content)
    manifest = {**about, "files": hashes}
    snapshot.write(MANIFEST, json.dumps({**manifest, DIGEST: _digest(manifest)}, indent=2).encode())


def _digest(manifest: dict[str, object]) -> str:
    """A hash of all other fields of a manifest."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _read_file(snapshot: Storage, name: str, expected: str) -> bytes:
    """The content of a file whose SHA-256 is `expected`, as the manifest has it. DataError if it has another."""
    content = snapshot.read(name) if snapshot.exists(name) else b""
    if hashlib.sha256(content).hexdigest() != expected:
        raise _damaged(snapshot, name)
    return content


def _is_complete(snapshot: Storage) -> bool:
    """Whether the manifest exists and every file has the content that was written."""
    if not snapshot.exists(MANIFEST):
        return False
    try:
        hashes = _read_manifest(snapshot)["files"]
    except DataError:
        return False
    return all(
        snapshot.exists(name) and hashlib.sha256(snapshot.read(name)).hexdigest() == expected
        for name, expected in hashes.items()
    )


def _days_table(history: SalesHistory) -> pa.Table:
    """Every store on every day of the past, ordered by store, then date; sales are null where there is no row."""
    table = _calendar_table(history, slice(0, len(history.dates)))
    for name in ACTUAL_COLUMNS:
        table = table.append_column(stored_name(name), _null_for_nan(getattr(history, name)))
    return table


def _plan_table(history: SalesHistory) -> pa.Table:
    """Every store on every day after the origin."""
    return _calendar_table(history, slice(len(history.dates), None))


def _calendar_table(history: SalesHistory, days: slice) -> pa.Table:
    dates = history.calendar.dates[days]
    number = history.stores.number
    keys = {"store": np.repeat(number, len(dates)), "date": np.tile(dates, len(number))}
    columns = {stored_name(name): getattr(history.calendar, name)[:, days].ravel() for name in CALENDAR_COLUMNS}
    covariates = zip(history.calendar.covariate_names.tolist(), history.calendar.covariates, strict=True)
    return pa.table(keys | columns | {name: values[:, days].ravel() for name, values in covariates})


def _later_table(calendar: Calendar, stores: Stores) -> pa.Table:
    """Every store on every day after the plan: its holidays."""
    later = dict(zip(calendar.covariate_names.tolist(), calendar.later_covariates, strict=True))
    panels = {stored_name("holiday_kind"): calendar.later_holiday_kind} | later
    number = np.repeat(stores.number, calendar.later_holiday_kind.shape[1])
    return pa.table({"store": number} | {name: values.ravel() for name, values in panels.items()})


def _with_later_holidays(calendar: Calendar, table: pa.Table) -> Calendar:
    shape = (len(calendar.open), -1)
    later = [table[name].to_numpy().reshape(shape) for name in calendar.covariate_names.tolist()]
    return replace(
        calendar,
        later_holiday_kind=table[stored_name("holiday_kind")].to_numpy().reshape(shape),
        later_covariates=np.stack(later) if later else np.zeros((0, len(calendar.open), 0), np.float32),
    )


def _null_for_nan(values: np.ndarray) -> pa.Array:
    return pa.array(values.ravel(), from_pandas=True)


def _stores_table(history: SalesHistory) -> pa.Table:
    kaggle = history.stores.kaggle
    columns = history.stores.stored_columns(has_names=not history.chain.is_kaggle)
    columns["competition_since"] = kaggle.competition_since.astype("datetime64[D]")  # the first day of the month
    columns["promo2_months"] = pa.FixedSizeListArray.from_arrays(pa.array(kaggle.promo2_months.ravel()), 12)
    columns["competition_distance_m"] = _null_for_nan(kaggle.competition_distance_m)
    return pa.table(columns)


def _history(days: pa.Table, plan: pa.Table, stores: pa.Table, chain: Chain) -> SalesHistory:
    """The history of the three tables of a snapshot."""

    def panel(table: pa.Table, name: str) -> np.ndarray:
        return table[stored_name(name)].to_numpy().reshape(len(stores), -1)

    dates = np.concatenate([panel(table, "date")[0].astype("datetime64[D]") for table in (days, plan)])
    calendar = {name: np.concatenate([panel(days, name), panel(plan, name)], axis=1) for name in CALENDAR_COLUMNS}
    actuals = {name: panel(days, name) for name in ACTUAL_COLUMNS}
    names = [name for name in plan.column_names if name not in map(stored_name, PLAN_COLUMNS)]
    covariates = [np.concatenate([panel(days, name), panel(plan, name)], axis=1) for name in names]
    extra = {"covariate_names": np.array(names), "covariates": np.stack(covariates)} if names else {}
    return SalesHistory(_stores(stores, chain), Calendar(dates, **calendar, **extra), **actuals, chain=chain)


def _stores(table: pa.Table, chain: Chain) -> Stores:
    columns = {name: table[name].to_numpy() for name in table.column_names if name != "promo2_months"}
    attributes = [(columns.pop(code), columns.pop(name, None)) for code, name in attribute_names(len(chain.attributes))]
    codes, names = zip(*attributes[: len(chain.attributes)], strict=True) if chain.attributes else ((), ())
    shape = (len(table), len(chain.attributes))
    columns["attribute_codes"] = np.stack(codes, axis=1) if codes else np.zeros(shape, np.int8)
    if "label" in columns:
        columns["label"] = columns["label"].astype(str)
        columns["attributes"] = np.stack(names, axis=1).astype(str) if names else np.zeros(shape, "U1")
    months = table["promo2_months"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    kaggle = StoreAttributes(
        competition_distance_m=columns.pop("competition_distance_m"),
        competition_since=columns.pop("competition_since").astype("datetime64[M]"),
        promo2=columns.pop("promo2"),
        promo2_since=columns.pop("promo2_since").astype("datetime64[D]"),
        promo2_months=months.reshape(len(table), 12),
    )
    return Stores(**columns, kaggle=kaggle)
