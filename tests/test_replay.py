"""The time machine: a policy lives through weeks of a history by the real flows, in a world of its own."""

from datetime import date

import pandas as pd
import pytest

from flows.replay import replay
from rossmann import journal
from rossmann.evaluation import rmspe
from rossmann.sample import write_world
from rossmann.validation import DataError

FIRST, LAST = date(2014, 9, 10), date(2014, 9, 24)


def test_a_policy_that_is_unknown_is_refused(tmp_path):
    with pytest.raises(DataError, match="never, monthly, drift"):
        replay(str(tmp_path), FIRST, LAST, 7, ["sometimes"], ["ridge"], None, None, None)


def test_a_replay_that_cannot_begin_leaves_the_one_before(tmp_path, monkeypatch):
    monkeypatch.setenv("ROSSMANN_DATA_DIR", str(tmp_path))
    before = tmp_path / "replays" / "weeks.csv"
    before.parent.mkdir()
    before.write_text("of the replay before")
    raw = str(write_world(tmp_path / "raw", 5, 60, seed=3))
    with pytest.raises(DataError, match=r"train\.csv"):
        replay(str(tmp_path / "nowhere"), FIRST, LAST, 7, ["never"], ["ridge"], None, None, None)
    with pytest.raises(DataError, match='no fault "gremlins"'):
        replay(raw, FIRST, LAST, 7, ["never"], ["ridge"], None, "gremlins", "2013-02-01")
    assert before.exists()


@pytest.mark.slow
def test_what_a_policy_came_to_is_what_its_forecasts_came_to(tmp_path, monkeypatch):
    raw = write_world(tmp_path / "raw", 30, 640, seed=3)
    monkeypatch.setenv("ROSSMANN_DATA_DIR", str(tmp_path / "home"))
    monkeypatch.setenv("ROSSMANN_FOLDS", "2")
    done = replay(str(raw), FIRST, LAST, 7, ["never"], ["ridge"], None, "customers_frozen", "2014-09-18")
    (life,) = done.lives
    assert (life.retrainings, life.promotions, life.skipped) == (0, 0, 0)
    assert life.alarms == [(LAST, "customers_frozen")]
    given = journal.given(f"sqlite:///{tmp_path}/home/replays/never/journal.db", FIRST, LAST)
    days = pd.read_csv(raw / "train.csv", parse_dates=["Date"], dtype={"StateHoliday": str})
    both = given.merge(days, left_on=["store", "date"], right_on=["Store", "Date"])
    weeks = pd.read_csv(done.table, parse_dates=["week until"]).set_index("week until").never
    for until, score in weeks.items():
        week = both[(both.date <= until) & (both.date > until - pd.Timedelta(days=7))]
        assert rmspe(week.Sales.to_numpy(float), week.forecast.to_numpy()) == pytest.approx(score, abs=1e-5)
    assert list(weeks.index) == [pd.Timestamp("2014-09-17"), pd.Timestamp(LAST)]
    assert not (tmp_path / "home/journal.db").exists(), "the world outside is untouched"
