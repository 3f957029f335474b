"""Features and learners on trial are in their tables within the context, and only there."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from rossmann import evaluation, features, models
from rossmann.features import FeatureSpec
from rossmann.models import Learner, TrainingInput
from rossmann.validation import DataError


def test_a_feature_on_trial_is_a_column_within_the_context_only(noisy):
    origin = noisy.dates[300]
    past, plan = noisy.until(origin), noisy.plan(origin, 48)
    state = features.fit_state(past)
    with features.trial_features({"twice": lambda rows: 2.0 * rows.lead_days}):
        assert features.column_names(state, FeatureSpec())[-1] == "twice"
        matrix = features.build(state, plan, FeatureSpec())
        np.testing.assert_array_equal(matrix[:, -1], 2 * (plan.date - origin).astype(int))
    assert "twice" not in FeatureSpec().columns(())
    np.testing.assert_array_equal(features.build(state, plan, FeatureSpec()), matrix[:, :-1])


def test_a_feature_on_trial_leaves_the_table_after_an_error_and_has_a_name_of_its_own():
    with pytest.raises(ZeroDivisionError), features.trial_features({"own": lambda rows: rows.lead_days}):
        raise ZeroDivisionError
    assert "own" not in FeatureSpec().columns(())
    same = features.trial_features({"weekday": lambda rows: rows.lead_days})
    with pytest.raises(ValueError, match="two features have the name weekday"), same:
        pass
    assert FeatureSpec().columns(()).count("weekday") == 1


@dataclass(frozen=True)
class Mean:
    """Adds the mean residual of the linear model."""

    value: float
    columns: tuple[str, ...]

    def correction(self, matrix: np.ndarray) -> np.ndarray:
        return np.full(len(matrix), self.value)

    def importance(self) -> tuple[tuple[str, float], ...]:
        return ()

    def save(self, folder: Path) -> None:
        pass


def fit_mean(training_input: TrainingInput) -> Mean:
    return Mean(float(training_input.target.mean()), training_input.train_set.columns)


def no_load(_: Path) -> Mean:
    raise NotImplementedError


def test_a_learner_on_trial_can_be_backtested_beside_the_others(noisy):
    learner = Learner(
        "mean", fit_mean, no_load, needs_training_windows=True, defaults={"max_rows": 1000, "max_rounds": 1}
    )
    origins = evaluation.fold_origins(noisy, 2, 48, 48)
    with models.trial_learner(learner) as candidate:
        backtest = models.backtest(noisy, [*models.candidates(("ridge",)), candidate], origins, seed=7)
        with pytest.raises(ValueError, match="a learner mean already"), models.trial_learner(learner):
            pass
    assert set(backtest.candidates) == {"last_week", "median", "ridge", "mean"}
    assert 0 <= evaluation.compare(backtest, "mean", "ridge", seed=7).p_better <= 1
    with pytest.raises(DataError, match="unknown candidate mean"):
        models.candidates(("mean",))
    assert "mean" not in models.LEARNERS
