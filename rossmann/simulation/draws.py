"""Random numbers of a sample chain, such that more days leave the first days as they are."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Sampler = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


@dataclass(frozen=True)
class Draws:
    """The first `days` days and all stores draw from `rng`, the `extra_days` after them from `extra_rng`.

    Every daily draw has an extra generator of its own, so that the number of extra days does not change their values.
    """

    rng: np.random.Generator
    extra_rng: np.random.Generator
    days: int
    extra_days: int

    def daily_normal(self, columns: int) -> np.ndarray:
        """Standard normal numbers. float64 [days + extra days, columns]"""
        return self._daily(lambda rng, shape: rng.standard_normal(shape), columns)

    def daily_uniform(self, columns: int) -> np.ndarray:
        """Numbers from 0 to 1. float64 [days + extra days, columns]"""
        return self._daily(lambda rng, shape: rng.random(shape), columns)

    def daily_student_t(self, degrees_of_freedom: float, columns: int) -> np.ndarray:
        """Numbers of Student's t distribution. float64 [days + extra days, columns]"""
        return self._daily(lambda rng, shape: rng.standard_t(degrees_of_freedom, shape), columns)

    def _daily(self, sample: Sampler, columns: int) -> np.ndarray:
        (extra_rng,) = self.extra_rng.spawn(1)
        first = sample(self.rng, (self.days, columns))
        return np.concatenate([first, sample(extra_rng, (self.extra_days, columns))])
