"""The commands of the pages of JOURNEY are run in the order of the pages, as one reader would type them.

What a page does to the workspace is there on the next one.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL

from tests.support.docs import REPOSITORY, QuickTerminal, differences, read_commands
from tests.support.docs_places import JOURNEY, is_server_block, place_of

# Some forty runs of flows, two of them trainings on all cores.
pytestmark = [pytest.mark.proof, pytest.mark.alone, pytest.mark.timeout(900)]

# The pages show eight folds, which take four times as long. On these two of them the blend is the best candidate, too.
SETTINGS = {"ROSSMANN_FOLDS": "2", "ROSSMANN_FOLD_STEP_DAYS": "144", "ROSSMANN_DATA_DIR": "data/demo"}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of the repository and no data."""
    folder = tmp_path_factory.mktemp("checkout")
    for file in REPOSITORY.iterdir():
        if file.name not in ("data", ".git", "site"):
            (folder / file.name).symlink_to(file)
    return folder


@pytest.fixture(scope="module")
def environment(prefect_server, local_ray, checkout: Path, new_mlflow_database: Callable) -> dict[str, str]:
    """The variables of a new terminal: no setting but those of SETTINGS, and this process's Prefect server."""
    for workspace in ("demo", "restaurants"):
        (checkout / "data" / workspace).mkdir(parents=True)
        new_mlflow_database(checkout / "data" / workspace)
    others = {name: value for name, value in os.environ.items() if not name.startswith("ROSSMANN_")}
    path = f"{REPOSITORY}/.venv/bin:{os.environ['PATH']}"
    server = {"PREFECT_API_URL": PREFECT_API_URL.value()}
    return others | SETTINGS | server | {"PATH": path, "PYTHONPATH": str(REPOSITORY), "EDITOR": "true"}


@pytest.mark.parametrize("page", JOURNEY)
def test_the_commands_of_a_page_run_and_print_what_it_shows(page: str, checkout: Path, environment: dict) -> None:
    terminal, absent = QuickTerminal(checkout, dict(environment)), []
    for command in read_commands(page):
        if not place_of(command) and not is_server_block(command):
            absent += differences(command, terminal.run(command))
    assert absent == []
