"""A fit that needs more memory than there is fails after a few attempts, by name, and the others go on.

The memory is not really exhausted: Ray's limit is set a little above what is in use, in a process of its own.
"""

import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from rossmann import evaluation
from rossmann.training import fits

pytestmark = [pytest.mark.proof, pytest.mark.alone]

REPOSITORY = Path(__file__).parents[1]
LIMIT_BYTES = 1_200_000_000  # above what is in use
FIT_BYTES = 2_400_000_000  # what the fit would use; Ray kills it on the way
TIMEOUT_S = 150  # with endless attempts it never ends
SCRIPT = """
import os, pickle, sys, time
import numpy as np
from rossmann import models, training
from rossmann.models import Candidate
from rossmann.storage import Storage
from rossmann.validation import DataError

history, origins, needed_bytes = pickle.load(sys.stdin.buffer)
driver = os.getpid()


class Hungry(Candidate):
    @property
    def needs_training_windows(self):
        if os.getpid() != driver:
            memory = []
            for _ in range(100):
                memory.append(np.ones(needed_bytes // 800))
                time.sleep(0.05)
        return False


by_name = {candidate.name: candidate for candidate in models.candidates(("ridge",))}
hungry = Hungry("hungry", "ridge", variance_factor=0.0)
entries = [training.BacktestEntry(each.name, each) for each in (hungry, by_name["median"], by_name["ridge"])]
run = training.run_backtests(history, entries, origins, horizon_days=48, coverage=0.9, seed=7, ray_address=None,
                             storage=Storage(sys.argv[1]), progress=lambda *_: None)
sys.stderr.write("FAILURES " + repr(run.failures) + " CANDIDATES " + ",".join(sorted(run.backtest.candidates)))
"""


def test_a_fit_without_enough_memory_is_named_and_the_others_go_on(noisy, tmp_path):
    memory = psutil.virtual_memory()
    threshold = (memory.total - memory.available + LIMIT_BYTES) / memory.total
    assert threshold < 0.9, "too little memory is free to try this safely"
    limits = {"RAY_memory_usage_threshold": f"{threshold:.4f}", "RAY_memory_monitor_refresh_ms": "100"}
    origins = evaluation.fold_origins(noisy, 2, 48, 48)
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        input=pickle.dumps((noisy, origins, FIT_BYTES)),
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | limits,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    result = process.stderr.decode().rsplit("FAILURES ", 1)[1]
    pattern = r"hungry from 2014-\d\d-\d\d needed more memory than there is: its process used \S+ when \S+ of \S+ were"
    assert re.search(pattern, result), result
    assert f"{fits.OUT_OF_MEMORY_RETRIES + 1} times" in result
    assert result.endswith("CANDIDATES median,ridge")


@pytest.mark.parametrize(("file", "assignment"), [("cluster.env", "={} "), ("compose.yaml", ': "{}" ')])
def test_a_cluster_has_the_same_number_of_attempts(file, assignment):
    """Ray reads it from the environment of each driver and node."""
    content = (REPOSITORY / "deployments" / file).read_text()
    assert "RAY_task_oom_retries" + assignment.format(fits.OUT_OF_MEMORY_RETRIES) in content
