"""Whether forecasts still come true and the data are still like those learnt from."""

from rossmann.monitoring.performance import Performance, Promise, baseline, judge, perform, promise, sums

__all__ = ["Performance", "Promise", "baseline", "judge", "perform", "promise", "sums"]
