"""The results of commands as JSON: what `--json` prints. These keys are an interface; they change only in a release.

Dates are ISO strings, times are UTC. A number that does not exist (NaN, a score of a failed fit) is null.
"""

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from math import isfinite
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from flows.cli.doctor.findings import Finding
    from flows.cli.training_summary import TrainingSummary
    from flows.monitor import MonitorResult
    from flows.replay import PolicyResult, ReplayResult
    from flows.retention import Expired
    from flows.retrain import RetrainResult
    from rossmann.alarms import Alarm, AlarmRecord
    from rossmann.data import Snapshot
    from rossmann.evaluation import Verdict
    from rossmann.forecasting import DeliveredForecast
    from rossmann.monitoring import DriftReport, Performance
    from rossmann.registry import LedgerEntry, RegisteredModel

Document = dict[str, Any]


def write(document: Document | list[Document]) -> None:
    """Print a document to stdout."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def snapshots(versions: "Iterable[Snapshot]") -> list[Document]:
    """Newest first. `rows` counts store days with sales data; `parent` is the snapshot before it, or null."""
    return [
        {
            "fingerprint": each.fingerprint,
            "current": each.current,
            "created": each.created,
            "rows": each.rows,
            "stores": each.stores,
            "first_day": each.first_day,
            "origin": each.origin,
            "plan_end": each.plan_end,
            "parent": each.parent,
            "source": each.source,
            "as_of": each.as_of,
        }
        for each in versions
    ]


def models(versions: "Iterable[RegisteredModel]", ledger: "Iterable[LedgerEntry]") -> Document:
    """`rmspe_by_fold` is keyed by origin; `done` is false where a crash came between the decision and the alias."""
    return {
        "models": [
            {
                "version": each.version,
                "aliases": list(each.aliases),
                "candidate": each.card.candidate,
                "loss": each.card.loss,
                "rmspe_by_fold": each.card.rmspe,
                "coverage": _number(each.card.coverage),
                "train_end": each.card.train_end,
                "snapshot": each.card.snapshot,
                "run_id": each.card.run_id,
            }
            for each in versions
        ],
        "ledger": [
            {
                "at": each.at.isoformat(),
                "action": each.action,
                "version": each.version,
                "previous": each.previous,
                "done": each.done,
                "reasons": list(each.reasons),
            }
            for each in ledger
        ],
    }


def alarms(records: "Iterable[AlarmRecord]", retraining: str) -> list[Document]:
    """Newest first. `outcome` is null before a retraining has ended; of an alarm that starts none, before it is over.

    `retraining` says of an alarm that waits for one which run will answer it; null if none is due or running.
    """
    return [
        {
            **_alarm(each.alarm),
            "outcome": each.outcome.model_dump(mode="json") if each.outcome else None,
            "retraining": retraining or None if each.waits_for_retraining else None,
        }
        for each in records
    ]


def overrides(rows: "pd.DataFrame") -> list[Document]:
    """In the order of writing. `override` is null where a row withdraws the one before, `label` of stores without."""
    every_row: Iterable[Any] = rows.itertuples()
    return [
        {
            "store": row.store,
            "label": row.label,
            "date": f"{row.date:%Y-%m-%d}",
            "forecast": row.forecast,
            "model_version": row.model_version,
            "origin": f"{row.origin:%Y-%m-%d}",
            "override": _number(row.amount),
            "reason": row.reason,
            "planner": row.planner,
            "at": f"{row.at.isoformat()}+00:00",
        }
        for row in every_row
    ]


def value_added(table: "pd.DataFrame") -> list[Document]:
    """All overrides first, then each group. `closer` is in the unit of sales; negative: overrides are further off."""
    return [
        {str(name): _number(value) if isinstance(value, float) else value for name, value in row.items()}
        for row in table.to_dict("records")
    ]


def diagnosis(findings: "Iterable[Finding]") -> Document:
    """`status` of each finding is ok, warning or wrong; `healthy` if none is wrong."""
    rows = [asdict(each) for each in findings]
    return {"healthy": all(row["status"] != "wrong" for row in rows), "findings": rows}


def sweep(expired: "Iterable[Expired]") -> list[Document]:
    """What was deleted, or would be. `size` is in bytes; null where it is not known."""
    return [asdict(each) for each in expired]


def training(summary: "TrainingSummary") -> Document:
    """The leaderboard is best by the loss first; `rmspe_by_fold` is keyed by origin. `warning`: of a bias, or null.

    `report` is null if it could not be written.
    """
    return {
        "challenger": summary.result.challenger,
        "candidate": summary.best,
        "loss": summary.loss.name,
        "warning": summary.warning or None,
        "backtest_run": summary.result.backtest_run,
        "leaderboard": [_score(str(name), line) for name, line in summary.leaderboard.iterrows()],
        "report": summary.result.report,
        "backtest_rows_file": summary.backtest_rows_file,
        "run_id": summary.result.run_id,
        "mlflow": summary.mlflow,
    }


def verdict(verdict: "Verdict") -> Document:
    """Whether the challenger became champion, and why."""
    return {"promoted": verdict.promote, "reasons": list(verdict.reasons)}


def forecast(delivered: "DeliveredForecast") -> Document:
    """`year_over_year` is the change against the same weekdays one year before; null without such days."""
    summary = delivered.summary
    return {
        "model_version": delivered.model_version,
        "rows": summary.rows,
        "stores": summary.stores,
        "first_day": summary.first_day,
        "last_day": summary.last_day,
        "sales": _number(summary.total),
        "year_over_year": _number(summary.year_over_year),
        "file": delivered.file,
        "plot": delivered.plot,
    }


def retraining(result: "RetrainResult", summary: "TrainingSummary | None") -> Document:
    """Training and verdict are null if no training was needed, forecast is null without a champion."""
    return {
        "snapshot": result.snapshot,
        "train": result.decision.train,
        "reason": result.decision.reason,
        "training": training(summary) if summary else None,
        "verdict": verdict(result.verdict) if result.verdict else None,
        "forecast": forecast(result.forecast) if result.forecast else None,
    }


def monitoring(result: "MonitorResult") -> Document:
    """Performance is null if no forecast of the champion has actuals yet."""
    return {
        "performance": _performance(result.performance) if result.performance else None,
        "drift": _drift(result.drift),
        "alarms": [_alarm(each) for each in result.alarms],
        "report": result.report,
    }


def replay(result: "ReplayResult") -> Document:
    """`weekly_rmspe` is keyed by the last day of the week, `lead_rmspe` by days after the origin.

    `false_alarms` were raised before the injected fault.
    """
    fault_start = result.fault_start
    return {
        "policies": [{**_policy(each), "false_alarms": each.false_alarms(fault_start)} for each in result.policies],
        "fault_start": fault_start.isoformat() if fault_start else None,
        "table": result.table,
        "leads": result.leads,
        "plot": result.plot,
    }


def _policy(result: "PolicyResult") -> Document:
    return {
        "policy": result.policy,
        "rmspe": _number(result.rmspe),
        "last_weeks_rmspe": _number(result.last_weeks_rmspe),
        "retrainings": result.retrainings,
        "promotions": result.promotions,
        "refusals": result.refusals,
        "skipped": result.skipped,
        "alarms": [{"day": day.isoformat(), "cause": cause} for day, cause in result.alarms],
        "cpu_minutes": _number(result.cpu_minutes),
        "weekly_rmspe": {f"{week:%Y-%m-%d}": _number(value) for week, value in result.weekly_rmspe.items()},
        "lead_rmspe": {lead: _number(value) for lead, value in result.lead_rmspe.items()},
    }


def _score(candidate: str, line: "pd.Series") -> Document:
    from rossmann.evaluation import LOSS_SCORES

    names = (*LOSS_SCORES, "bias", "wql", "coverage", "cpu_seconds")
    return {
        "candidate": candidate,
        "param_changes": line.param_changes or None,
        **{name: _number(line[name]) for name in names},
        "rmspe_by_fold": {name: _number(line[name]) for name in line.index if name[0].isdigit()},
        "failure": line.failure or None,
    }


def _performance(performance: "Performance") -> Document:
    return {
        "first_day": str(performance.first_day),
        "last_day": str(performance.last_day),
        "model_version": performance.version,
        "wape": _number(performance.wape),
        "rmspe": _number(performance.rmspe),
        "expected_wape": _number(performance.expected_wape),
        "expected_rmspe": _number(performance.expected_rmspe),
        "baseline_wape": _number(performance.baseline_wape),
        "wape_limit": _number(performance.wape_limit),
        "degraded": bool(performance.degraded),
        "reason": performance.reason,
    }


def _drift(drift: "DriftReport") -> Document:
    return {
        "first_day": str(drift.first_day),
        "last_day": str(drift.last_day),
        "findings": [
            {
                "kind": each.kind,
                "name": each.name,
                "subject": each.subject,
                "effect": _number(each.effect),
                "limit": _number(each.limit),
                "since": None if each.since is None else str(each.since),
                "alarm": bool(each.alarm),
                "message": each.message,
            }
            for each in drift.findings
        ],
    }


def _alarm(alarm: "Alarm") -> Document:
    """The alarm's own fields, its event, and whether it starts a retraining."""
    fields = alarm.model_dump(mode="json").items()
    numbers = {name: _number(value) if isinstance(value, float) else value for name, value in fields}
    return {"event": alarm.event, "starts_retraining": alarm.starts_retraining, **numbers}


def _number(value: float) -> float | None:
    return float(value) if isfinite(value) else None
