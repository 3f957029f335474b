"""What columns are called in snapshots and in their fingerprints, which never change: names before they had roles."""

from collections.abc import Mapping

STORED_NAMES: Mapping[str, str] = {  # by the name of the schema or of a field, where it is another one
    "promotion": "promo",
    "holiday_kind": "state_holiday",
    "school_break": "school_holiday",
    "later_holiday_kind": "later_state_holiday",
    "traffic": "customers",
}

FIRST_ATTRIBUTES = (("store_type", "type_name"), ("assortment", "assortment_name"))  # snapshots always have both


def stored_name(name: str) -> str:
    """What a column or a field of the history is called in snapshots."""
    return STORED_NAMES.get(name, name)


def attribute_names(count: int) -> list[tuple[str, str]]:
    """What the codes and the categories of so many attributes are called, and at least of two."""
    later = [(f"attribute_{number}", f"attribute_{number}_name") for number in range(3, count + 1)]
    return [*FIRST_ATTRIBUTES, *later]
