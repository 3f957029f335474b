"""The State of a snapshot in a file beside it: fitted once, read by every process that forecasts from the snapshot.

The file's first line is the SHA-256 of the rest, which is numpy's npz. Its name has the code version, because other
code fits another State. A file that is missing or damaged is written again.
"""

import hashlib
import io
import logging
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from rossmann.chain import parse_chain
from rossmann.data import Calendar, StoreAttributes, Stores, load_snapshot
from rossmann.features.levels import Levels
from rossmann.features.school_breaks import SchoolBreaks
from rossmann.features.state import State, fit_state
from rossmann.features.store_ridge import StoreRidge
from rossmann.features.weekdays import Weekdays
from rossmann.provenance import code_version
from rossmann.storage import Storage

log = logging.getLogger(__name__)

PREFIX = "state-"  # of the file's name, before the code version
PARTS = {
    "stores": Stores,
    "calendar": Calendar,
    "breaks": SchoolBreaks,
    "weekdays": Weekdays,
    "levels": Levels,
    "ridge": StoreRidge,
}  # of a State
INNER_PARTS = {"stores.kaggle": StoreAttributes}


def load_state(snapshots: str, fingerprint: str) -> State:
    """The State of a snapshot on its origin, read from its file; where there is none, fitted and written.

    DataError if the State must be fitted and the snapshot is missing or damaged.
    """
    folder = Storage(snapshots).subfolder(fingerprint)
    if folder.exists(file_name()) and (state := _decode(folder.read(file_name()))):
        return state
    state = fit_state(load_snapshot(snapshots, fingerprint))
    save_state(snapshots, fingerprint, state)
    return state


def save_state(snapshots: str, fingerprint: str, state: State) -> None:
    """Write the State beside its snapshot, in place of those of other code versions.

    If the storage cannot be written, later readers fit the State again.
    """
    folder = Storage(snapshots).subfolder(fingerprint)
    try:
        folder.write(file_name(), _encode(state))
        for name in folder.file_names():
            if name.startswith(PREFIX) and name != file_name():
                folder.delete_if_exists(name)
    except OSError as error:
        log.warning("the State of snapshot %s is not stored, and will be fitted again: %s", fingerprint, error)


def file_name() -> str:
    """The name of the State's file in the folder of its snapshot."""
    return f"{PREFIX}{code_version()}"


def _encode(state: State) -> bytes:
    arrays = {"origin": np.array(state.origin), "chain": np.array(state.chain.text)}
    for part in PARTS:
        arrays |= _arrays(part, getattr(state, part))
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    content = buffer.getvalue()
    return f"{_digest(content)}\n".encode() + content


def _decode(file: bytes) -> State | None:
    """What `_encode` wrote; None if any byte of it has changed."""
    digest, _, content = file.partition(b"\n")
    if _digest(content).encode() != digest:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        parts = {part: _part(part, kind, arrays) for part, kind in PARTS.items()}
        return State(origin=arrays["origin"][()], chain=parse_chain(str(arrays["chain"])), **parts)


def _arrays(name: str, value: Any) -> dict[str, np.ndarray]:
    """The arrays of a part of the State, also of parts of it, by the names of the fields."""
    if not is_dataclass(value):
        return {name: value}
    of_fields = (_arrays(f"{name}.{field.name}", getattr(value, field.name)) for field in fields(value))
    return {key: array for arrays in of_fields for key, array in arrays.items()}


def _part(name: str, kind: type, arrays: Mapping[str, np.ndarray]) -> Any:
    """The part of the State whose arrays `_arrays` has named."""
    values = {}
    for field in fields(kind):
        key = f"{name}.{field.name}"
        values[field.name] = _part(key, INNER_PARTS[key], arrays) if key in INNER_PARTS else arrays[key]
    return kind(**values)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
