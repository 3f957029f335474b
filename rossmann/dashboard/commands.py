"""The `rossmann` command, run by the dashboard where it changes something.

So a change made here is the one that an operator would type, with its lock, its checks and its switch of the endpoint.
"""

import os
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

EXECUTOR = ThreadPoolExecutor(thread_name_prefix="command")
TIMEOUT_S = 1800  # the lock may be held for 15 minutes, and an endpoint needs five to switch


@dataclass(frozen=True)
class CommandResult:
    """How a command ended, and what it said."""

    succeeded: bool
    text: str


def start(*arguments: str) -> Future[CommandResult]:
    """Run `rossmann` with these arguments, as `run` does, whatever becomes of the page that started it."""
    return EXECUTOR.submit(run, *arguments)


def run(*arguments: str) -> CommandResult:
    """Run `rossmann` with these arguments and this process's settings."""
    command = [sys.executable, "-m", "flows.cli", *arguments]
    try:
        process = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, env=os.environ | {"NO_COLOR": "1"}
        )
    except subprocess.TimeoutExpired:
        return CommandResult(False, f"rossmann {arguments[0]} has not ended after {TIMEOUT_S // 60} minutes")
    output = (process.stdout if process.returncode == 0 else process.stderr).strip()
    return CommandResult(process.returncode == 0, output or f"rossmann {arguments[0]} ended with {process.returncode}")
