"""Alternating timings: the two sides take turns, so that a busy machine slows both."""

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple


class Comparison(NamedTuple):
    """Median seconds of a call on each side."""

    cnnops: float
    torch: float

    @property
    def ratio(self) -> float:
        """How many times as fast cnnops is."""
        return self.torch / self.cnnops


def compare(
    cnnops: Callable[[], object], torch: Callable[[], object], seconds: float
) -> Comparison:
    """Calls the sides in turn for about `seconds`, at least five times each, after one warm-up."""
    cnnops()
    torch()
    samples = [], []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(samples[0]) < 5:
        for side, taken in zip((cnnops, torch), samples, strict=True):
            start = time.perf_counter()
            side()
            taken.append(time.perf_counter() - start)
    return Comparison(*map(statistics.median, samples))
