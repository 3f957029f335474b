"""How a chain calls the slices of its rows and its stores, for the sentences and tables that people read."""

from collections.abc import Mapping
from dataclasses import dataclass

from rossmann.chain import KAGGLE_CHAIN
from rossmann.data import SalesHistory

SLICES = ("store_type", "promotion", "lead_week")  # columns of a backtest by which a verdict looks at its rows


@dataclass(frozen=True)
class Names:
    """The names of one chain."""

    slices: Mapping[str, str]  # of SLICES that the chain has, by column
    stores: Mapping[int, str]  # labels by number

    def store(self, number: int) -> str:
        """The label of a store; its number where it has none."""
        return self.stores.get(number, str(number))


NUMBERED_STORES = Names({column: KAGGLE_CHAIN.name_of(column) for column in SLICES}, {})  # Kaggle's files


def chain_names(history: SalesHistory) -> Names:
    """The names of the history's chain: an attribute, and promotions, only where it has them."""
    attributes = [name.replace(" ", "_") for name in history.chain.attributes[:1]]
    names = [("store_type", name) for name in attributes]
    names += [("promotion", history.chain.name_of("promotion"))] * history.has_column("promotion")
    names += [("lead_week", "lead_week")]
    return Names(dict(names), dict(zip(history.stores.number.tolist(), history.stores.label.tolist(), strict=True)))
