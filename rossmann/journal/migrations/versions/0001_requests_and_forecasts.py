"""Requests and the forecasts that were returned."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None


def upgrade() -> None:
    op.create_table(
        "requests",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.Column("source", sa.String(8), nullable=False),
        sa.Column("model_version", sa.Integer, nullable=False),
        sa.Column("snapshot", sa.String(16), nullable=False),
        sa.Column("origin", sa.Date, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("latency_ms", sa.Float, nullable=False),
    )
    op.create_index("ix_requests_at", "requests", ["at"])
    op.create_table(
        "forecasts",
        sa.Column("request_id", sa.String(64), sa.ForeignKey("requests.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("store", sa.Integer, nullable=False),
        sa.Column("date", sa.Date, nullable=False),
        sa.Column("lead_days", sa.Integer, nullable=False),
        sa.Column("forecast", sa.Float, nullable=False),
        sa.Column("lower", sa.Float),
        sa.Column("upper", sa.Float),
        sa.Column("open", sa.Boolean, nullable=False),
        sa.Column("promo", sa.Boolean, nullable=False),
        sa.Column("state_holiday", sa.String(1), nullable=False),
        sa.Column("school_holiday", sa.Boolean, nullable=False),
    )
    op.create_index("forecasts_by_day", "forecasts", ["date", "store"])
