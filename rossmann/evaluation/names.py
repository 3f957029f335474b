"""How a chain calls the slices of its rows and its stores, for the sentences and tables that people read."""

from collections.abc import Mapping
from dataclasses import dataclass

from rossmann.chain import KAGGLE_CHAIN, Chain
from rossmann.data import SalesHistory

# Columns of a backtest by which a verdict looks at its rows. The attribute is the first of the chain's.
SLICES = ("attribute", "promotion", "lead_week")


@dataclass(frozen=True)
class Names:
    """The names of one chain."""

    slices: Mapping[str, str]  # of SLICES that the chain has, by column
    stores: Mapping[int, str]  # labels by number

    def store(self, number: int) -> str:
        """The label of a store; its number where it has none."""
        return self.stores.get(number, str(number))


def _slice_names(chain: Chain) -> dict[str, str]:
    """What a chain calls SLICES, by column; without the attribute where it has none."""
    first = dict(zip(("attribute",), chain.attribute_columns, strict=False))
    return {**first, "promotion": chain.name_of("promotion"), "lead_week": "lead_week"}


NUMBERED_STORES = Names(_slice_names(KAGGLE_CHAIN), {})  # Kaggle's files


def chain_names(history: SalesHistory) -> Names:
    """The names of the history's chain: an attribute, and promotions, only where it has them."""
    slices = _slice_names(history.chain)
    if not history.has_column("promotion"):
        del slices["promotion"]
    return Names(slices, dict(zip(history.stores.number.tolist(), history.stores.label.tolist(), strict=True)))
