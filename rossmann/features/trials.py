"""Features that are not in the table yet, to see what they buy before they get a line there."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rossmann.features import columns
from rossmann.features.columns import Feature, FeatureGroup


@contextmanager
def trial_features(trial: Mapping[str, Feature]) -> Iterator[None]:
    """Within the context, the table has these features, too: functions of `PlanRows` that return a value per row.

    Only this process has them, not the workers of Ray: compare models by `models.backtest`. A model that is fitted
    within the context forecasts within it only. ValueError for a name that the table has already.
    """
    groups = columns.GROUPS
    columns.merge_groups((*groups, FeatureGroup(None, dict(trial))))
    columns.GROUPS = (*groups, FeatureGroup(None, dict(trial)))
    try:
        yield
    finally:
        columns.GROUPS = groups
