"""What a chain's files call its stores. The doors read and write these labels; everything inside has store numbers."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Protocol

import numpy as np

from rossmann.chain import Chain
from rossmann.data.history import Stores

UNKNOWN_STORE = 0  # no store has this number
MAX_LABELS_NAMED = 3  # in a message
MIN_LIKENESS = 0.3  # of a label that is named, from 0 to 1
MAX_NAME_LENGTH = 40  # in a message, and of what labels are compared with


class StoresOfChain(Protocol):
    """A history, or the State of one."""

    @property
    def chain(self) -> Chain: ...

    @property
    def stores(self) -> Stores: ...


def row_labels(source: StoresOfChain, number: np.ndarray) -> np.ndarray | None:
    """The labels of these store numbers; None in Kaggle's files, whose stores have only numbers. str, same shape"""
    return None if source.chain.is_kaggle else source.stores.label[source.stores.positions(number)]


def store_names(source: StoresOfChain, number: np.ndarray) -> np.ndarray:
    """What a reader knows these stores by: their labels, or their numbers where there are no labels. Same shape"""
    labels = row_labels(source, number)
    return number if labels is None else labels


def labels_by_number(source: StoresOfChain) -> dict[int, str]:
    """The label of every store by its number; empty for Kaggle's files."""
    labels = row_labels(source, source.stores.number)
    return {} if labels is None else dict(zip(source.stores.number.tolist(), labels.tolist(), strict=True))


def numbers_of_labels(stores: Stores, labels: Sequence[str]) -> np.ndarray:
    """The numbers of the stores with these labels; UNKNOWN_STORE where there is none. int32 [labels]"""
    order = np.argsort(stores.label)
    in_order, text = stores.label[order], np.asarray(labels, dtype=str)
    position = np.minimum(np.searchsorted(in_order, text), len(order) - 1)
    return np.where(in_order[position] == text, stores.number[order][position], UNKNOWN_STORE).astype(np.int32)


def store_numbers(source: StoresOfChain, names: Sequence[object]) -> np.ndarray:
    """The numbers of the stores that a reader knows by these names; UNKNOWN_STORE where there is none. int32 [names]"""
    texts = [str(name).strip() for name in names]
    if not source.chain.is_kaggle:
        return numbers_of_labels(source.stores, texts)
    by_name = {str(number): number for number in source.stores.number.tolist()}
    return np.array([by_name.get(text, UNKNOWN_STORE) for text in texts], np.int32)


def unknown_store(source: StoresOfChain, name: object) -> str:
    """That no store has this label or number, and which ones there are."""
    stores, text = source.stores, str(name)[:MAX_NAME_LENGTH]
    if source.chain.is_kaggle:
        existing = f"there are {len(stores.number):,} stores from {stores.number[0]} to {stores.number[-1]}"
    else:
        nearest = get_close_matches(text, stores.label.tolist(), MAX_LABELS_NAMED, MIN_LIKENESS)
        count = f"of {len(stores.label):,} stores"
        existing = f"{count} the nearest are {', '.join(nearest)}" if nearest else f"none {count} has a label like it"
    return f"store {text} has no history; {existing}"
