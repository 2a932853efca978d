"""Where a run takes place: devices, versions, and the settings that make it repeatable."""

import os
import platform
import re
from pathlib import Path
from typing import Any

import matplotlib
import sklearn
import torch
import torchvision

import cnnops

from .._dispatch import has_kernels
from .errors import TrainError
from .options import Options


def prepare(options: Options) -> None:
    """Checks the device and sets threads and determinism."""
    device = _device(options.device)
    if device.type == "cuda" and options.ops == "cnnops" and not has_kernels("cuda"):
        raise TrainError(
            f"this build of cnnops has no CUDA kernels: --device {options.device} needs --ops torch"
        )
    torch.set_num_threads(options.threads)
    # cuBLAS needs a fixed workspace to be repeatable, and reads this when CUDA starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    # The trainer reads no memory before writing it, so torch need not fill it with NaN.
    torch.utils.deterministic.fill_uninitialized_memory = False


def versions() -> dict[str, str]:
    return dict(
        cnnops=cnnops.__version__,
        torch=torch.__version__,
        torchvision=torchvision.__version__,
        scikit_learn=sklearn.__version__,
        matplotlib=matplotlib.__version__,
        python=platform.python_version(),
    )


def describe(options: Options) -> dict[str, Any]:
    device = torch.device(options.device)
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return dict(
        platform=platform.platform(),
        processor=_processor(),
        cores=os.cpu_count(),
        threads=torch.get_num_threads(),
        cpu_capability=torch.ops.cnnops._cpu_capability(),
        gpu=gpu,
    )


def _device(name: str) -> torch.device:
    if not re.fullmatch("cpu|cuda(:(0|[1-9][0-9]*))?", name):
        raise TrainError(f"--device expected cpu, cuda or cuda:<n>, got {name!r}")
    kind, _, index = name.partition(":")
    if kind == "cuda" and not torch.cuda.is_available():
        raise TrainError(f"--device {name}: torch finds no usable CUDA device here")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise TrainError(f"--device {name}: there are {torch.cuda.device_count()} CUDA devices")
    return torch.device(name)


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
