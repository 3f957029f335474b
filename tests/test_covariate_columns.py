"""A model reads the columns of a newer history by their names: covariates and categories come, go and change places."""

from dataclasses import replace

import numpy as np
import pytest

from rossmann import features, models
from rossmann.chain import parse_chain
from rossmann.data import SalesHistory
from rossmann.validation import DataError
from tests.support.chains import CHAIN, calendar_days, chain_history

DAYS, STORES, HORIZON_DAYS = 300, 8, 14
BOOSTERS = ("lightgbm", "xgboost", "hist_gradient_boosting", "lightgbm_calendar")
CHAIN_WITH_FORMATS = parse_chain(
    CHAIN.text + '[static]\nformat = { file = "s.csv", column = "f", kind = "category" }\n'
)


def panels() -> dict[str, np.ndarray]:
    """Covariates that boosters use: each changes the sales of every other store."""
    day = np.arange(len(calendar_days(DAYS, HORIZON_DAYS)))
    return {'flag c=a, "b"': day % 5 == 0, "flag c=[ü] <1:2>": day % 7 == 3, "number x": 10.0 * (day % 3)}


def history(covariates: dict[str, np.ndarray]) -> SalesHistory:
    every_other = np.arange(STORES)[:, None] % 2
    effect = every_other * sum((0.4 * each / each.max() for each in panels().values()), np.zeros(1))
    return chain_history(DAYS, STORES, effect, covariates, noise=0.01, horizon_days=HORIZON_DAYS)


def forecaster(name: str, past: SalesHistory) -> models.Forecaster:
    windows = [models.training_window(past, origin) for origin in models.window_origins(past.dates[0], past.origin)]
    windows.append(models.past_window(past, past.origin))
    return models.fit(models.default_candidate(name), windows, past.origin, seed=7)


def own_columns(fitted: models.Forecaster, of: SalesHistory) -> np.ndarray:
    """The columns of the chain's covariates in the model's matrix of the published plan."""
    state = features.fit_state(of)
    matrix = features.matrix(features.join_plan(state, features.published_plan(state)), fitted.model.columns)
    return matrix[:, [" " in name for name in fitted.model.columns]]


@pytest.mark.parametrize("name", BOOSTERS)
def test_covariates_are_read_by_name(name, tmp_path):
    """A newer history has another order, and one more; a value of a category that is gone is 0 everywhere."""
    past = history(panels())
    forecaster(name, past).save(tmp_path)
    fitted = models.load(tmp_path)
    assert fitted.model.columns == features.column_names(features.fit_state(past), fitted.candidate.spec)
    assert {each for each, _ in fitted.importance()} <= set(fitted.model.columns)
    expected = own_columns(fitted, past)
    newer = history(
        {"flag c=0": np.arange(len(calendar_days(DAYS, HORIZON_DAYS))) % 2} | dict(reversed(panels().items()))
    )
    np.testing.assert_array_equal(own_columns(fitted, newer), expected)
    sales = fitted.predict(features.fit_state(newer), newer.plan(newer.origin, HORIZON_DAYS)).sales
    as_trained = fitted.predict(features.fit_state(past), past.plan(past.origin, HORIZON_DAYS)).sales
    np.testing.assert_allclose(sales, as_trained, rtol=0.05)
    gone = {each: values for each, values in panels().items() if "ü" not in each}
    np.testing.assert_array_equal(own_columns(fitted, history(gone)), expected * [1, 0, 1])


def test_a_covariate_that_the_history_does_not_have_is_refused():
    fitted = forecaster("lightgbm", history(panels()))
    newer = history({each: values for each, values in panels().items() if each != "number x"})
    with pytest.raises(DataError, match=r"number x.*rossmann retrain"):
        fitted.predict(features.fit_state(newer), newer.plan(newer.origin, HORIZON_DAYS))
    blend = models.Candidate("b", "blend", members=(fitted.candidate,), variance_factor=0.0)
    fitted.require_features(features.fit_state(history(panels())))
    with pytest.raises(DataError, match="number x"):
        models.blend(blend, [fitted]).require_features(features.fit_state(newer))
    without_category = history({"number x": panels()["number x"]})
    with pytest.raises(DataError, match="flag c="):
        fitted.predict(features.fit_state(without_category), newer.plan(newer.origin, HORIZON_DAYS))


def test_a_category_of_stores_keeps_its_meaning_when_a_new_one_comes():
    """The codes are positions in the sorted names, so that a new name moves those behind it."""
    past = history(panels())

    def with_formats(names: list[str]) -> SalesHistory:
        code = np.unique(names, return_inverse=True)[1].astype(np.int8)
        stores = replace(past.stores, attribute_codes=code[:, None], attributes=np.array(names)[:, None])
        return replace(past, stores=stores, chain=CHAIN_WITH_FORMATS)

    fitted = forecaster("lightgbm", with_formats(["big", "small"] * 4))

    def codes(names: list[str]) -> np.ndarray:
        state = features.fit_state(with_formats(names))
        matrix = features.matrix(features.join_plan(state, features.published_plan(state)), fitted.model.columns)
        column = [each.startswith("attribute ") for each in fitted.model.columns].index(True)
        return matrix[::HORIZON_DAYS, column]

    np.testing.assert_array_equal(codes(["big", "small"] * 4), [0, 1] * 4)
    np.testing.assert_array_equal(codes(["medium", "small", "big", "small"] * 2), [np.nan, 1, 0, 1] * 2)
