"""Loads the compiled operators into torch.ops.cnnops."""

import importlib
import importlib.util
from pathlib import Path

import torch


def load() -> None:
    """Loads cnnops._C, after checking that it was built with the torch that is running.

    Raises ImportError when the package is not built or was built with another torch, and
    RuntimeError when CNNOPS_CPU_CAPABILITY names an instruction set that cannot be used.
    """
    check_torch_version()
    spec = importlib.util.find_spec("cnnops._C")
    torch.ops.load_library(spec.origin)
    torch.ops.cnnops._cpu_capability()


def check_torch_version() -> None:
    """Operators load only into the torch they were built with: its C++ interface is not stable."""
    try:
        built_with = importlib.import_module("cnnops._build_info").torch_version
    except ModuleNotFoundError:
        raise ImportError(
            f"cnnops in {Path(__file__).parent} is not built; build it with: "
            "pip install --no-build-isolation -e ."
        ) from None
    if built_with != torch.__version__:
        raise ImportError(
            f"cnnops was built against torch {built_with}, found torch {torch.__version__}; "
            "rebuild it with: pip install --no-build-isolation --force-reinstall --no-deps ."
        )


load()
