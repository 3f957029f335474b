"""The commands of the documentation that need servers: the stack is started, and started again with other keys."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest

from benchmarks.loop import PORTS, terminal_environment
from tests.support.cluster import free_ports, kill_all, processes_of, wait
from tests.support.docs import REPOSITORY, Command, Terminal, differences, read_commands
from tests.support.docs_places import is_server_block, place_of
from tests.test_docs_journey import SETTINGS

pytestmark = [pytest.mark.docs_stack, pytest.mark.timeout(1200)]

PAGES = ("docs/deployment.md", "README.md", "docs/http.md", "docs/operations.md", "docs/runbook.md")
DEFAULTS = {"PREFECT_PORT": 4200, "MLFLOW_PORT": 5000, "ROSSMANN_HTTP_PORT": 8000}
MAKE = "make --assume-old=.venv/installed-from-lock --assume-old=.venv/installed-project"
START_S, STOP_S = 300, 60


class Stack:
    """The `make up` of a page, on free ports; the next one replaces it."""

    def __init__(self, checkout: Path, environment: dict[str, str]) -> None:
        self.checkout, self.environment = checkout, environment
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self.make: psutil.Popen | None = None

    def start(self, command: str) -> None:
        """Run `make up` until the endpoint serves a model."""
        self.stop()
        with (self.checkout / "up.log").open("a") as log:
            self.make = psutil.Popen(
                ["sh", "-c", f"exec {self.translate(command)}"], cwd=self.checkout, env=self.environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        wait(self._is_ready, START_S)

    def stop(self) -> None:
        """Ctrl-C."""
        if self.make and self.make.is_running():
            os.killpg(self.make.pid, signal.SIGINT)
            psutil.wait_procs([self.make], timeout=STOP_S)
            kill_all([*processes_of(self.checkout / "data/demo"), self.make])

    def translate(self, text: str) -> str:
        """A command with this stack's ports in place of the default ones."""
        ports = " ".join(f"{name}={port}" for name, port in self.ports.items())
        for name, default in DEFAULTS.items():
            text = text.replace(f"127.0.0.1:{default}", f"127.0.0.1:{self.ports[name]}")
        text = re.sub(r"\bmake (up|-s env)", rf"make \1 {ports}", text)
        return re.sub(r"\bmake ", f"{MAKE} ", text)

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.ports['ROSSMANN_HTTP_PORT']}/ready", trust_env=False).is_success
        except httpx.HTTPError:
            return False


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the files of the repository, in which the commands of the quick start were run."""
    for file in REPOSITORY.iterdir():
        if file.name not in ("data", ".git", "site"):
            (tmp_path / file.name).symlink_to(file)
    return tmp_path


@pytest.fixture
def environment() -> dict[str, str]:
    """The variables of a new terminal. One linear model is enough to be served."""
    settings = SETTINGS | {"ROSSMANN_CANDIDATES": "ridge", "PYTHONPATH": str(REPOSITORY)}
    return terminal_environment() | settings | {"PATH": f"{REPOSITORY}/.venv/bin:{os.environ['PATH']}"}


@pytest.fixture
def stack(checkout: Path, environment: dict[str, str]) -> Iterator[Stack]:
    """A stack that is not yet started."""
    stack = Stack(checkout, environment)
    try:
        yield stack
    finally:
        stack.stop()


def server_blocks(page: str) -> list[list[Command]]:
    """The blocks of a page with commands that need servers."""
    commands = [each for each in read_commands(page) if is_server_block(each) and not place_of(each)]
    numbers = sorted({each.block for each in commands})
    return [[each for each in commands if each.block == number] for number in numbers]


def test_the_commands_that_need_servers_run_and_print_what_is_shown(
    checkout: Path, environment: dict[str, str], stack: Stack
) -> None:
    quick_start = Terminal(checkout, dict(environment))
    quick_start.run(Command("", "", "rossmann sample && rossmann retrain", (), 0))
    absent = []
    for page in PAGES:
        terminal = Terminal(checkout, dict(environment))
        for block in server_blocks(page):
            for command in block:
                if command.text.startswith("make up"):
                    stack.start(command.text)
                else:
                    typed = replace(command, text=stack.translate(command.text))
                    absent += differences(command, terminal.run(typed))
    assert absent == []
