"""The options that the benchmarks share, and the settings of torch that follow from them."""

import argparse
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from cnnops._dispatch import has_kernels

from . import malloc

DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
ONEDNN_LIMIT = "ONEDNN_MAX_CPU_ISA"  # the instructions that torch's convolutions may use
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def parse(
    description: str, passes: Sequence[str], arguments: Sequence[str] | None = None
) -> argparse.Namespace:
    """Reads the options; where one takes several values, its default is all of them, or one.

    Restarts the process where --malloc asks for another setting than it has.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--passes", nargs="+", choices=passes, default=list(passes))
    parser.add_argument("--dtypes", nargs="+", choices=list(DTYPES), default=["float32"])
    parser.add_argument("--formats", nargs="+", choices=list(FORMATS), default=list(FORMATS))
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:<n>")
    parser.add_argument(
        "--threads", nargs="+", type=_positive, help="numbers of threads (CPU); default torch's"
    )
    parser.add_argument(
        "--tf32",
        nargs="+",
        choices=["off", "on"],
        help="whether float32 may be rounded to TF32 (CUDA), on both sides; default both",
    )
    parser.add_argument(
        "--malloc",
        choices=["warm", "default"],
        help="memory kept by the process or fresh (CPU); default as the environment says",
    )
    parser.add_argument(
        "--filter",
        nargs="+",
        default=[],
        help="only cases whose name or kind holds a text of these",
    )
    parser.add_argument("--batch", type=_positive, help="images; default each case's own number")
    parser.add_argument(
        "--seconds",
        type=float,
        default=0.15,
        help="time for each timing, but five calls of each side at least; default %(default)s",
    )
    parser.add_argument("--save", type=Path, help="write the results into this JSON file")
    parser.add_argument("--compare", type=Path, help="show the ratios of this JSON file beside")
    parser.add_argument("--plot", type=Path, help="draw the ratios into this PNG file")
    options = parser.parse_args(arguments)
    options.command = command(arguments)
    if options.device == "cpu":
        _settle_cpu(parser, options)
    else:
        _settle_cuda(parser, options)
    return options


def command(arguments: Sequence[str] | None = None) -> str:
    """The command as a reader would type it; arguments are those of a call from Python."""
    if arguments is not None:
        return f"benchmarks {shlex.join(arguments)}"
    limit = os.environ.get(ONEDNN_LIMIT)
    settings = [f"{ONEDNN_LIMIT}={limit}"] if limit else []
    module = f"benchmarks.{Path(sys.argv[0]).stem}"
    return shlex.join([*settings, "python", "-m", module, *sys.argv[1:]])


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def _settle_cpu(parser, options):
    if options.tf32:
        parser.error("--tf32 is for --device cuda")
    if options.malloc:
        malloc.ensure(options.malloc)
    options.threads = options.threads or [torch.get_num_threads()]


def _settle_cuda(parser, options):
    if options.threads or options.malloc:
        parser.error("--threads and --malloc are for --device cpu")
    if options.tf32 and "float32" not in options.dtypes:
        parser.error("--tf32 is for --dtypes float32")
    if not options.device.startswith("cuda"):
        parser.error(f"--device must be cpu, cuda or cuda:<n>, got {options.device!r}")
    if not (torch.cuda.is_available() and has_kernels("cuda")):
        parser.error("--device cuda needs a GPU and a build of cnnops with CUDA kernels")
    torch.cuda.set_device(torch.device(options.device).index or 0)
    torch.backends.cudnn.benchmark = True
    options.threads = [0]
    options.tf32 = options.tf32 or ["off", "on"]


def tf32_settings(options: argparse.Namespace, dtype: str) -> Iterator[str]:
    """Makes each setting of TF32 that a dtype has in turn, and names it."""
    if options.device == "cpu" or dtype != "float32":
        yield ""
        return
    for setting in options.tf32:
        torch.backends.cudnn.allow_tf32 = setting == "on"
        torch.backends.cuda.matmul.allow_tf32 = setting == "on"
        yield setting
