"""Settings of an installation, their defaults, and the environment variables that set them (`ROSSMANN_` + name).

Built once, at the edges; functions of the library take plain arguments.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from rossmann.schema import (
    DEFAULT_LOSS,
    HORIZON_DAYS,
    MAX_HORIZON_DAYS,
    MAX_SET_ASIDE_SHARE,
    MIN_FOLDS,
    QUANTILE_LEVELS,
    LossName,
)
from rossmann.workspace import Workspace

# Environment variables that switch off the telemetry of every program we start.
TELEMETRY_OFF = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_V2_ENABLED": "false",  # V2 asks a host of Amplitude whatever the line above says
    "RAY_USAGE_STATS_ENABLED": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "DO_NOT_TRACK": "1",
}
# Environment variables for the S3 client: retry for about half a minute. deployments/local.env has the same values.
AWS_RETRIES = {"AWS_RETRY_MODE": "standard", "AWS_MAX_ATTEMPTS": "8"}

# Variables of our own scripts and files with the prefix of the settings.
SCRIPT_VARIABLES = {"ROSSMANN_HEAD", "ROSSMANN_IMAGE", "ROSSMANN_CODE", "ROSSMANN_WORKSPACE_ID"}
SIMILARITY = 0.8  # of a misspelled name and the one that is meant; 1: equal

MIN_LEVEL_STEP = 0.001  # between quantile levels, and from the outer ones to 0 and 1
MIN_SECRET_LENGTH = 3  # shorter parts of a password are no secret, and would be replaced within words
BEARER_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")  # RFC 6750


class Settings(BaseSettings):
    """Where a workspace is, which services it uses, and how its forecasts are made and released."""

    model_config = SettingsConfigDict(env_prefix="ROSSMANN_", env_ignore_empty=True, frozen=True)

    data_dir: str = Field(
        "data", description="The workspace with all state: a folder, created when missing, or s3://bucket/…"
    )
    mlflow_tracking_uri: str | None = Field(
        None, validate_default=True, description="MLflow server or database; default: SQLite in data_dir."
    )
    mlflow_url: str | None = Field(
        None, description="Address of MLflow's pages, for links; default: mlflow_tracking_uri if that is a server."
    )
    dashboard_url: str | None = Field(None, description="Address of the dashboard's pages, for links; default: none.")
    ray_address: str | None = Field(
        None, description="An existing Ray cluster for training; default: start a local Ray for the run."
    )

    serve_address: str | None = Field(
        None, description="Dashboard of the Ray cluster that hosts the endpoint, http://…:8265; default: no endpoint."
    )
    serve_config: str = Field(
        str(Path(__file__).parents[1] / "deployments" / "serve.yaml"),
        description="Ray Serve configuration file of the endpoint.",
    )
    http_host: str = Field(
        "127.0.0.1",
        description="Address on which the endpoint listens; any other than the loopback address requires api_keys.",
    )
    http_port: int = Field(8000, ge=1, le=65535, description="Port on which the endpoint listens.")
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (), description="API keys of the endpoint, separated by commas; none: only callers on the same machine."
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Names under which the endpoint may be called without api_keys, and the dashboard be opened, "
        "separated by commas; localhost and loopback addresses always are.",
    )
    journal_url: str | None = Field(
        None, validate_default=True, description="Database of the prediction log; default: SQLite in data_dir."
    )
    journal_retention_days: int = Field(
        730, ge=1, description="Entries of the prediction log that `sweep` deletes are older than this many days."
    )
    snapshot_retention_days: int = Field(
        365, ge=1, description="Snapshots that `sweep` deletes are older; never the current one, or one in use."
    )
    fit_retention_days: int = Field(
        90, ge=1, description="Finished fits that `sweep` deletes are older; a fit that is needed again is repeated."
    )
    backtest_retention_days: int = Field(
        365,
        ge=1,
        description="Backtest runs and training reports that `sweep` deletes are older; never one of a model in use.",
    )
    alarm_retention_days: int = Field(
        730, ge=1, description="Alarms that `sweep` deletes are older; never one that waits for its retraining."
    )
    max_body_bytes: int = Field(16_000_000, ge=1, description="Largest request body that the endpoint accepts.")
    max_rows: int = Field(100_000, ge=1, description="Largest number of rows in a request to the endpoint.")

    stale_data_days: int = Field(10, ge=1, description="Days without a new snapshot after which an alarm is raised.")
    alarm_repeat_days: int = Field(21, ge=1, description="Days before an alarm that persists is raised again.")
    alarm_retry_days: int = Field(
        7, ge=1, description="The same after a retraining that was refused or skipped: the cause may still be there."
    )
    retrain_min_gain: float = Field(
        0.05, ge=0, description="Smallest expected relative reduction of WAPE that starts a retraining."
    )
    notify_webhook: str | None = Field(None, description="URL that receives alarms and their outcomes as JSON.")
    notify_slack: SecretStr | None = Field(None, description="Slack webhook that receives alarms.")
    notify_teams: SecretStr | None = Field(None, description="Microsoft Teams webhook that receives alarms.")
    sendgrid_key: SecretStr | None = Field(None, description="API key of SendGrid, for mail.")
    sendgrid_sender: str | None = Field(None, description="Sender address that SendGrid has verified.")
    notify_email: str | None = Field(None, description="Mail address that receives alarms, through SendGrid.")

    max_set_aside_share: float = Field(
        MAX_SET_ASIDE_SHARE,
        ge=0,
        lt=1,
        description="Largest share of the days of stores that may be missing or wrong in raw files; more are refused.",
    )
    horizon_days: int = Field(
        HORIZON_DAYS, ge=1, le=MAX_HORIZON_DAYS, description="Days in a forecast; takes effect with the next ingest."
    )
    folds: int = Field(
        8,
        ge=MIN_FOLDS,
        description="Most backtest windows; there are only as many as have a full year before them, and at least two.",
    )
    fold_step_days: int | None = Field(
        None, ge=1, description="Days between the origins of two backtest windows; default: the horizon, 48 at least."
    )
    candidates: Annotated[tuple[str, ...], NoDecode] = Field(
        ("last_week", "median", "ridge", "lightgbm", "xgboost", "blend"),
        description="Candidates to backtest, separated by commas; last_week and median are always included.",
    )
    loss: LossName = Field(
        DEFAULT_LOSS,
        description="What new models are trained for and compared by: rmspe, mae, rmsle, or total (sums per store).",
    )
    seed: int = Field(7, ge=0, description="Seed of every random draw.")
    coverage: float = Field(
        0.9, ge=0.001, le=0.998, description="Share of days whose sales should be between the lower and upper bound."
    )
    quantile_levels: Annotated[tuple[float, ...], NoDecode] = Field(
        QUANTILE_LEVELS,
        description="Levels of the quantiles of every forecast, between 0 and 1, ascending, separated by commas; "
        "those of the two bounds are added.",
    )

    promotion_probability: float = Field(
        0.95, gt=0, le=1, description="Bootstrap probability of being better that a promotion requires."
    )
    slice_margin: float = Field(
        0.05, ge=0, description="Largest relative increase of the error in any slice that a promotion allows."
    )

    @field_validator("candidates", "quantile_levels", "api_keys", "allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(name for part in value.split(",") if (name := part.strip())) if isinstance(value, str) else value

    @field_validator("loss", mode="before")
    @classmethod
    def _lower_case(cls, name: object) -> object:
        return name.lower() if isinstance(name, str) else name

    @field_validator("quantile_levels")
    @classmethod
    def _check_levels(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        if not all(round(upper - lower, 9) >= MIN_LEVEL_STEP for lower, upper in pairwise((0, *levels, 1))):
            raise ValueError(f"the levels must ascend from 0 to 1 in steps of at least {MIN_LEVEL_STEP}, "
                             "and be above 0 and below 1, like 0.05,0.5,0.95")  # fmt: skip
        return levels

    @field_validator("api_keys")
    @classmethod
    def _check_api_keys(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if not all(BEARER_TOKEN.fullmatch(key.get_secret_value()) for key in keys):
            raise ValueError("an API key consists of letters, digits and -._~+/=; separate several keys by commas")
        return keys

    @field_validator("notify_email")
    @classmethod
    def _check_mail(cls, address: str | None, others: ValidationInfo) -> str | None:
        if address and not (others.data["sendgrid_key"] and others.data["sendgrid_sender"]):
            raise ValueError(
                "mail is sent through SendGrid; set ROSSMANN_SENDGRID_KEY and ROSSMANN_SENDGRID_SENDER as well"
            )
        return address

    @field_validator("mlflow_tracking_uri", "journal_url")
    @classmethod
    def _check_database(cls, address: str | None, others: ValidationInfo) -> str | None:
        if address is None and "://" in others.data["data_dir"]:
            raise ValueError(
                f"{others.data['data_dir']} cannot contain a SQLite database; set the address of a database, "
                "postgresql+psycopg://USER:PASSWORD@HOST/NAME, or of a file on this machine, sqlite:////PATH"
            )
        return address

    @classmethod
    def unknown_variables(cls, environment: Iterable[str]) -> dict[str, str | None]:
        """The variables ROSSMANN_… that set nothing, with the nearest name that would."""
        prefix = cls.model_config["env_prefix"]
        names = [f"{prefix}{name.upper()}" for name in cls.model_fields]
        unknown = [each for each in sorted(environment) if each.startswith(prefix) and each.upper() not in names]
        return {
            each: next(iter(get_close_matches(each, names, n=1, cutoff=SIMILARITY)), None)
            for each in unknown
            if each not in SCRIPT_VARIABLES
        }

    @property
    def workspace(self) -> Workspace:
        """The paths of the parts of the workspace. Its root is `data_dir`, as an absolute path if that is a folder."""
        return Workspace(self.data_dir.rstrip("/") if "://" in self.data_dir else str(Path(self.data_dir).resolve()))

    @property
    def local_folder(self) -> str:
        """A folder on this machine, for files that cannot be in a bucket.

        The workspace if that is a folder, otherwise data/s3/bucket/…; the Makefile computes the same path.
        """
        root = self.workspace.root
        return str(Path("data", *root.split("://")).resolve()) if "://" in root else root

    @property
    def mlflow_address(self) -> str:
        """Address of MLflow: the configured one, or the SQLite database of the workspace."""
        return self.mlflow_tracking_uri or f"sqlite:///{self.workspace.mlflow_database}"

    @property
    def mlflow_page(self) -> str | None:
        """Address of MLflow's pages; None where no server is known."""
        uri = self.mlflow_tracking_uri or ""
        return self.mlflow_url or (uri if uri.startswith("http") else None)

    @property
    def has_recipient(self) -> bool:
        """Whether anybody is notified of alarms."""
        return any((self.notify_webhook, self.notify_slack, self.notify_teams, self.notify_email))

    @property
    def journal_address(self) -> str:
        """Address of the prediction log: the configured one, or the SQLite database of the workspace."""
        return self.journal_url or f"sqlite:///{self.workspace.journal_database}"


