"""Whether the data are still like those learnt from, and the forecasts as good: findings, and which of them are alarms.

Five kinds of drift and the quality of the data, each statistic against its own history (`statistics`). Where one cause
explains other findings, the cause is the alarm and they say so.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from rossmann.data import SalesHistory
from rossmann.monitoring.panels import panels, residuals
from rossmann.monitoring.plans import of_plan
from rossmann.monitoring.statistics import ENOUGH, WINDOW_DAYS, Statistic, of_forecasts, of_history

TARGETS = {"sales_level", "forecast_level", "residual_level", "promo_uplift_gone", "concept_shift", "multivariate"}
SHARES = {"open_share", "promo_share", "zero_sales_share", "zero_sales"}
PLANS = {"promos_more_than_ever", "unseen_combinations"}
EXPLAINS = {  # a cause, and what it makes of other findings; causes in the order in which they are believed
    "dates_shifted": TARGETS | SHARES | PLANS | {"sundays_open", "promo_inverted", "store_out_of_scale"},
    "promo_inverted": TARGETS | SHARES | PLANS | {"store_out_of_scale"},
    "sundays_open": TARGETS | SHARES | PLANS,
    "customers_frozen": {"other_unit", "store_out_of_scale", "multivariate"},
    "other_unit": TARGETS | {"store_out_of_scale"},
    "stores_missing": {"multivariate"},
    "stale_forecasts": TARGETS,
    "promo_uplift_gone": {"sales_level", "residual_level", "concept_shift", "multivariate"},
    "store_out_of_scale": {"multivariate"},
    "concept_shift": {"multivariate"},
    "residual_level": {"multivariate"},
    "sales_level": {"multivariate"},
}
BROKEN = {"dates_shifted", "promo_inverted", "customers_frozen", "other_unit", "stores_missing", "store_out_of_scale",
          "sundays_open", "zero_sales", "stale_forecasts"}  # to be mended at their source, not learnt  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One statistic on one evening."""

    kind: str  # quality, feature, target, prediction, concept or plan
    name: str
    of: str  # column or stores
    effect: float
    limit: float  # distance from its own past that is still usual; NaN without a past
    since: np.datetime64 | None  # first day beyond it, of the window
    days: int  # beyond it
    reference: str
    alarm: bool
    story: str

    @property
    def broken(self) -> bool:
        """Whether the data are to be mended before anything is learnt from them."""
        return self.name in BROKEN


@dataclass(frozen=True)
class Examination:
    """All findings of a window, alarms first."""

    first: np.datetime64
    last: np.datetime64
    findings: tuple[Finding, ...]

    @property
    def alarms(self) -> tuple[Finding, ...]:
        return tuple(each for each in self.findings if each.alarm)

    def frame(self) -> pd.DataFrame:
        """A row per finding, with the last day as `date`."""
        rows = pd.DataFrame([vars(each) for each in self.findings])
        return rows.drop(columns="days").assign(date=self.last.astype("datetime64[s]"))


def examine(history: SalesHistory, judged: pd.DataFrame, backtest: pd.DataFrame | None = None) -> Examination:
    """The last WINDOW_DAYS of a history.

    judged: forecasts with their outcomes, from `performance.judge`. backtest: the champion's (BACKTEST_COLUMNS): its
    residuals are what was promised, and the past to compare with where `judged` has none.
    """
    seen = panels(history)
    statistics = list(of_history(history, seen))
    statistics.append(_multivariate(statistics))
    statistics += of_plan(history)
    if len(judged):
        told = judged if backtest is None else pd.concat([_promised(backtest), judged])
        statistics += of_forecasts(
            history, seen, *residuals(told[told.date <= pd.Timestamp(history.origin.item())], history)
        )
    findings = _explained([_finding(each, history.dates) for each in statistics])
    findings.sort(key=lambda each: (not each.alarm, -_strength(each)))
    return Examination(history.dates[-WINDOW_DAYS], history.origin, tuple(findings))


def _promised(backtest: pd.DataFrame) -> pd.DataFrame:
    """As judged rows that any real forecast replaces; a backtest's leads are those of a fold, not of operation."""
    return backtest.assign(lead_days=np.nan, origin=pd.Timestamp(0))


def _finding(statistic: Statistic, dates: np.ndarray) -> Finding:
    beyond = np.flatnonzero(statistic.beyond)
    effect = statistic.effect
    return Finding(
        kind=statistic.kind,
        name=statistic.name,
        of=statistic.of,
        effect=effect,
        limit=statistic.limit,
        since=dates[-WINDOW_DAYS:][beyond[0]] if len(beyond) else None,
        days=len(beyond),
        reference=statistic.reference,
        alarm=statistic.persistent,
        story=_story(statistic, effect),
    )


def _story(statistic: Statistic, effect: float) -> str:
    if not statistic.limited:
        return "too little of the past to say what is usual"
    if not np.isfinite(effect):
        return "no evidence in the window"
    usual = "" if statistic.persistent else "as usual: "
    return usual + statistic.says.format(effect=effect, limit=statistic.limit)


def _explained(findings: list[Finding]) -> list[Finding]:
    """Alarms that follow from another alarm are told as such, and are none."""
    for cause, effects in EXPLAINS.items():
        if any(each.alarm and each.name == cause for each in findings):
            findings = [
                replace(each, alarm=False, story=f"{each.story}; explained by {cause}")
                if each.alarm and each.name in effects
                else each
                for each in findings
            ]
    return findings


def _strength(finding: Finding) -> float:
    return abs(finding.effect) / finding.limit if finding.limit > 0 and np.isfinite(finding.effect) else 0.0


def _multivariate(statistics: list[Statistic]) -> Statistic:
    """All columns at once: how far a day lies from the past in the directions in which the statistics move together.

    Mahalanobis' distance of the target's and the features' statistics, over the square root of their number.
    """
    own = [each for each in statistics if each.kind in ("target", "feature") or each.name == "other_unit"]
    values = np.stack([each.values for each in own])
    values = values[np.isfinite(values).sum(axis=1) >= 2 * ENOUGH]
    distance = np.full(len(statistics[0].values), np.nan)
    if len(values):
        complete = np.isfinite(values).all(axis=0)
        past = values[:, complete & (np.arange(len(complete)) < len(complete) - WINDOW_DAYS)]
        if past.shape[1] >= ENOUGH:
            centre, scale = past.mean(axis=1, keepdims=True), past.std(axis=1, keepdims=True) + 1e-9
            spread = np.cov((past - centre) / scale) + 0.1 * np.eye(len(values))
            apart = (values[:, complete] - centre) / scale
            distance[complete] = np.sqrt(np.einsum("kt,kt->t", apart, np.linalg.solve(spread, apart)) / len(values))
    return Statistic("feature", "multivariate", "all columns", distance, 2.0, 4, "all earlier days",
                     "all columns together are {effect:.1f} standard deviations farther off than usual")  # fmt: skip
