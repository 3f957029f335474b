"""Contracts of a chain's files. They use the files' own column names, since a user corrects the files."""

import numpy as np
import pandas as pd

from rossmann.chain import Chain
from rossmann.data.chain_files.reading import ChainTables
from rossmann.data.day_rules import amount_rules, daily, no_isolated_dates, plausible_date, unusable_rows
from rossmann.validation import Column, Contract, Rule, StageReport, Violation, check_contracts
from rossmann.validation.contract import DATE, NUMBER, TEXT
from rossmann.validation.rules import flags_are_0_or_1, one_row_per_store_and_day

OPTIONAL = Column(NUMBER, may_be_empty=True)


def check_chain(tables: ChainTables, chain: Chain) -> StageReport:
    """Check the rows of a chain's files. Raises ValidationError with all violations in all files."""
    contracts = [(_days_contract(chain), tables.days)]
    if tables.plan is not None and len(tables.plan):
        contracts.append((_plan_contract(chain), tables.plan))
    contracts += [(_static_contract(chain, name), table) for name, table in tables.static.items()]
    return check_contracts("raw data", contracts)


def unusable_amounts(days: pd.DataFrame, chain: Chain) -> tuple[np.ndarray, tuple[Violation, ...]]:
    """Rows whose sales or customers are empty or cannot be right, but for those that chain.toml accepts.

    bool [rows], and why. These rows are set aside: the day counts as unknown, and the others are used.
    """
    names, key = chain.days, days[chain.days.store] + "@" + days[chain.days.date.column].dt.strftime("%Y-%m-%d")
    amounts = [name for name in (names.sales, names.customers) if name]
    contract = Contract("days", {}, amount_rules(names.store, names.open, amounts), (names.store, names.date.column))
    candidates = days[~key.isin(names.accept)]
    is_unusable = pd.Series(False, days.index)
    is_unusable[candidates.index], violations = unusable_rows(contract, candidates)
    return is_unusable.to_numpy(), violations


def _days_contract(chain: Chain) -> Contract:
    days, date = chain.days, chain.days.date.column
    amounts = {name: OPTIONAL for name in (days.sales, days.open, days.customers) if name}
    rules = (*_key_rules(chain), daily(date), no_isolated_dates(date))
    return Contract("days", _keys(chain) | amounts, rules, (days.store, date))


def _plan_contract(chain: Chain) -> Contract:
    opened = {chain.days.open: OPTIONAL} if chain.days.open else {}
    return Contract("plan", _keys(chain) | opened, _key_rules(chain), (chain.days.store, chain.days.date.column))


def _keys(chain: Chain) -> dict[str, Column]:
    return {chain.days.store: Column(TEXT), chain.days.date.column: Column(DATE)}


def _key_rules(chain: Chain) -> tuple[Rule, ...]:
    store, date = chain.days.store, chain.days.date.column
    flags = flags_are_0_or_1([chain.days.open]) if chain.days.open else ()
    return (plausible_date(date), one_row_per_store_and_day(store, date), *flags)


def _static_contract(chain: Chain, name: str) -> Contract:
    store = chain.days.store
    one_row = Rule(
        "one_row_per_store",
        "more than one row for the store",
        "Keep one of them.",
        (store,),
        lambda table: ~table[store].duplicated(keep=False) | table[store].isna(),
    )
    return Contract(f"static.{name}", {store: Column(TEXT)}, (one_row,), (store,))
