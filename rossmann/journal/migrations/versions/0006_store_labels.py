"""Version 0.6.0: what the chain's files call the store of a forecast, and room for the names of any chain.

Earlier forecasts are of stores that have only numbers.
"""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0006", "0005"


def upgrade() -> None:
    op.add_column("forecasts", sa.Column("label", sa.Text))
    if op.get_context().dialect.name != "sqlite":  # which has no limits of length
        op.alter_column("accuracy", "value", type_=sa.Text)
        op.alter_column("drift_findings", "subject", type_=sa.Text)
