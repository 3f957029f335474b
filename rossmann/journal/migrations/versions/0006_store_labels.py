"""Version 0.6.0: what the chain's files call the store of a forecast.

Earlier forecasts are of stores that have only numbers.
"""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0006", "0005"


def upgrade() -> None:
    op.add_column("forecasts", sa.Column("label", sa.Text))
