"""The drift statistics: what each is called, when it is an alarm, and which other alarms it explains.

To add a statistic, add its definition to DEFINITIONS and its daily values to `history_statistics`,
`forecast_statistics`, `plan_drift` or `covariate_drift`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["quality", "feature", "target", "prediction", "concept", "plan"]

YEAR_BEFORE = "same season a year before"
WEEKS_BEFORE = "the weeks before"
ALL_EARLIER_DAYS = "all earlier days"
EARLIER_FORECASTS = "earlier forecasts"
EARLIER_PLANS = "all earlier plans"

SALES = {"sales_level", "forecast_level", "residual_level", "promotion_uplift_gone", "concept_shift", "multivariate"}
SHARES = {"open_share", "promotion_share", "zero_sales_share", "zero_sales"}
PLANS = {"planned_promotion_share", "unseen_combinations"}


@dataclass(frozen=True, kw_only=True)
class StatisticDefinition:
    """One drift statistic: a number per day and subject (a column, a store type, all stores)."""

    name: str
    kind: Kind
    floor: float  # smallest deviation that matters, in the statistic's own unit; its limit is never below
    attribute_floor: float | None = None  # the floor of stores with one attribute: few stores make shares coarse
    required_days: int  # of the last 7 days, beyond the limit, for an alarm
    reference: str  # what a day is compared with
    first_year_reference: str | None = None  # the same, while the history is too short for `reference`
    message: str  # one sentence with {effect} and {subject}
    explains: frozenset[str] = frozenset()  # names of the statistics whose alarms are consequences of this one
    names_slice: bool = False  # about the whole chain: its message names the slice that explains it, if one does
    broken_data: bool = False  # the data must be corrected at their source; a model must not be trained on them

    def for_attribute(self) -> "StatisticDefinition":
        """The definition for a single store type."""
        return self if self.attribute_floor is None else replace(self, floor=self.attribute_floor)

    def for_rest_day(self, day: str) -> "StatisticDefinition":
        """The definition for a chain that rests on another weekday than Sunday."""
        return replace(self, message=self.message.replace("Sunday", day), reference=f"all earlier {day}s")

    def for_first_year(self) -> "StatisticDefinition":
        """The definition for a history that is too short to compare with the year before."""
        return self if self.first_year_reference is None else replace(self, reference=self.first_year_reference)


def check_definitions(definitions: Iterable[StatisticDefinition]) -> dict[str, StatisticDefinition]:
    """The definitions by name. ValueError for a name defined twice, or a name in `explains` that is not defined."""
    definitions = list(definitions)
    by_name = {definition.name: definition for definition in definitions}
    if len(by_name) < len(definitions):
        raise ValueError("a drift statistic is defined twice; give every definition a name of its own")
    for definition in definitions:
        unknown = definition.explains - set(by_name)
        if unknown:
            raise ValueError(
                f'the drift statistic "{definition.name}" explains {", ".join(sorted(unknown))}, which is not defined; '
                "correct the name or add its definition"
            )
    return by_name


def find_definition(name: str) -> StatisticDefinition:
    """The definition of a statistic. ValueError for a name that is not defined."""
    if name not in DEFINITIONS:
        raise ValueError(f'the drift statistic "{name}" is not defined; add it to rossmann/monitoring/definitions.py')
    return DEFINITIONS[name]


# The order is the order in which causes are believed: an alarm is explained by the first that explains it.
DEFINITIONS = check_definitions(
    (
        StatisticDefinition(
            name="dates_shifted",
            kind="plan",
            floor=0.4,
            required_days=1,
            reference=ALL_EARLIER_DAYS,
            message="{effect:.0%} of the stores repeat an earlier day, or are closed on an unusual day",
            explains=frozenset(SALES | SHARES | PLANS | {"sundays_open", "promotion_inverted", "store_out_of_scale"}),
            broken_data=True,
        ),
        StatisticDefinition(
            name="promotion_inverted",
            kind="plan",
            floor=0.03,
            required_days=1,
            reference="all earlier weekends",
            message="{effect:.1%} of the stores have a promotion on a weekend",
            explains=frozenset(SALES | SHARES | PLANS | {"store_out_of_scale"}),
            broken_data=True,
        ),
        StatisticDefinition(
            name="sundays_open",
            kind="plan",
            floor=0.03,
            required_days=1,
            reference="all earlier Sundays",
            message="the share of stores that are open on Sunday changed by {effect:+.1%}",
            explains=frozenset(SALES | SHARES | PLANS),
            broken_data=True,
        ),
        StatisticDefinition(
            name="traffic_frozen",
            kind="quality",
            floor=0.05,
            required_days=3,
            reference=ALL_EARLIER_DAYS,
            message="{effect:.1%} of the stores report as many {subject} as on the day before",
            explains=frozenset({"other_unit", "store_out_of_scale", "multivariate"}),
            broken_data=True,
        ),
        StatisticDefinition(
            name="other_unit",
            kind="quality",
            floor=0.25,
            required_days=3,
            reference=WEEKS_BEFORE,
            message="sales per customer of {subject} changed by {effect:+.0%} compared with all other stores",
            explains=frozenset(SALES | {"store_out_of_scale"}),
            broken_data=True,
        ),
        StatisticDefinition(
            name="stores_missing",
            kind="quality",
            floor=0.02,
            attribute_floor=0.1,
            required_days=3,
            reference=WEEKS_BEFORE,
            message="{subject}: {effect:.1%} of the stores that reported until recently have no rows",
            explains=frozenset({"multivariate"}),
            broken_data=True,
        ),
        StatisticDefinition(
            name="stale_forecasts",
            kind="prediction",
            floor=10.5,  # days
            required_days=4,
            reference=EARLIER_FORECASTS,
            message="the newest forecasts are {effect:.0f} days older than usual",
            explains=frozenset(SALES),
            broken_data=True,
        ),
        StatisticDefinition(
            name="promotion_uplift_gone",
            kind="concept",
            floor=0.08,
            required_days=2,
            reference=EARLIER_FORECASTS,
            message="sales on promotion days deviate from their forecast by {effect:+.1%} more than on other days",
            explains=frozenset({"sales_level", "residual_level", "concept_shift", "multivariate"}),
            names_slice=True,
        ),
        StatisticDefinition(
            name="store_out_of_scale",
            kind="quality",
            floor=0.5,  # stores
            required_days=1,
            reference=WEEKS_BEFORE,
            message="{effect:.0f} stores sold a multiple or a fraction of their usual sales on four days of a week",
            explains=frozenset({"multivariate"}),
            broken_data=True,
        ),
        StatisticDefinition(
            name="concept_shift",
            kind="concept",
            floor=0.045,
            required_days=1,
            reference=EARLIER_FORECASTS,
            message="sales of {effect:.1%} of the stores deviate from their forecasts, all in the same direction",
            explains=frozenset({"multivariate"}),
            names_slice=True,
        ),
        StatisticDefinition(
            name="residual_level",
            kind="concept",
            floor=0.1,
            required_days=4,
            reference=EARLIER_FORECASTS,
            message="sales deviate from their forecasts by {effect:+.1%}",
            explains=frozenset({"multivariate"}),
            names_slice=True,
        ),
        StatisticDefinition(
            name="sales_level",
            kind="target",
            floor=0.1,
            required_days=4,
            reference=YEAR_BEFORE,
            first_year_reference="previous weeks",
            message="sales of {subject} changed by {effect:+.1%} compared with the growth of the weeks before",
            explains=frozenset({"multivariate"}),
            names_slice=True,
        ),
        StatisticDefinition(
            name="zero_sales",
            kind="quality",
            floor=0.05,
            required_days=3,
            reference=ALL_EARLIER_DAYS,
            message="the share of open stores of {subject} without sales changed by {effect:+.1%}",
            broken_data=True,
        ),
        *(
            StatisticDefinition(
                name=name,
                kind="feature",
                floor=0.5,
                required_days=4,
                reference=YEAR_BEFORE,
                message="the share of {subject} changed by {effect:+.1%}",
            )
            for name in ("open_share", "promotion_share", "zero_sales_share")
        ),
        StatisticDefinition(
            name="multivariate",
            kind="feature",
            floor=2.0,  # standard deviations
            required_days=4,
            reference=ALL_EARLIER_DAYS,
            message="the distance of {subject} together from the past is {effect:.1f} standard deviations above usual",
        ),
        StatisticDefinition(
            name="forecast_level",
            kind="prediction",
            floor=0.15,
            required_days=4,
            reference=YEAR_BEFORE,
            message="forecasts changed by {effect:+.1%} compared with sales a year before",
        ),
        StatisticDefinition(
            name="planned_promotion_share",
            kind="plan",
            floor=0.05,
            required_days=2,
            reference=EARLIER_PLANS,
            message="the coming four weeks have promotions on {effect:+.1%} more of the days than any plan before",
        ),
        StatisticDefinition(
            name="unseen_combinations",
            kind="plan",
            floor=0.03,  # Christmas brings 2 % of new combinations, one extra day for all stores 4 %
            required_days=2,
            reference=EARLIER_PLANS,
            message="{effect:.1%} of the coming days combine {subject} as no earlier day did",
        ),
        StatisticDefinition(
            name="planned_flag_share",
            kind="plan",
            floor=0.1,
            required_days=2,
            reference=YEAR_BEFORE,
            message="the coming days have {subject} on {effect:+.1%} more of them than the same season a year before",
        ),
        StatisticDefinition(
            name="planned_number_mean",
            kind="plan",
            floor=1.0,  # standard deviations
            required_days=2,
            reference=YEAR_BEFORE,
            message="the mean of {subject} on the coming days is {effect:+.1f} standard deviations away from that of "
            "the same season a year before",
        ),
    )
)
