"""The rows of a chain with a chain.toml: labels of stores and entries of [known], beside the fields of every chain."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from rossmann.chain import Column
from rossmann.data.known_values import KnownValues
from rossmann.data.store_labels import unknown_store
from rossmann.features import State
from rossmann.serving.server.errors import ApiError, Problem, quote
from rossmann.serving.server.requests import FIELDS, ROW_COLUMNS, Earlier

STORE_FIELDS = tuple(name for name in ("store", *FIELDS) if FIELDS.get(name, name) == "store")
ROW_FIELDS = ROW_COLUMNS.keys() | FIELDS.keys() | {"quantiles", "plan", *Earlier.model_fields}
MAX_NUMBER = float(np.finfo(np.float32).max)
KINDS = {"number": "a number, or null", "flag": "true or false, or 1 or 0", "category": "a text, or null"}
SCHEMAS = {
    "number": {"type": ["number", "null"]},
    "flag": {"enum": [True, False, 0, 1, None]},
    "category": {"type": ["string", "null"]},
}


@dataclass(frozen=True)
class ChainFields:
    """How the rows of a request name the stores and the covariates of the loaded model's chain."""

    state: State

    @cached_property
    def covariates(self) -> Mapping[str, Column]:
        """The entries of [known] that a row may contain, but for those that are fields of every chain's rows."""
        return dict(self.state.chain.covariate_columns)

    @cached_property
    def numbers(self) -> Mapping[str, int]:
        """The number of each store by its label, and by the number in digits."""
        label, number = self.state.stores.label.tolist(), self.state.stores.number.tolist()
        return {str(each): each for each in number} | dict(zip(label, number, strict=True))

    def translate(self, rows: Sequence[object], numbers: Sequence[int | None]) -> tuple[list[object], KnownValues]:
        """The rows with the fields of every chain only, and the values of the others. Raises ApiError (422).

        What is no JSON object stays as it is. numbers: of the rows, for messages.
        """
        objects = [row if isinstance(row, dict) else {} for row in rows]
        problems = self._problems(objects, numbers)
        if first := next(problems, None):
            raise ApiError(422, chain([first], problems))
        values = {
            name: _column([row.get(name) for row in objects], column)
            for name, column in self.covariates.items()
            if any(name in row for row in objects)
        }
        return [self._plain(row) if isinstance(row, dict) else row for row in rows], values

    def schema(self, row: dict) -> dict:
        """The JSON schema of a row of this chain, from that of a row of every chain."""
        store = row["properties"]["store"]
        text = {"type": "string", "description": "The store's label in the chain's files."}
        covariates = {name: SCHEMAS[column.kind] for name, column in self.covariates.items()}
        return row | {"properties": row["properties"] | {"store": {"anyOf": [text, store]}} | covariates}

    def _plain(self, row: Mapping[str, Any]) -> dict[str, Any]:
        plain = {name: value for name, value in row.items() if name not in self.covariates}
        labels = {name: plain[name] for name in STORE_FIELDS if isinstance(plain.get(name), str)}
        return plain | {name: self.numbers[label] for name, label in labels.items()}

    def _problems(self, rows: Sequence[Mapping[str, object]], numbers: Sequence[int | None]) -> Iterator[Problem]:
        """Unknown labels, values that are not of their kind, and fields that no row has.

        Only the first unknown label is compared with the others: a comparison takes milliseconds.
        """
        is_first = True
        for row, number in zip(rows, numbers, strict=True):
            for name, value in row.items():
                if name in STORE_FIELDS and isinstance(value, str) and value not in self.numbers:
                    message = unknown_store(self.state, value) if is_first else f"store {quote(value)} has no history"
                    is_first = False
                    yield Problem(message, "store", number)
                elif name in self.covariates and not IS_VALID[self.covariates[name].kind](value):
                    message = f"{quote(value)} is not valid; expected {KINDS[self.covariates[name].kind]}"
                    yield Problem(message, name, number)
                elif name not in ROW_FIELDS and name not in self.covariates:
                    fields = ", ".join((*ROW_COLUMNS, *self.covariates))
                    yield Problem(f"there is no such field; the fields are {fields}", name, number)


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MAX_NUMBER)


IS_VALID: Mapping[str, Callable[[object], bool]] = {
    "number": _is_number,
    "flag": lambda value: value is None or (isinstance(value, int) and value in (0, 1)),
    "category": lambda value: value is None or isinstance(value, str),
}


def _column(values: list[object], column: Column) -> np.ndarray:
    """The values of all rows; NaN, or None of a category, where a row leaves them out."""
    return np.array(values, dtype=object if column.kind == "category" else float)
