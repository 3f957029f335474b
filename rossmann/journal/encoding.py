"""Journal entries as bytes, for the log: their scalar fields as JSON, then their arrays one after the other."""

import json
from datetime import datetime

import numpy as np

from rossmann.data import Plan
from rossmann.journal.log_files import records
from rossmann.journal.tables import JournalEntry
from rossmann.models import Forecast

LENGTH_BYTES = 4  # of the JSON, before it
PARTS = {"plan": Plan, "forecast": Forecast}  # the fields of an entry that consist of arrays


def encode_entry(entry: JournalEntry) -> bytes:
    """All of an entry."""
    arrays = {(part, name): values for part in PARTS for name, values in vars(getattr(entry, part)).items()}
    fields = {name: value for name, value in vars(entry).items() if name not in PARTS}
    fields |= {"at": entry.at.isoformat(), "origin": str(entry.origin)}
    columns = [[part, name, values.dtype.str, len(values)] for (part, name), values in arrays.items()]
    head = json.dumps({"fields": fields, "columns": columns}).encode()
    return b"".join(
        [len(head).to_bytes(LENGTH_BYTES, "little"), head, *(values.tobytes() for values in arrays.values())]
    )


def read_log(content: bytes) -> tuple[list[JournalEntry], list[tuple[int, str]]]:
    """The entries of a log file; and for each that cannot be read, its number of rows and the reason."""
    entries, unreadable = [], []
    for record in records(content):
        if not record.intact:
            unreadable.append((record.rows, "its bytes are not those that were written"))
            continue
        try:
            entries.append(decode_entry(record.content))
        except ValueError as error:
            unreadable.append((record.rows, str(error)))
    return entries, unreadable


def decode_entry(content: bytes) -> JournalEntry:
    """The entry of `encode_entry`. ValueError for the content of another version of this code."""
    try:
        start = LENGTH_BYTES + int.from_bytes(content[:LENGTH_BYTES], "little")
        head = json.loads(content[LENGTH_BYTES:start])
        fields = head["fields"]
        fields |= {"at": datetime.fromisoformat(fields["at"]), "origin": np.datetime64(fields["origin"], "D")}
        arrays: dict[str, dict[str, np.ndarray]] = {part: {} for part in PARTS}
        for part, name, dtype, length in head["columns"]:
            arrays[part][name] = np.frombuffer(content, dtype, length, start)
            start += arrays[part][name].nbytes
        return JournalEntry(**fields, **{part: build(**arrays[part]) for part, build in PARTS.items()})
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"not a journal entry of this version, {type(error).__name__}: {error}") from error
