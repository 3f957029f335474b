"""The blocks of the page about Python run in its order, and give the numbers of the command line."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flows import delivery
from tests.support.operations import operations

PAGE = Path(__file__).parents[1] / "docs/python.md"
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def ops(noisy, tmp_path_factory, new_mlflow_database):
    folder = tmp_path_factory.mktemp("python")
    new_mlflow_database(folder)
    return operations(folder, noisy)


def test_the_blocks_of_the_page_give_the_forecast_of_the_command_and_its_reasons(ops, monkeypatch, capsys):
    monkeypatch.setenv("ROSSMANN_DATA_DIR", ops.settings.data_dir)
    delivered = delivery.deliver_and_record(ops.settings, None, None, kaggle=False)
    names: dict = {}
    for block in BLOCK.findall(PAGE.read_text()):
        exec(block, names)
    written = pd.read_parquet(delivered.file.replace(".csv", ".parquet"))
    pd.testing.assert_frame_equal(names["table"], written, check_dtype=False, check_exact=True)
    third = names["reasons"]
    assert sum(term.amount for term in third.terms) == pytest.approx(third.forecast)
    assert third.forecast == written.forecast[written.store == third.store].iloc[2] > 0
    assert not np.isclose(names["change"], 0)
    assert "version 2, ridge, until" in capsys.readouterr().out