def key_hash(key: str) -> bytes:
    """SHA-256 of an API key: what stays in memory of it."""
    return hashlib.sha256(key.encode()).digest()


def is_valid_key(key: str, key_hashes: Iterable[bytes]) -> bool:
    """Whether an API key is one of those with these hashes. It is compared with all: the time is always the same."""
    digest = key_hash(key)
    matches = [hmac.compare_digest(digest, key_digest) for key_digest in key_hashes]
    return any(matches)


def without_password(address: str) -> str:
    """The address of a database with its password replaced by ***, for messages.

    All from the first colon after the scheme to the last @ counts as password, since it may contain any character.
    """
    without_url_password = re.sub(r"(://[^:]*:).*(?=@)", r"\1***", address, flags=re.DOTALL)
    return re.sub(r"(password=)[^&]*", r"\1***", without_url_password, flags=re.IGNORECASE)


def hide_password(text: str, address: str) -> str:
    """A message about the database at an address, without any part of its password.

    A driver that splits a password with @ or / at the wrong place quotes a part of it as the name of the host.
    """
    secret = re.search(r"://[^:]*:(.*)@", address, flags=re.DOTALL)
    parts = re.split(r"[@/:?#]", secret[1]) if secret else []
    for part in sorted(parts, key=len, reverse=True):
        text = text.replace(part, "***") if len(part) >= MIN_SECRET_LENGTH else text
    return text.replace(address, without_password(address))
