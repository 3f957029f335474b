"""Daily accuracy of the forecasts, daily traffic of the endpoint, and drift findings."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"


def upgrade() -> None:
    op.create_table(
        "accuracy",
        sa.Column("date", sa.Date, primary_key=True),
        sa.Column("source", sa.String(8), primary_key=True),
        sa.Column("model_version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("slice", sa.String(16), primary_key=True),
        sa.Column("value", sa.String(16), primary_key=True),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("squared", sa.Float, nullable=False),
        sa.Column("absolute", sa.Float, nullable=False),
        sa.Column("error", sa.Float, nullable=False),
        sa.Column("sales", sa.Float, nullable=False),
        sa.Column("bounded", sa.Integer, nullable=False),
        sa.Column("covered", sa.Integer, nullable=False),
    )
    op.create_table(
        "traffic",
        sa.Column("date", sa.Date, primary_key=True),
        sa.Column("source", sa.String(8), primary_key=True),
        sa.Column("requests", sa.Integer, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("p50_ms", sa.Float, nullable=False),
        sa.Column("p99_ms", sa.Float, nullable=False),
    )
    op.create_table(
        "findings",
        sa.Column("date", sa.Date, primary_key=True),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("of", sa.String(64), primary_key=True),
        sa.Column("effect", sa.Float),
        sa.Column("limit", sa.Float),
        sa.Column("alarm", sa.Boolean, nullable=False),
        sa.Column("since", sa.Date),
        sa.Column("reference", sa.String(64), nullable=False),
        sa.Column("story", sa.Text, nullable=False),
    )
