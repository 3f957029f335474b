"""What an operator turns: every knob, its default, and the environment variable that sets it (`ROSSMANN_` + its name).

Built once, at the edges; inside the library functions take plain arguments.
"""

import ast
import hashlib
import re
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

# Telemetry of what we run is off wherever we start it.
QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "DO_NOT_TRACK": "1",
}
# An object store that is busy or away for half a minute is asked again; as in deployments/local.env.
PATIENT = {"AWS_RETRY_MODE": "standard", "AWS_MAX_ATTEMPTS": "8"}

FORECASTING = ("data", "features", "models")  # packages of this library
BEARER = re.compile(r"[A-Za-z0-9\-._~+/]+=*")  # RFC 6750
NUMERIC = {"numpy", "lightgbm", "xgboost", "xgboost-cpu"}


class Settings(BaseSettings):
    """One world: where it lies, whom it talks to, how it is judged."""

    model_config = SettingsConfigDict(env_prefix="ROSSMANN_", env_ignore_empty=True, frozen=True)

    data_dir: str = Field("data", description="Where all state lies: a folder, made when missing, or s3://bucket/…")
    mlflow_tracking_uri: str | None = Field(
        None, validate_default=True, description="MLflow's server or database; default: SQLite in data_dir."
    )
    ray_address: str | None = Field(None, description="An existing Ray cluster; default: a local Ray for the run.")

    serve_address: str | None = Field(
        None, description="Dashboard of the Ray cluster that hosts the endpoint, http://…:8265; default: no endpoint."
    )
    serve_config: str = Field(
        str(Path(__file__).parents[1] / "deployments" / "serve.yaml"), description="How Serve runs the endpoint."
    )
    http_host: str = Field(
        "127.0.0.1", description="Where the endpoint listens; elsewhere than here it needs api_keys."
    )
    http_port: int = Field(8000, ge=1, le=65535, description="The endpoint's port.")
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (), description="Who may ask the endpoint, separated by commas; none: callers on its own machine."
    )
    journal_url: str | None = Field(
        None, validate_default=True, description="Database of what was forecast; default: SQLite in data_dir."
    )
    journal_days: int = Field(730, ge=1, description="How long it is kept.")
    body_limit_bytes: int = Field(16_000_000, ge=1, description="The largest request.")
    row_limit: int = Field(100_000, ge=1, description="The most rows in a request.")

    silence_days: int = Field(10, ge=1, description="Without a new snapshot for so long, there is an alarm.")
    alarm_quiet_days: int = Field(21, ge=1, description="What was raised and still stands is not raised again so long.")
    retrain_gain: float = Field(
        0.05, ge=0, description="Share of the error that a retraining must promise to take off, or it is skipped."
    )
    notify_webhook: str | None = Field(None, description="URL that gets alarms and outcomes as JSON.")
    notify_slack: SecretStr | None = Field(None, description="Slack webhook that gets them.")
    notify_teams: SecretStr | None = Field(None, description="Microsoft Teams webhook that gets them.")
    sendgrid_key: SecretStr | None = Field(None, description="SendGrid's API key.")
    sendgrid_sender: str | None = Field(None, description="The sender that SendGrid has verified.")
    notify_email: str | None = Field(None, description="Address that gets them, through SendGrid.")

    horizon_days: int = Field(48, ge=1, le=48, description="How far a forecast reaches. [days]")
    folds: int = Field(3, ge=2, description="Backtest windows, counted back from the end of the history.")
    fold_step_days: int = Field(48, ge=1, description="Days between the origins of two windows.")
    candidates: Annotated[tuple[str, ...], NoDecode] = Field(
        ("last_week", "median", "ridge", "lightgbm", "xgboost", "blend"),
        description="Who races, separated by commas; the naive two always do.",
    )
    seed: int = Field(7, ge=0, description="Of every random draw.")
    coverage: float = Field(0.9, gt=0, lt=1, description="Nominal share of days that lie between Lower and Upper.")

    promote_probability: float = Field(0.95, gt=0, le=1, description="P(challenger better) that a promotion needs.")
    slice_margin: float = Field(0.05, ge=0, description="How much worse, relatively, a slice may get in a promotion.")

    @field_validator("candidates", "api_keys", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(name for part in value.split(",") if (name := part.strip())) if isinstance(value, str) else value

    @field_validator("api_keys")
    @classmethod
    def _sendable(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if not all(BEARER.fullmatch(key.get_secret_value()) for key in keys):
            raise ValueError("a key is letters, digits and -._~+/=, as HTTP headers carry them; commas between keys")
        return keys

    @field_validator("notify_email")
    @classmethod
    def _mailable(cls, address: str | None, others: ValidationInfo) -> str | None:
        if address and not (others.data["sendgrid_key"] and others.data["sendgrid_sender"]):
            raise ValueError("mail goes through SendGrid; set ROSSMANN_SENDGRID_KEY and ROSSMANN_SENDGRID_SENDER too")
        return address

    @field_validator("mlflow_tracking_uri", "journal_url")
    @classmethod
    def _named(cls, address: str | None, others: ValidationInfo) -> str | None:
        if address is None and "://" in others.data["data_dir"]:
            raise ValueError(
                f"no SQLite can lie in {others.data['data_dir']}; name a database, "
                "postgresql+psycopg://USER:PASSWORD@HOST/NAME, or a file of this machine, sqlite:////PATH"
            )
        return address

    @property
    def home(self) -> str:
        """`data_dir`, absolute where it is a folder."""
        return self.data_dir.rstrip("/") if "://" in self.data_dir else str(Path(self.data_dir).resolve())

    @property
    def local_home(self) -> str:
        """This machine's folder for what no bucket can hold; `home`, or data/s3/bucket/… as in the Makefile."""
        return str(Path("data", *self.home.split("://")).resolve()) if "://" in self.home else self.home

    def place(self, name: str) -> str:
        """Address of something that lies in `data_dir`."""
        return f"{self.home}/{name}"

    @property
    def tracking_uri(self) -> str:
        return self.mlflow_tracking_uri or f"sqlite:///{self.place('mlflow.db')}"

    @property
    def journal(self) -> str:
        return self.journal_url or f"sqlite:///{self.place('journal.db')}"


@cache
def code_version() -> str:
    """Hash of what a forecast depends on besides its inputs: the code of FORECASTING and the numeric packages.

    Of the code, not of its text: comments, docstrings and layout do not count.
    """
    package = Path(__file__).parent
    digest = hashlib.sha256("\n".join(line for line in environment() if line.split("==")[0] in NUMERIC).encode())
    for file in sorted(file for name in FORECASTING for file in (package / name).rglob("*.py")):
        digest.update(f"{file.relative_to(package)}\0{_meaning(file.read_text())}".encode())
    return digest.hexdigest()[:16]


def without_password(address: str) -> str:
    """The address of a database as it may be shown."""
    hidden = re.sub(r"(://[^:/@]*:)[^/]*(?=@)", r"\1***", address)
    return re.sub(r"(password=)[^&]*", r"\1***", hidden, flags=re.IGNORECASE)


def _meaning(source: str) -> str:
    """The code without its comments, docstrings and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)


@cache
def environment() -> tuple[str, ...]:
    """Every installed distribution as name==version, sorted."""
    return tuple(sorted({f"{d.metadata['Name'].lower()}=={d.version}" for d in distributions()}))


def environment_hash() -> str:
    """Short hash of `environment()`."""
    return hashlib.sha256("\n".join(environment()).encode()).hexdigest()[:16]
