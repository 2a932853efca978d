"""The machine that a benchmark ran on: what it is, and what it can do at most."""

import os
import platform
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

import cnnops
from cnnops.info import info

from . import malloc

COPIED_BYTES = 256 * 2**20
TRIES = 10


class Peak(NamedTuple):
    """What a setting reaches on this machine."""

    gflops: float  # multiply-adds in registers (CPU), a large matrix product (GPU)
    gbytes: float  # copying 256 MB, reads and writes counted

    def of(self, unit: str) -> float:
        return {"GFLOP/s": self.gflops, "GB/s": self.gbytes}[unit]


def facts(device: str, command: str) -> dict[str, str]:
    """What a reader of the results has to know."""
    found = {
        "machine": _gpu(device) if device != "cpu" else _cpu(),
        "versions": f"cnnops {cnnops.__version__}, torch {torch.__version__}, "
        f"Python {platform.python_version()}, {info()['versions']['compiler']}",
        "command": command,
        "date": time.strftime("%Y-%m-%d %H:%M %z"),
        "load": f"{os.getloadavg()[0]:.1f}",  # busy processors before the start
    }
    return found if device != "cpu" else found | {"malloc": malloc.setting()}


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    model = re.search(r"^model name\s*: (.*)", text, re.M)
    name = model[1].strip() if model else platform.processor() or platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    capability = info()["cpu"]["capability"]
    return f"{name}, {os.cpu_count()} cores, {capability}, {memory:.0f} GB, {platform.system()}"


def _gpu(device: str) -> str:
    properties = torch.cuda.get_device_properties(device)
    return (
        f"{properties.name} (compute capability {properties.major}.{properties.minor}), "
        f"cuDNN {torch.backends.cudnn.version()} in benchmark mode, "
        "L2 cache flushed before calls"
    )


def measure_peak(dtype: torch.dtype, device: str) -> Peak:
    """With the number of threads and the TF32 setting that hold, the best of some tries."""
    measure = _peak_of_gpu if device.startswith("cuda") else _peak_of_cpu
    return measure(dtype, device)


def _peak_of_cpu(dtype: torch.dtype, device: str) -> Peak:
    """Half types compute in float32."""
    computed = torch.float64 if dtype == torch.float64 else torch.float32
    rounds = 1_000_000
    operations = torch.ops.cnnops._multiply_adds(computed, rounds)
    seconds = _best(lambda: torch.ops.cnnops._multiply_adds(computed, rounds))
    return Peak(operations / seconds / 1e9, _copy_bandwidth(device))


def _peak_of_gpu(dtype: torch.dtype, device: str) -> Peak:
    size = 8192
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    seconds = _best(lambda: torch.mm(left, right), torch.cuda.synchronize)
    return Peak(2 * size**3 / seconds / 1e9, _copy_bandwidth(device))


def _copy_bandwidth(device: str) -> float:
    source, target = (torch.zeros(COPIED_BYTES, dtype=torch.uint8, device=device) for _ in range(2))
    wait = torch.cuda.synchronize if device.startswith("cuda") else _no_wait
    return 2 * COPIED_BYTES / _best(lambda: target.copy_(source), wait) / 1e9


def _no_wait() -> None:
    pass


def _best(call: Callable[[], object], wait: Callable[[], None] = _no_wait) -> float:
    """Seconds of the fastest call."""
    times = []
    for _ in range(TRIES):
        wait()
        start = time.perf_counter()
        call()
        wait()
        times.append(time.perf_counter() - start)
    return min(times)
