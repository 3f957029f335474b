"""What an operator turns: every knob, its default, and the environment variable that sets it (`ROSSMANN_` + name).

Built once, at the edges; inside the library functions take plain arguments.
"""

from functools import cached_property
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """One world: where it lies, whom it talks to, how it is judged."""

    model_config = SettingsConfigDict(env_prefix="ROSSMANN_", frozen=True)

    data_dir: str = Field("data", description="Where all state lies: a folder, or an s3:// address for data.")
    mlflow_tracking_uri: str | None = Field(None, description="MLflow's server or database; default: SQLite in data_dir.")
    ray_address: str | None = Field(None, description="An existing Ray cluster; default: a local Ray for the run.")

    horizon_days: int = Field(48, ge=1, le=48, description="How far a forecast reaches. [days]")
    folds: int = Field(3, ge=2, description="Backtest windows, counted back from the end of the history.")
    fold_step_days: int = Field(48, ge=1, description="Days between the origins of two windows.")
    candidates: tuple[str, ...] = Field(
        ("last_week", "median", "ridge", "lightgbm", "xgboost", "blend"), description="Who races. The naive two always do."
    )
    seed: int = Field(7, description="Of every random draw.")
    coverage: float = Field(0.9, gt=0, lt=1, description="Nominal share of days that lie between Lower and Upper.")

    promote_probability: float = Field(0.95, description="P(challenger better) that a promotion needs.")
    slice_margin: float = Field(0.05, description="How much worse, relatively, any slice may get in a promotion.")
