"""Version 0.5.0: what the quantiles of a forecast are computed from.

Earlier forecasts have their two bounds only.
"""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0005", "0004"


def upgrade() -> None:
    op.add_column("requests", sa.Column("quantiles", sa.JSON))
    op.add_column("forecasts", sa.Column("standard_deviation", sa.Float))
