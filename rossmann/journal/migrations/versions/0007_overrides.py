"""Version 0.7.0: what planners write over forecasts."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0007", "0006"


def upgrade() -> None:
    op.create_table(
        "overrides",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("store", sa.Integer, nullable=False),
        sa.Column("label", sa.Text),
        sa.Column("date", sa.Date, nullable=False),
        sa.Column("forecast", sa.Float, nullable=False),
        sa.Column("model_version", sa.Integer, nullable=False),
        sa.Column("origin", sa.Date, nullable=False),
        sa.Column("amount", sa.Float),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("planner", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime, nullable=False),
    )
    op.create_index("overrides_by_day", "overrides", ["date", "store"])
    op.create_index("ix_overrides_at", "overrides", ["at"])
