"""Tests, sanitizes and times the CUDA kernels on this machine's GPU: what make gpu runs.

Everything is printed as it runs and kept in docs/gpu/<device>.txt. A step that fails does not stop
those after it, for GPU time is rare; the exit code is 1 if one did. Free of cnnops, so that
--architecture can tell what to build for.
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

ROOT = Path(__file__).parent.parent
SANITIZED = "tests/test_sanitizer.py"
# The sanitizers look at cnnops' kernels alone, but to know what was initialized one must see all.
OWN_KERNELS = ("--kernel-name", "kernel_substring=cnnops")
TOOLS = dict.fromkeys(("memcheck", "racecheck", "synccheck"), OWN_KERNELS) | {"initcheck": ()}


class Step(NamedTuple):
    """A command, as the report shows it, with what it adds to the environment."""

    command: list[str]
    environment: dict[str, str] = {}

    def __str__(self) -> str:
        settings = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        words = ["python" if word == sys.executable else word for word in self.command]
        return " ".join([*settings, shlex.join(words)])


def python(*arguments: str) -> list[str]:
    return [sys.executable, "-m", *arguments]


def tests(workers: str) -> Iterator[Step]:
    yield Step(
        python("pytest", "-q", "-n", workers, "--basetemp=build/test"),
        {"CNNOPS_TEST_DEVICES": "cpu,cuda"},
    )


def sanitizers() -> Iterator[Step]:
    """Each allocation comes from CUDA itself, for the tools to know its ends."""
    environment = {"CNNOPS_TEST_DEVICES": "cuda", "PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    for tool, filters in TOOLS.items():
        options = ["--tool", tool, *filters, "--report-api-errors", "no", "--error-exitcode", "1"]
        command = python("pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", SANITIZED)
        yield Step(["compute-sanitizer", *options, *command], environment)


def benchmarks() -> Iterator[Step]:
    """Float32 with and without TF32, half types; batches by rule and large ones."""
    half = ["--dtypes", "float16", "bfloat16"]
    large = ["--batch", "128"]
    for name, variants in {
        "conv2d": [[], half, large, [*large, *half]],
        "pool2d": [[], half, large],
        "network": [[], ["--batch", "256", "--filter", "lenet", "resnet20", "plain8"]],
    }.items():
        for options in variants:
            yield Step(python(f"benchmarks.{name}", "--device", "cuda", *options))


def require_gpu() -> None:
    """One sentence says what is missing, before anything is built or run."""
    if not torch.cuda.is_available():
        raise SystemExit(f"make gpu: torch {torch.__version__} finds no usable GPU here")
    for tool, why in {"nvcc": "to build", "compute-sanitizer": "to sanitize"}.items():
        if shutil.which(tool, path=tool_path()) is None:
            raise SystemExit(f"make gpu: needs {tool} {why}, in CUDA_HOME/bin or on PATH")


def tool_path() -> str:
    """PATH, with the folder of the CUDA toolkit before it."""
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    nvcc = shutil.which("nvcc")
    folders = [os.path.join(home, "bin")] if home else []
    folders += [os.path.dirname(os.path.realpath(nvcc))] if nvcc else []
    return os.pathsep.join([*folders, os.environ.get("PATH", "")])


def architectures() -> str:
    """TORCH_CUDA_ARCH_LIST of the GPUs that are there."""
    found = {torch.cuda.get_device_capability(i) for i in range(torch.cuda.device_count())}
    return " ".join(f"{major}.{minor}" for major, minor in sorted(found))


def facts() -> dict[str, str]:
    nvcc = output("nvcc", "--version")
    return {
        "device": torch.cuda.get_device_name(),
        "count": str(torch.cuda.device_count()),
        "compute capability": architectures(),
        "memory": f"{torch.cuda.get_device_properties(0).total_memory / 1e9:.1f} GB",
        "driver": output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
        "torch": f"{torch.__version__}, CUDA {torch.version.cuda}, "
        f"cuDNN {torch.backends.cudnn.version()}",
        "nvcc": (re.findall(r"release ([\d.]+)", nvcc) or ["?"])[0],
        "commit": output("git", "describe", "--always", "--abbrev=40", "--dirty"),
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }


def output(*command: str) -> str:
    """The first line that a command prints, all of it for nvcc, or "?"."""
    environment = os.environ | {"PATH": tool_path()}
    try:
        printed = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "?"
    return printed if command[0] == "nvcc" else printed.splitlines()[0]


def run(step: Step, report) -> int:
    """Runs a step; prints and reports its command, its lines, its time and exit code."""

    def say(text: str) -> None:
        print(text, end="", flush=True)
        report.write(text)
        report.flush()

    say(f"\n$ {step}\n")
    start = time.perf_counter()
    environment = os.environ | {"PATH": tool_path(), "PYTHONUNBUFFERED": "1"} | step.environment
    with subprocess.Popen(
        step.command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stdout:
            say(line)
    say(f"[exit {process.returncode} after {time.perf_counter() - start:.0f} s]\n")
    return process.returncode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--architectures", action="store_true", help="print TORCH_CUDA_ARCH_LIST and end"
    )
    parser.add_argument("--workers", default="2", help="processes that run the tests")
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=["tests", "sanitizers", "benchmarks"],
        default=["tests", "sanitizers", "benchmarks"],
    )
    parser.add_argument("--output", type=Path, help="by default docs/gpu/<device>.txt")
    options = parser.parse_args()
    require_gpu()
    if options.architectures:
        print(architectures())
        return
    steps = {
        "tests": lambda: tests(options.workers),
        "sanitizers": sanitizers,
        "benchmarks": benchmarks,
    }
    found = facts()
    name = re.sub(r"[^\w.-]+", "-", found["device"])
    path = options.output or ROOT / "docs" / "gpu" / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    failed = []
    with path.open("w") as report:
        report.writelines(f"{fact + ':':<20}{value}\n" for fact, value in found.items())
        for part in options.parts:
            failed += [step for step in steps[part]() if run(step, report) != 0]
        end = "\n".join(["\nfailed:", *map(str, failed)]) if failed else "\neverything passed"
        report.write(f"{end}\n")
    print(f"{end}\nreport: {path}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
