"""The table that Kaggle's competition accepts as a submission."""

import pandas as pd

from rossmann.data.kaggle.columns import SUBMISSION_COLUMNS


def kaggle_submission(table: pd.DataFrame) -> pd.DataFrame:
    """Id and Sales of a forecast table, in its order. Without a column `id`, rows are numbered from 1."""
    ids = table["id"] if "id" in table else pd.Series(range(1, len(table) + 1), table.index)
    return pd.DataFrame(dict(zip(SUBMISSION_COLUMNS, (ids, table["forecast"]), strict=True)))
