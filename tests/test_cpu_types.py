"""Fits and forecasts are the same on machines whose processors compute matrix products in another order.

OpenBLAS chooses a kernel by the type of the processor, and OPENBLAS_CORETYPE chooses it for a process. With float32
products, the features of two kernels differed by 2e-6. LightGBM's quantized gradients made 1.5 % of a forecast of that,
and 0.5 % of the blend's.
"""

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="both kernels exist on x86 only"),
]

KERNELS = ("Haswell", "Nehalem")  # the first needs AVX2, the second runs on every x86 processor
REPOSITORY = Path(__file__).parents[1]


def fit_and_forecast(out: str) -> None:
    """Fit the blend to a sample chain; write the kernel, the State, what boosters learn from, and the forecasts."""
    from dataclasses import replace

    from threadpoolctl import threadpool_info

    from rossmann import features, models
    from rossmann.data import read_history
    from rossmann.simulation import write_sample

    history = read_history(str(write_sample(f"{out}/raw", stores=20, days=640, seed=3))).history
    windows = [models.training_window(history, o) for o in models.window_origins(history.dates[0], history.origin)]
    past = models.past_window(history, history.origin)
    blend = models.candidates(("blend",))[-1]
    members = tuple(
        replace(m, params=tuple((k, 60 if k == "max_rounds" else v) for k, v in m.params)) for m in blend.members
    )
    forecaster = models.fit(replace(blend, members=members), [*windows, past], history.origin, seed=7)
    forecaster.save(f"{out}/model")
    state = features.fit_state(history)
    forecast = forecaster.predict(state, history.plan(history.origin, 48)).sales
    state_arrays = {
        f"state {name}": values for part in (state.ridge, state.levels) for name, values in vars(part).items()
    }
    (kernel,) = {pool["architecture"] for pool in threadpool_info() if pool["user_api"] == "blas"}
    matrix = np.concatenate([window.matrix for window in windows])
    np.savez(
        f"{out}/results.npz", kernel=kernel, matrix=matrix, past=past.difference, forecast=forecast, **state_arrays
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict[str, dict[str, np.ndarray]]:
    """What each kernel computed, in a process of its own."""
    by_kernel = {}
    for kernel in KERNELS:
        out = tmp_path_factory.mktemp(kernel)
        environment = os.environ | {"OPENBLAS_CORETYPE": kernel, "PYTHONPATH": str(REPOSITORY)}
        code = f"from tests.test_cpu_types import fit_and_forecast; fit_and_forecast({str(out)!r})"
        subprocess.run([sys.executable, "-c", code], env=environment, cwd=REPOSITORY, check=True)
        files = {str(file.relative_to(out)): file.read_bytes() for file in (out / "model").rglob("model.*")}
        assert len(files) == 3
        by_kernel[kernel] = dict(np.load(out / "results.npz")) | files
    return by_kernel


def test_the_processes_computed_with_different_kernels(results):
    assert {str(result["kernel"]) for result in results.values()} == set(KERNELS)


def test_states_boosters_and_forecasts_are_the_same_to_the_last_bit(results):
    one, other = results.values()
    assert one.keys() == other.keys()
    differing = [name for name in one if name != "kernel" and bytes(one[name]) != bytes(other[name])]
    assert differing == []
