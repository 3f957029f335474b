"""The MLflow server or database, and the names that this project has in it."""

from dataclasses import dataclass
from functools import cached_property

from mlflow import MlflowClient

from rossmann.settings import without_password

MODEL = "rossmann"  # the registered model
BACKTESTS = "rossmann-backtests"  # experiment with the backtest runs
LEDGER = "rossmann-ledger"  # experiment with the ledger of promotions
CHALLENGER, CHAMPION = "challenger", "champion"  # aliases of model versions


@dataclass(frozen=True)
class Registry:
    """An MLflow server or database. `artifacts` is where a database's files go; a server has its own place."""

    tracking_uri: str
    artifacts: str

    @cached_property
    def client(self) -> MlflowClient:
        """The client; it connects with the first use."""
        return MlflowClient(self.tracking_uri, self.tracking_uri)

    @property
    def address(self) -> str:
        """`tracking_uri` without its password."""
        return without_password(self.tracking_uri)

    def experiment(self, name: str) -> str:
        """The id of an experiment, which is created with the first use."""
        experiment = self.client.get_experiment_by_name(name)
        if experiment:
            return experiment.experiment_id
        location = None if self.tracking_uri.startswith("http") else f"{self.artifacts}/{name}"
        return self.client.create_experiment(name, artifact_location=location)
