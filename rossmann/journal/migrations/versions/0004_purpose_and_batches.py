"""Version 0.3.0: what a request was for, and answers that refer to the rows of a stored batch.

Earlier requests over HTTP become questions, since nobody recorded which of them had the published plan.
"""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0004", "0003"


def upgrade() -> None:
    op.add_column("requests", sa.Column("purpose", sa.String(16), nullable=False, server_default="operational"))
    op.add_column("requests", sa.Column("batch", sa.String(64)))
    op.add_column("requests", sa.Column("positions", sa.Text))
    op.create_index("ix_requests_batch", "requests", ["batch"])
    op.execute("UPDATE requests SET purpose = 'question' WHERE source = 'http'")
