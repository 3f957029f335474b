"""Version 0.7.0: slices and statistics have the names of the roles of covariates, which no chain's files have."""

from alembic import op

revision, down_revision = "0008", "0007"

SLICES = {"store_type": "attribute", "promo": "promotion"}
STATISTICS = {
    "customers_frozen": "traffic_frozen",
    "promo_inverted": "promotion_inverted",
    "promo_share": "promotion_share",
    "promo_uplift_gone": "promotion_uplift_gone",
    "planned_promo_share": "planned_promotion_share",
}


def upgrade() -> None:
    for name, new_name in SLICES.items():
        op.execute(f"UPDATE accuracy SET slice = '{new_name}' WHERE slice = '{name}'")
    for name, new_name in STATISTICS.items():
        op.execute(f"UPDATE drift_findings SET name = '{new_name}' WHERE name = '{name}'")
