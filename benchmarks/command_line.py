"""What the benchmarks share: their options, the machine they ran on, their table."""

import argparse
import math
from collections.abc import Iterable

import torch

import cnnops
from cnnops.info import info

DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def parse(description: str, passes: list[str]) -> argparse.Namespace:
    """Reads the options; every list stands for all of its values by default."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--passes", nargs="+", choices=passes, default=passes)
    parser.add_argument("--formats", nargs="+", choices=list(FORMATS), default=list(FORMATS))
    parser.add_argument("--dtype", choices=list(DTYPES), default="float32")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--filter", default="", help="only shapes whose name holds this text")
    parser.add_argument("--seconds", type=float, default=0.5, help="time spent on each case")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    return options


def print_machine(options: argparse.Namespace) -> None:
    facts = info()
    print(
        f"cnnops {cnnops.__version__} ({facts['cpu']['capability']}), torch {torch.__version__}, "
        f"{options.threads} threads, {options.dtype}; "
        "ratio = torch's time / cnnops' time, medians of alternating calls\n"
    )


def print_geometric_mean(ratios: Iterable[float]) -> None:
    logarithms = [math.log(ratio) for ratio in ratios]
    if logarithms:
        mean = math.exp(sum(logarithms) / len(logarithms))
        print(f"\ngeometric mean of {len(logarithms)} ratios: {mean:.2f}")


def require_close(name: str, result: torch.Tensor, expected: torch.Tensor) -> None:
    """Refuses to time a kernel whose result is not torch's in float64, within its dtype."""
    error = (result.double() - expected).abs().max()
    tolerance = 16 * torch.finfo(result.dtype).eps * expected.abs().max()
    if not error <= tolerance:
        raise SystemExit(
            f"{name}: the worst error is {error:.2e}, expected at most {tolerance:.2e}"
        )
