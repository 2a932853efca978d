"""Alternating timings: the two sides take turns, so that a busy machine slows both.

On a CPU the clock tells the time, caches as the calls leave them. On a GPU events do: before every
call FLUSH bytes are written, which empties the L2 cache and keeps the GPU busy while the host
launches the call. So the time between the events is the GPU's, and the host's only as far as it
takes longer than that write, a tenth of a millisecond or more.
"""

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch

FLUSH = 256 * 2**20


class Comparison(NamedTuple):
    """Median seconds of a call on each side."""

    cnnops: float
    torch: float

    @property
    def ratio(self) -> float:
        """How many times as fast cnnops is."""
        return self.torch / self.cnnops


Call = Callable[[], object]


def compare(cnnops: Call, torch: Call, seconds: float, device: str = "cpu") -> Comparison:
    """Calls the sides in turn for about `seconds`, at least five times each, after a warm-up."""
    take = on_gpu(device) if device.startswith("cuda") else on_cpu
    for _ in range(3 if device.startswith("cuda") else 1):
        take(cnnops)
        take(torch)
    samples = [], []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(samples[0]) < 5:
        for side, taken in zip((cnnops, torch), samples, strict=True):
            taken.append(take(side))
    return Comparison(*map(statistics.median, samples))


def on_cpu(call: Call) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def on_gpu(device: str) -> Callable[[Call], float]:
    """The same on a GPU."""
    flushed = torch.empty(FLUSH, dtype=torch.uint8, device=device)

    def take(call: Call) -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        flushed.zero_()
        start.record()
        call()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1e3

    return take
