"""Spill files: journal entries that a shutdown could not write to the database, as one npz file.

The array "entries" is JSON, a list of the entries' scalar fields. The arrays of entry number i are called
"i.plan.store", "i.forecast.sales" and so on.
"""

import io
import json
import zipfile
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile

from rossmann.data import Plan
from rossmann.journal.tables import JournalEntry
from rossmann.models import Forecast


def encode_entries(entries: Sequence[JournalEntry]) -> bytes:
    """The content of a spill file."""
    arrays = {"entries": np.array(json.dumps([_scalar_fields(entry) for entry in entries]))}
    for number, entry in enumerate(entries):
        for part in ("plan", "forecast"):
            arrays |= {f"{number}.{part}.{name}": values for name, values in vars(getattr(entry, part)).items()}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def decode_entries(content: bytes) -> list[JournalEntry]:
    """The entries of a spill file. ValueError for content that is none."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            fields_of_entries = json.loads(str(arrays["entries"]))
            return [_decode_entry(arrays, number, fields) for number, fields in enumerate(fields_of_entries)]
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"not a spill file, {type(error).__name__}: {error}") from error


def _decode_entry(arrays: NpzFile, number: int, fields: dict[str, Any]) -> JournalEntry:
    return JournalEntry(
        **fields | {"at": datetime.fromisoformat(fields["at"]), "origin": np.datetime64(fields["origin"], "D")},
        plan=Plan(**_part(arrays, f"{number}.plan.")),
        forecast=Forecast(**_part(arrays, f"{number}.forecast.")),
    )


def _scalar_fields(entry: JournalEntry) -> dict[str, object]:
    """The fields without arrays, as JSON can represent them."""
    fields = {name: value for name, value in vars(entry).items() if name not in ("plan", "forecast")}
    return fields | {"at": entry.at.isoformat(), "origin": str(entry.origin)}


def _part(arrays: NpzFile, prefix: str) -> dict[str, np.ndarray]:
    """The arrays whose names start with the prefix, by the rest of their names."""
    return {name.removeprefix(prefix): arrays[name] for name in arrays.files if name.startswith(prefix)}
