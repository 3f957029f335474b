"""Version 0.2.0: plain names for tables, columns and two values of the monitoring tables."""

from alembic import op

revision, down_revision = "0003", "0002"

TABLES = {"findings": "drift_findings"}
COLUMNS = {
    "drift_findings": {"of": "subject", "story": "message"},
    "accuracy": {
        "squared": "squared_relative_error",
        "absolute": "absolute_error",
        "bounded": "interval_rows",
        "covered": "covered_rows",
    },
}
VALUES = {"name": {"promos_more_than_ever": "planned_promo_share"}, "subject": {"stores": "all stores"}}


def upgrade() -> None:
    for table, new_table in TABLES.items():
        op.rename_table(table, new_table)
    for table, columns in COLUMNS.items():
        for column, new_column in columns.items():
            op.execute(f'ALTER TABLE {table} RENAME COLUMN "{column}" TO {new_column}')  # SQLite and PostgreSQL alike
    for column, values in VALUES.items():
        for value, new_value in values.items():
            op.execute(f"UPDATE drift_findings SET {column} = '{new_value}' WHERE {column} = '{value}'")
