"""What this installation of cnnops is and what it runs on: python -m cnnops.info [--json]."""

import argparse
import json
import platform

import torch

from . import _build_info


def info() -> dict:
    """Returns the facts of the build and of this machine.

    Keys: `versions`, `build`, `cpu` (the instruction set in use, those CNNOPS_CPU_CAPABILITY can
    force here, torch's thread count), `cuda` and `conv2d_algorithms` (in order of preference).
    """
    return {
        "versions": {
            "cnnops": _build_info.version,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "compiler": _build_info.compiler,
        },
        "build": {
            "torch": _build_info.torch_version,
            "cxx_standard": _build_info.cxx_standard,
            "flags": _build_info.flags,
        },
        "cpu": {
            "capability": torch.ops.cnnops._cpu_capability(),
            "available": torch.ops.cnnops._cpu_capabilities(),
            "threads": torch.get_num_threads(),
        },
        "cuda": cuda(),
        "conv2d_algorithms": torch.ops.cnnops._conv2d_algorithms(),
    }


def cuda() -> dict | None:
    """Returns what the CUDA part was built for and sees, or None in a build without CUDA.

    `problem` says why there is no device, and is empty where there is one.
    """
    if _build_info.cuda_version is None:
        return None
    runtime_version, devices, problem = torch.ops.cnnops._cuda_device_info()
    return {
        "compiler": _build_info.cuda_version,
        "runtime": f"{runtime_version // 1000}.{runtime_version % 1000 // 10}",
        "architectures": list(_build_info.cuda_architectures),
        "devices": devices,
        "problem": problem,
    }


def render(facts: dict) -> str:
    """Lays the facts out as text, one line each."""
    lines = []
    for name, value in facts.items():
        entries = value.items() if isinstance(value, dict) else [("", value)]
        for key, entry in entries:
            text = "; ".join(entry) if isinstance(entry, list) else entry
            lines.append(f"{f'{name} {key}'.strip():<20} {text or 'none'}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Prints the facts."""
    parser = argparse.ArgumentParser(prog="python -m cnnops.info", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    as_json = parser.parse_args(arguments).json
    print(json.dumps(info(), indent=2) if as_json else render(info()))


if __name__ == "__main__":
    main()
