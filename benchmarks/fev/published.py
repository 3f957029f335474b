"""Published scores of fev-bench on rossmann_1D, of 2026-08-19: the means over all ten windows."""

import numpy as np

from rossmann.validation import DataError

SCORES = ("SQL", "MASE", "WAPE", "WQL")
# Scores, then seconds of training and of inference on their authors' machines; the pretrained models had GPUs.
MODELS = {
    "TabPFN-TS": (0.2389, 0.3006, 0.0998, 0.0794, 0, 10_539),
    "TabPFN-TS-3": (0.2455, 0.3071, 0.1022, 0.0818, 0, 26_144),
    "TS-ICL": (0.2581, 0.3198, 0.1065, 0.0860, 0, 48),
    "Chronos-2": (0.2835, 0.3558, 0.1198, 0.0955, 0, 101),
    "CatBoost, tuned (points only)": (0.3322, 0.3322, 0.1096, 0.1096, 1_942, 3),
    "LightGBM (points only)": (0.3412, 0.3412, 0.1126, 0.1126, 44, 2),
    "TiRex-2": (0.4110, 0.4998, 0.1689, 0.1390, 0, 41),
    "TimesFM-2.5": (0.5016, 0.6106, 0.2086, 0.1711, 0, 34),
    "Moirai-2.0": (0.5274, 0.6480, 0.2215, 0.1799, 0, 25),
    "AutoARIMA": (0.5619, 0.6544, 0.2224, 0.1908, 0, 10_607),
    "Seasonal naive": (0.9137, 0.7886, 0.2692, 0.3140, 0, 7),
}
# MASE of the published seasonal naive by window; its mean over the ten is 0.788554812.
SEASONAL_NAIVE_MASE = (
    0.869341, 0.740413, 0.584667, 0.701917, 0.772561, 1.280958, 0.544151, 0.790239, 0.982700, 0.618601,
)  # fmt: skip
TOLERANCE = 1e-5


def check_seasonal_naive(mase_by_window: list[float]) -> None:
    """DataError unless the seasonal naive has its published MASE on every window: else the task is another one."""
    published = np.array(SEASONAL_NAIVE_MASE[: len(mase_by_window)])
    difference = np.abs(np.array(mase_by_window) - published)
    if not (difference < TOLERANCE).all():  # NaN differs too
        worst = int(np.argmax(np.nan_to_num(difference, nan=np.inf)))
        raise DataError(
            f"the seasonal naive has MASE {mase_by_window[worst]:.6f} on window {worst + 1}; {published[worst]:.6f} is "
            "published, so this is not the published task. Take train.csv and store.csv as Kaggle has them."
        )
