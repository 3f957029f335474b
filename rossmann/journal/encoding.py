"""Journal entries as bytes, for the log: their scalar fields as JSON, then their arrays one after the other."""

from collections import defaultdict
from datetime import datetime
from typing import Any

import numpy as np
from pydantic_core import from_json, to_json

from rossmann.data import Plan
from rossmann.journal.entries import BatchRows, ForecastRows, JournalEntry
from rossmann.journal.log_files import records
from rossmann.models import Forecast, Quantiles

LENGTH_BYTES = 4  # of the JSON, before it
PARTS = {"plan": Plan, "forecast": Forecast}  # the fields of ForecastRows that consist of arrays
LABELS = "rows"  # the part of the labels, if there are any


def encode_entry(entry: JournalEntry) -> bytes:
    """All of an entry."""
    fields = {name: value for name, value in vars(entry).items() if name != "answer"}
    fields |= {"at": entry.at.isoformat(), "origin": str(entry.origin)}
    arrays = _arrays(entry.answer)
    columns = [[part, name, values.dtype.str, values.shape] for part, name, values in arrays]
    quantiles = None if isinstance(entry.answer, BatchRows) else entry.answer.quantiles
    head = to_json({"fields": fields, "batch": entry.batch, "columns": columns, "quantiles": quantiles})
    return b"".join([len(head).to_bytes(LENGTH_BYTES, "little"), head, *(values.tobytes() for *_, values in arrays)])


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
        head = from_json(content[LENGTH_BYTES:start])
        fields = head["fields"]
        fields |= {"at": datetime.fromisoformat(fields["at"]), "origin": np.datetime64(fields["origin"], "D")}
        arrays: dict[str, dict[str, np.ndarray]] = defaultdict(dict)
        for part, name, dtype, shape in head["columns"]:
            arrays[part][name] = np.frombuffer(content, dtype, int(np.prod(shape)), start).reshape(shape)
            start += arrays[part][name].nbytes
        return JournalEntry(**fields, answer=_answer(head["batch"], arrays, head["quantiles"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"not a journal entry of this version, {type(error).__name__}: {error}") from error


def _arrays(answer: ForecastRows | BatchRows) -> list[tuple[str, str, np.ndarray]]:
    """The arrays of an answer, each with the part that it belongs to and its name there."""
    if isinstance(answer, BatchRows):
        return [("batch", "positions", answer.positions)]
    labels = [] if answer.label is None else [(LABELS, "label", answer.label)]
    return labels + [(part, name, values) for part in PARTS for name, values in vars(getattr(answer, part)).items()]


def _answer(
    batch: str | None, arrays: dict[str, dict[str, np.ndarray]], quantiles: dict | None
) -> ForecastRows | BatchRows:
    if batch is not None:
        return BatchRows(batch, **arrays["batch"])
    parts: dict[str, Any] = {part: build(**arrays[part]) for part, build in PARTS.items()}
    parts["quantiles"] = Quantiles.of_document(quantiles) if quantiles else None
    return ForecastRows(**parts | arrays[LABELS])
