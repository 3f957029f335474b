"""The paths of the parts of a workspace, in one folder of this machine or under one s3:// address."""

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Workspace:
    """All state of one installation. `root` is an absolute folder or s3://bucket/…; two workspaces share nothing."""

    root: str

    @property
    def name(self) -> str:
        """The last part of the root, for display."""
        return Path(self.root).name

    @property
    def id(self) -> str:
        """Name and a hash of the root, for Prefect, whose server may have other workspaces of the same name."""
        return f"{self.name}-{hashlib.sha256(self.root.encode()).hexdigest()[:8]}"

    @property
    def tag(self) -> str:
        """The tag of this workspace's deployments and their runs in Prefect; prefect.yaml has the same."""
        return f"workspace:{self.id}"

    @property
    def raw(self) -> str:
        """The raw files that `ingest` reads by default."""
        return self._path("raw")

    @property
    def snapshots(self) -> str:
        """Versions of the sales history, see `data.snapshots`."""
        return self._path("snapshots")

    @property
    def backtests(self) -> str:
        """Backtest runs, and finished fits in `fits/`."""
        return self._path("backtests")

    @property
    def models(self) -> str:
        """Files of MLflow runs and registered models."""
        return self._path("models")

    @property
    def forecasts(self) -> str:
        """Forecast tables and plots."""
        return self._path("forecasts")

    @property
    def scenarios(self) -> str:
        """Planners' what-if scenarios, one JSON file each."""
        return self._path("scenarios")

    @property
    def alarms(self) -> str:
        """One JSON file per alarm and per outcome of an alarm."""
        return self._path("alarms")

    @property
    def validation_reports(self) -> str:
        """One folder per ingest."""
        return self._path("reports/validation")

    @property
    def monitoring_reports(self) -> str:
        """One folder per monitored day, and `latest`."""
        return self._path("reports/monitoring")

    @property
    def training_reports(self) -> str:
        """One page per training."""
        return self._path("reports/training")

    @property
    def journal_log(self) -> str:
        """Journal entries on their way to the database; in a bucket, those that a shutdown could not move there."""
        return self._path("journal-log")

    @property
    def cores(self) -> str:
        """Lock files by which the replicas of a machine share its cores, in a folder for each machine."""
        return self._path("cores")

    @property
    def mlflow_database(self) -> str:
        """The default MLflow database, a file; a bucket cannot contain it."""
        return self._path("mlflow.db")

    @property
    def journal_database(self) -> str:
        """The default prediction log, a file; a bucket cannot contain it."""
        return self._path("journal.db")

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}"
