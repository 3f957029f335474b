"""A replay runs each policy through weeks of a history by the real flows, in a workspace of its own."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from flows.replay import replay
from rossmann import journal
from rossmann.data import read_history
from rossmann.simulation import write_replay_files, write_sample
from rossmann.validation import DataError
from tests.support.chain_files import write_rich_chain

FIRST, LAST = date(2014, 9, 10), date(2014, 9, 24)
RIDGE = ["ridge"]


def test_an_unknown_policy_is_refused(tmp_path):
    with pytest.raises(DataError, match="never, monthly, drift"):
        replay(str(tmp_path), FIRST, LAST, 7, ["sometimes"], RIDGE)


def test_a_replay_that_ends_before_it_begins_is_refused(tmp_path):
    with pytest.raises(DataError, match="--from 2014-09-24 must be before --to 2014-09-10"):
        replay(str(tmp_path), LAST, FIRST, 7, ["never"], RIDGE)


def test_a_replay_that_cannot_begin_leaves_the_previous_one(tmp_path, monkeypatch):
    monkeypatch.setenv("ROSSMANN_DATA_DIR", str(tmp_path))
    previous = tmp_path / "replays" / "weeks.csv"
    previous.parent.mkdir()
    previous.write_text("of the previous replay")
    raw = str(write_sample(tmp_path / "raw", 5, 60, seed=3))
    with pytest.raises(DataError, match=r"train\.csv"):
        replay(str(tmp_path / "nowhere"), FIRST, LAST, 7, ["never"], RIDGE)
    with pytest.raises(DataError, match='no fault "gremlins"'):
        replay(raw, FIRST, LAST, 7, ["never"], RIDGE, fault="gremlins", fault_start=date(2013, 2, 1))
    assert previous.exists()


def test_files_with_a_chain_toml_are_replayed_as_they_are(tmp_path):
    raw, out = write_rich_chain(tmp_path / "raw"), str(tmp_path / "out")
    write_replay_files(str(raw), out)
    one, other = (read_history(folder, date(2016, 3, 1)).history for folder in (str(raw), out))
    assert (other.chain.is_kaggle, other.fingerprint) == (False, one.fingerprint)
    for options in ((5,), (None, "concept_shift", "2016-03-01")):
        with pytest.raises(DataError, match=r"has a chain\.toml.*leave out the number of stores"):
            write_replay_files(str(raw), out, *options)


@pytest.mark.proof
def test_the_scores_of_a_policy_are_those_of_its_forecasts(tmp_path, monkeypatch):
    raw = write_sample(tmp_path / "raw", 30, 640, seed=3)
    monkeypatch.setenv("ROSSMANN_DATA_DIR", str(tmp_path / "home"))
    monkeypatch.setenv("ROSSMANN_FOLDS", "2")
    fault_start = date(2014, 9, 18)
    result = replay(str(raw), FIRST, LAST, 7, ["never"], RIDGE, fault="traffic_frozen", fault_start=fault_start)
    (never,) = result.policies
    assert (never.retrainings, never.promotions, never.refusals, never.skipped) == (0, 0, 0, 0)
    assert never.alarms == ((LAST, "traffic_frozen"),)
    assert never.false_alarms(fault_start) == 0
    assert never.false_alarms(None) == 1, "without a fault every alarm is false"
    url = f"sqlite:///{tmp_path}/home/replays/never/journal.db"
    forecasts = pd.concat(journal.read_forecasts(url, FIRST, LAST))
    days = pd.read_csv(raw / "train.csv", parse_dates=["Date"], dtype={"StateHoliday": str})
    rows = forecasts.merge(days, left_on=["store", "date"], right_on=["Store", "Date"])
    scores = pd.read_csv(result.table, parse_dates=["week_end"]).set_index("week_end").never
    for week_end, score in scores.items():
        week = rows[(rows.date <= week_end) & (rows.date > week_end - pd.Timedelta(days=7)) & (rows.Sales > 0)]
        assert np.sqrt(np.mean((week.forecast / week.Sales - 1) ** 2)) == pytest.approx(score, abs=1e-5)
    assert list(scores.index) == [pd.Timestamp("2014-09-17"), pd.Timestamp(LAST)]
    rows["error"] = (rows.forecast / rows.Sales - 1).where(rows.Sales > 0)
    by_lead = pd.read_csv(result.leads, index_col="lead_days").never
    for name, first, last in (("1", 1, 1), ("2 to 7", 2, 7), ("8 to 14", 8, 14)):
        errors = rows[rows.lead_days.between(first, last)].error
        assert by_lead[name] == pytest.approx((errors**2).mean() ** 0.5, abs=1e-5)
    assert np.isnan(by_lead["15 and later"]), "the replay ends two weeks after its first origin"
    assert not (tmp_path / "home/journal.db").exists(), "the workspace itself is untouched"
