"""Backtest runs, model versions, aliases and the ledger of promotions, in MLflow.

A model is stored in its learners' own formats beside its card; nothing is pickled. Only the alias `champion` says which
version serves. Every change of it, and every refusal, is in the ledger before the alias moves.

connection   the MLflow server or database
cards        what is known of a model version
files        hashes of its files
runs         backtest runs as MLflow runs, with scores and figures
versions     registering, finding and loading model versions
fetch        a model version for a process that only forecasts
ledger       promotions, refusals, rollbacks and vetoes
"""

from rossmann.registry.cards import ModelCard, RegisteredModel
from rossmann.registry.connection import BACKTESTS, CHALLENGER, CHAMPION, LEDGER, MODEL, Registry
from rossmann.registry.fetch import fetch_forecaster
from rossmann.registry.ledger import (
    JUDGEMENT_ACTIONS,
    OVERRIDE,
    PROMOTE,
    PROMOTION_ACTIONS,
    REFUSE,
    RELEASE_ACTIONS,
    ROLLBACK,
    WITHDRAW,
    LedgerEntry,
    champion_since,
    confirm_deployment,
    find_version_before,
    find_veto,
    is_deployment_pending,
    ledger,
    override,
    promote,
    record_refusal,
    require_champion,
    rollback,
    veto_reason,
    withdraw,
)
from rossmann.registry.runs import REPORT_FILE, log_report, record_backtests, run_pages
from rossmann.registry.versions import (
    challenger,
    champion,
    find_by_alias,
    find_champion,
    find_registered,
    find_version,
    is_readable,
    list_models,
    load_forecaster,
    register_model,
    require_same_code,
    set_challenger,
)

__all__ = [
    "BACKTESTS",
    "CHALLENGER",
    "CHAMPION",
    "JUDGEMENT_ACTIONS",
    "LEDGER",
    "MODEL",
    "OVERRIDE",
    "PROMOTE",
    "PROMOTION_ACTIONS",
    "REFUSE",
    "RELEASE_ACTIONS",
    "REPORT_FILE",
    "ROLLBACK",
    "WITHDRAW",
    "LedgerEntry",
    "ModelCard",
    "RegisteredModel",
    "Registry",
    "challenger",
    "champion",
    "champion_since",
    "confirm_deployment",
    "fetch_forecaster",
    "find_by_alias",
    "find_champion",
    "find_registered",
    "find_version",
    "find_version_before",
    "find_veto",
    "is_deployment_pending",
    "is_readable",
    "ledger",
    "list_models",
    "load_forecaster",
    "log_report",
    "override",
    "promote",
    "record_backtests",
    "record_refusal",
    "register_model",
    "require_champion",
    "require_same_code",
    "rollback",
    "run_pages",
    "set_challenger",
    "veto_reason",
    "withdraw",
]
