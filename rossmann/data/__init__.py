"""The sales history as one dense panel of stores × days: reading, cleaning, versions."""

from rossmann.data.panel import (
    ASSORTMENTS,
    STATE_HOLIDAYS,
    STORE_TYPES,
    Calendar,
    Outcomes,
    Plan,
    SalesHistory,
    Stores,
)

__all__ = [
    "ASSORTMENTS",
    "STATE_HOLIDAYS",
    "STORE_TYPES",
    "Calendar",
    "Outcomes",
    "Plan",
    "SalesHistory",
    "Stores",
]
