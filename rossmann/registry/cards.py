"""Metadata of a model version."""

from dataclasses import dataclass, field
from datetime import date

import numpy as np

from rossmann.provenance import code_version
from rossmann.schema import LossName


@dataclass(frozen=True)
class ModelCard:
    """Where a model came from: enough to fit it again, or to find out why it is wrong."""

    candidate: str
    snapshot: str  # fingerprint of the data it was fitted to
    train_end: str  # last day of its training data, YYYY-MM-DD
    rmspe: dict[str, float]  # of its backtest, by origin of the fold
    coverage: float  # of its bounds, on folds that did not calibrate them
    seed: int
    code_version: str
    environment: str  # hash of the exact versions of all packages
    run_id: str  # MLflow run of its backtests
    loss: LossName = "rmspe"  # what it is trained for; before there was a choice, that was RMSPE
    files: dict[str, str] = field(default_factory=dict)  # path → SHA-256; `register_model` fills it in

    @property
    def folds(self) -> tuple[np.datetime64, ...]:
        """Origins of its backtest."""
        return tuple(np.datetime64(origin) for origin in self.rmspe)

    @property
    def mean_rmspe(self) -> float:
        """The mean RMSPE over the folds of its backtest."""
        return sum(self.rmspe.values()) / len(self.rmspe)


@dataclass(frozen=True)
class RegisteredModel:
    """One version of the model in the registry."""

    version: int
    aliases: tuple[str, ...]
    card: ModelCard
    source: str  # address of its files
    backtest_run: str  # key of the backtest run that scored it

    @property
    def code_mismatch(self) -> bool:
        """Whether features or learners have changed since it was fitted."""
        return self.card.code_version != code_version()

    def staleness_days(self, other: "RegisteredModel") -> int:
        """By how many days its training data ends before that of the other version; 0 if it does not."""
        return max(0, (date.fromisoformat(other.card.train_end) - date.fromisoformat(self.card.train_end)).days)
