"""The MLflow server or database, and the names that this project has in it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from rossmann.settings import without_password

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODEL = "rossmann"  # the registered model
BACKTESTS = "rossmann-backtests"  # experiment with the backtest runs
LEDGER = "rossmann-ledger"  # experiment with the ledger of promotions
RUN_KEY_TAG = "backtest_run"  # tag of MLflow runs and of model versions: the key of their backtest run
CHALLENGER = "challenger"  # the alias of the model version that waits for its release
CHAMPION = "champion"  # the alias of the model version that serves


@dataclass(frozen=True)
class Registry:
    """An MLflow server or database. `artifacts` is where a database's files go; a server has its own place."""

    tracking_uri: str
    artifacts: str

    @cached_property
    def client(self) -> "MlflowClient":
        """The client; it connects with the first use."""
        from mlflow import MlflowClient  # takes a second, and reading a SQLite database does not need it

        return MlflowClient(self.tracking_uri, self.tracking_uri)

    @property
    def address(self) -> str:
        """`tracking_uri` without its password."""
        return without_password(self.tracking_uri)

    @property
    def sqlite_file(self) -> Path | None:
        """The file of a SQLite database; None for a server, another database, or an address with options."""
        scheme, _, path = self.tracking_uri.partition(":///")
        return Path(path) if scheme == "sqlite" and "?" not in path else None

    def ensure_model(self) -> None:
        """Create the registered model, whose versions the models are, unless it exists."""
        from mlflow.exceptions import MlflowException

        try:
            self.client.create_registered_model(MODEL)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def experiment(self, name: str) -> str:
        """The id of an experiment, which is created with the first use."""
        experiment = self.client.get_experiment_by_name(name)
        if experiment:
            return experiment.experiment_id
        location = None if self.tracking_uri.startswith("http") else f"{self.artifacts}/{name}"
        return self.client.create_experiment(name, artifact_location=location)
