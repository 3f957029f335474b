"""The report of a training: written by the training, and completed by the release that judges its challenger.

It is made of what is stored, the backtest run, the snapshot and the ledger, so that writing it again is the same file.
"""

from typing import Literal

from flows import workspace
from rossmann import registry
from rossmann.registry import LedgerEntry, RegisteredModel, Registry
from rossmann.reports import Challenger, Decision, TrainingReport, render_training
from rossmann.settings import Settings
from rossmann.storage import Storage


def folder(settings: Settings) -> Storage:
    """Where the reports are."""
    return Storage(settings.workspace.training_reports)


def file_name(train_end: str, backtest_run: str) -> str:
    """The file of the report of the training with this backtest run, on sales until `train_end`."""
    return f"{train_end}_{backtest_run}.html"


def backtest_run_of(file: str) -> str:
    """The key of the backtest run in the name of a report."""
    return file.removesuffix(".html").rpartition("_")[2]


def write(settings: Settings, version: int) -> str:
    """Write the report of the training that registered a model version, also into its MLflow run. Returns its address.

    The page has the newest judgement in the ledger on the version, or says that there is none.
    """
    model_registry = workspace.registry(settings)
    model = registry.find_version(model_registry, version)
    page = render_training(_report(settings, model, _decision(model_registry, version)))
    address = folder(settings).write(file_name(model.card.train_end, model.backtest_run), page)
    registry.log_report(model_registry, model.card.run_id, page)
    return address


def complete(settings: Settings, version: int) -> str | None:
    """Write the report again; None if there is none, since `sweep` deletes old ones, or if other code trained it."""
    model = registry.find_version(workspace.registry(settings), version)
    if model.code_mismatch or not folder(settings).exists(file_name(model.card.train_end, model.backtest_run)):
        return None
    return write(settings, version)


def _report(settings: Settings, model: RegisteredModel, decision: Decision | None) -> TrainingReport:
    from rossmann import explain, training  # imports Ray

    run, card = workspace.backtest_run(settings, model.backtest_run), model.card
    challenger = Challenger(
        model.version, card.candidate, card.snapshot, card.train_end, card.seed, card.code_version, card.environment
    )
    quantiles = registry.load_forecaster(workspace.registry(settings), model).require_quantiles()
    levels = training.share_below_levels(run.backtest, card.candidate, quantiles.coverage, quantiles.levels)
    history = workspace.history(settings, card.snapshot)
    return TrainingReport(
        run, challenger, history, quantiles.coverage, levels, decision, card.run_id, explain.feature_part
    )


def _decision(model_registry: Registry, version: int) -> Decision | None:
    """The newest judgement on a version; if it was taken back since then, why. None: it was not judged yet."""
    entries = [each for each in registry.ledger(model_registry) if each.version == version and each.done]
    judgement = next((each for each in entries if each.action in registry.JUDGEMENT_ACTIONS), None)
    if veto := registry.find_veto(model_registry, version):
        return Decision("taken back", _time(veto), (*veto.reasons, *(judgement.reasons if judgement else ())))
    if judgement is None:
        return None
    outcome: Literal["refused", "promoted"] = "refused" if judgement.action == registry.REFUSE else "promoted"
    return Decision(outcome, _time(judgement), judgement.reasons)


def _time(entry: LedgerEntry) -> str:
    return f"{entry.at:%Y-%m-%d %H:%M} UTC"
