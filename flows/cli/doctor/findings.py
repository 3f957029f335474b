"""What a check gets and what it returns."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rossmann.settings import Settings

OK, WARNING, WRONG = "ok", "warning", "wrong"
REPOSITORY = Path(__file__).parents[3]
TIMEOUT_S = 2.0  # of one connection
INSTALL = "run `make install`"


@dataclass(frozen=True)
class Finding:
    """One line of the diagnosis. `advice` is a sentence that says what to do; it is empty where nothing is wrong."""

    check: str
    status: str  # OK, WARNING or WRONG
    text: str
    advice: str = ""


@dataclass(frozen=True)
class Surroundings:
    """What the checks look at. `settings` is None where they cannot be read; then `settings_problem` says why."""

    environment: Mapping[str, str]
    settings: Settings | None
    settings_problem: Finding | None = None

    @property
    def workspace(self) -> str:
        """The folder of the workspace on this machine, which need not exist yet."""
        if self.settings is not None:
            return self.settings.local_folder
        return os.path.abspath(self.environment.get("ROSSMANN_DATA_DIR") or "data")


def read_surroundings(environment: Mapping[str, str]) -> Surroundings:
    """The given environment, and the settings of this process, which are read from os.environ."""
    try:
        from rossmann.settings import Settings

        return Surroundings(environment, Settings())
    except Exception as error:  # whatever keeps the settings from being read is a finding, not a traceback
        return Surroundings(environment, None, _settings_problem(error))


def _settings_problem(error: Exception) -> Finding:
    """The reason without any value that could be a secret."""
    if isinstance(error, ImportError):
        return Finding("settings", WRONG, f"{type(error).__name__}: {error}", INSTALL)
    from flows.cli.main import user_message

    return Finding(
        "settings", WRONG, user_message(error) or type(error).__name__, "docs/operations.md lists the settings"
    )
