"""What the benchmarks share: their options, the machine they ran on, their table."""

import argparse
import math
from collections.abc import Iterable

import torch

import cnnops
from cnnops._dispatch import has_kernels
from cnnops.info import info

DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}

TF32_EPS = 2**-10


def parse(description: str, passes: list[str]) -> argparse.Namespace:
    """Reads the options and makes torch's settings; a list stands for all its values by default."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--passes", nargs="+", choices=passes, default=passes)
    parser.add_argument("--formats", nargs="+", choices=list(FORMATS), default=list(FORMATS))
    parser.add_argument("--dtype", choices=list(DTYPES), default="float32")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:<n>")
    parser.add_argument(
        "--tf32", action="store_true", help="allow both sides TF32 (float32 on CUDA)"
    )
    parser.add_argument("--batch", type=int, help="images; by default each shape's own number")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--filter", default="", help="only shapes whose name holds this text")
    parser.add_argument("--seconds", type=float, default=0.5, help="time spent on each case")
    options = parser.parse_args()
    if options.tf32 and (options.dtype != "float32" or options.device == "cpu"):
        parser.error("--tf32 is for --dtype float32 on --device cuda")
    torch.set_num_threads(options.threads)
    if options.device != "cpu":
        if not (torch.cuda.is_available() and has_kernels("cuda")):
            parser.error("--device cuda needs a GPU and a build of cnnops with CUDA kernels")
        torch.cuda.set_device(torch.device(options.device).index or 0)
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = options.tf32
        torch.backends.cuda.matmul.allow_tf32 = options.tf32
    return options


def print_machine(options: argparse.Namespace) -> None:
    print(
        f"cnnops {cnnops.__version__}, torch {torch.__version__}, {_hardware(options)}, "
        f"{options.dtype}; ratio = torch's time / cnnops' time, medians of alternating calls\n"
    )


def _hardware(options):
    if options.device == "cpu":
        return f"{info()['cpu']['capability']}, {options.threads} threads"
    properties = torch.cuda.get_device_properties(options.device)
    tf32 = f", TF32 {'allowed' if options.tf32 else 'forbidden'}"
    return (
        f"{properties.name} (compute capability {properties.major}.{properties.minor}), "
        f"cuDNN {torch.backends.cudnn.version()} in benchmark mode, L2 cache flushed before calls"
        f"{tf32 if options.dtype == 'float32' else ''}"
    )


def print_geometric_mean(ratios: Iterable[float]) -> None:
    logarithms = [math.log(ratio) for ratio in ratios]
    if logarithms:
        mean = math.exp(sum(logarithms) / len(logarithms))
        print(f"\ngeometric mean of {len(logarithms)} ratios: {mean:.2f}")


def require_close(
    name: str, result: torch.Tensor, expected: torch.Tensor, tf32: bool = False
) -> None:
    """Refuses to time a kernel whose result is not torch's in float64, within its dtype."""
    error = (result.double() - expected).abs().max()
    eps = TF32_EPS if tf32 else torch.finfo(result.dtype).eps
    tolerance = 16 * eps * expected.abs().max()
    if not error <= tolerance:
        raise SystemExit(
            f"{name}: the worst error is {error:.2e}, expected at most {tolerance:.2e}"
        )
