"""Where the roofline model puts the CUDA kernels: counted work over counted bytes.

Nothing here is measured. Shapes and plans give the numbers.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .command_line import DTYPES
from .cuda_problems import LAYERS, PASSES, WINDOWS, ConvProblem, Launch, PoolProblem
from .cuda_tile import tile_of
from .markdown import table


class Gpu(NamedTuple):
    """Peaks in TFLOP/s, without sparsity, and TB/s of memory."""

    name: str
    peaks: dict[str, float]
    bandwidth: float


# NVIDIA A100 Tensor Core GPU data sheet, column A100 80GB SXM; NVIDIA H100 Tensor Core GPU data
# sheet, column H100 SXM, whose figures of tensor cores are halved: they count sparsity.
GPUS = [
    Gpu("A100", dict(fp32=19.5, fp64=9.7, tf32=156, half=312), 2.039),
    Gpu("H100", dict(fp32=67, fp64=34, tf32=494.7, half=989.4), 3.35),
]
CONV_LAYERS = [
    *("lenet5.c3", "alexnet.first", "vgg.64", "vgg.512", "resnet.first", "resnet.pointwise"),
    *("resnet20.16-32", "resnet20.64", "mobilenet.depthwise"),
]
# Dtype, whether TF32 is allowed, and what the page calls them.
PRECISIONS = [
    ("float32", False, "float32"),
    ("float32", True, "float32, TF32 allowed"),
    ("bfloat16", False, "bfloat16"),
    ("float64", False, "float64"),
]
POOL_OPERATORS = (
    *("max_pool2d", "max_pool2d_with_offsets", "max_pool2d_backward"),
    *("avg_pool2d", "avg_pool2d_backward", "lp_pool2d", "lp_pool2d_backward"),
)
ARCH = 80  # of the plans; those for an H100 are the same


class Work(NamedTuple):
    """What a call computes and moves."""

    kernel: str  # the one that does the arithmetic
    flops: int
    compulsory: int  # bytes: every operand read once, the result written once
    requested: int  # bytes that blocks ask memory for, however often

    @property
    def unit(self) -> str:
        """Which peak bounds the kernel: a key of Gpu.peaks."""
        tile = tile_of(self.kernel)
        if tile and tile.on_tensor_cores:
            return "tf32" if tile.operand_bytes == 4 else "half"
        return "fp64" if "double" in self.kernel else "fp32"


def attainable(gpu: Gpu, work: Work, moved: int) -> float:
    """TFLOP/s by the model: the peak, or what the bandwidth feeds."""
    return min(gpu.peaks[work.unit], work.flops / moved * gpu.bandwidth)


def ceil_div(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)


# Convolution.


def conv_work(problem: ConvProblem) -> Work:
    launches = problem.launches(ARCH)
    main = _main_launch(launches)
    shape, item = problem.shape, DTYPES[problem.dtype].itemsize
    outputs = shape.batch * shape.out_channels * problem.output_size**2
    inputs = shape.batch * shape.in_channels * shape.size**2
    weights = shape.out_channels * shape.in_channels // shape.groups * shape.kernel**2
    flops = 2 * outputs * shape.in_channels // shape.groups * shape.kernel**2
    result = {"forward": outputs, "input_grad": inputs, "weight_grad": weights}[problem.which]
    if not main.kernel.startswith(("correlation_gemm", "weight_grad_gemm")):
        requested = flops * item + result * item  # two operands for every multiply-add
    elif problem.which == "weight_grad":
        requested = _weight_grad_bytes(problem, main) + result * item
    else:
        requested = _correlation_bytes(problem, main) + (2 * weights + result) * item
    return Work(main.kernel, flops, (inputs + weights + outputs) * item, requested)


def _main_launch(launches: list[Launch]) -> Launch:
    """The launch that multiplies; the others prepare it or sum its parts."""
    helpers = ("tabulate_taps", "pack_filter", "sum_partials")
    return next(launch for launch in launches if not launch.kernel.startswith(helpers))


def lattice_taps(problem: ConvProblem) -> list[int]:
    """Taps of the filter for each lattice of results: one, or a lattice a residue of the stride."""
    shape = problem.shape
    if problem.which == "forward":
        return [shape.kernel**2]
    axis = [len(range(residue, shape.kernel, shape.stride)) for residue in range(shape.stride)]
    return [rows * columns for rows in axis for columns in axis if rows * columns]


def _correlation_bytes(problem: ConvProblem, launch: Launch) -> int:
    """Every block reads, in each step, its rows of the source and its columns of the filter."""
    tile, shape = tile_of(launch.kernel), problem.shape
    source = shape.in_channels if problem.which == "forward" else shape.out_channels
    taps = lattice_taps(problem)
    steps = sum(ceil_div(count * source // shape.groups, tile.depth) for count in taps)
    item = DTYPES[problem.dtype].itemsize
    of_step = tile.depth * (tile.rows * item + tile.columns * tile.operand_bytes)
    return launch.blocks // len(taps) * steps * of_step


def _weight_grad_bytes(problem: ConvProblem, launch: Launch) -> int:
    """Blocks share the steps over all pixels; parts of the sum are written and read once."""
    tile, shape = tile_of(launch.kernel), problem.shape
    rows = shape.out_channels // shape.groups
    columns = shape.in_channels // shape.groups * shape.kernel**2
    tiles = shape.groups * ceil_div(rows, tile.rows) * ceil_div(columns, tile.columns)
    steps = ceil_div(shape.batch * problem.output_size**2, tile.depth)
    of_step = tile.depth * (tile.rows + tile.columns) * DTYPES[problem.dtype].itemsize
    parts = launch.blocks // tiles * shape.groups * rows * columns
    return tiles * steps * of_step + 2 * parts * max(tile.operand_bytes, 4)


# Pooling.


def pool_work(problem: PoolProblem) -> Work:
    """Counts a comparison, an addition, or a multiply-add for each sample of a window."""
    (launch,) = problem.launches(ARCH)
    shape, item = problem.shape, DTYPES[problem.dtype].itemsize
    planes = shape.batch * shape.channels
    inputs, outputs = planes * shape.size**2, planes * problem.output_size**2
    samples = outputs * shape.kernel**2
    offset = problem.offset_dtype.itemsize if "max_pool2d_" in problem.operator else 0
    flops = samples * (2 if problem.operator.startswith("lp") else 1)
    if not problem.operator.endswith("backward"):
        moved = (inputs + outputs) * item + outputs * offset
        sweeps = 2 if problem.operator == "lp_pool2d" else 1  # the first one for the scale
        return Work(
            launch.kernel, flops, moved, (sweeps * samples + outputs) * item + outputs * offset
        )
    read = 2 * item if problem.operator.startswith("lp") else item + offset
    own = inputs * item if problem.operator.startswith("lp") else 0
    result = inputs * item
    return Work(launch.kernel, flops, outputs * read + own + result, samples * read + own + result)


# The page.

PAGE = """\
# Roofline positions of the CUDA kernels

**Derived, not measured.** No GPU was available: every number below follows from shapes, from launch
plans and from data sheets. They say what a kernel cannot exceed, not what it reaches.

    {command}

## The model

A kernel that does `F` floating-point operations and moves `B` bytes runs at `min(peak, F / B *
bandwidth)` at best. Its arithmetic intensity `F / B` decides: right of the ridge, `peak /
bandwidth`, arithmetic is the limit, left of it memory is.

{gpus}

Peaks are dense. A100: NVIDIA A100 Tensor Core GPU data sheet, A100 80GB SXM. H100: NVIDIA H100
Tensor Core GPU data sheet, H100 SXM, tensor-core figures halved because they count sparsity. FP64
is that of the ordinary units, which these kernels use. The H100 reaches its tensor-core peak only
by instructions for groups of warps, which these kernels do not use, so that its bounds are further
from reach than the A100's.

Bytes are counted twice:

- *compulsory*: every operand is read once and the result written once, as if all reuse were found
  in caches. The bound from these is the upper bound.
- *requested*: what all blocks ask the memory system for, as if no cache helped. Between the two
  lies what a kernel meets: requests that hit the L2 cache cost no bandwidth of the memory.

For a matrix product with tiles of `r` rows and `c` columns, steps of `d` elements along the
reduction (64 bytes of an operand), `s` bytes an element in memory and `o` in the packed filter:

- forward and input gradient: `blocks * steps * d * (r * s + c * o)`, with `steps = ceil(taps *
  channels / d)`; for the input gradient of a strided convolution summed over its lattices, each
  with its own taps; plus the result, and the filter read and written when it is packed;
- weight gradient: `tiles * steps * d * (r + c) * s`, with `steps = ceil(pixels / d)`; plus the
  parts of the sum, written and read once, and the result;
- without tiles: two operands for every multiply-add, plus the result.

Tiles at borders count whole and padding counts as read; tables of taps are left out. Pooling
requests every sample of every window, twice in the forward of Lp pooling, which scales; its
backward requests what it knows of each window that covers a sample. A multiply-add is two
operations, a comparison or an addition one.

All tensors are channels_last; contiguous ones have the same counts, and other loaders of tiles.

"""


def page(command: str) -> str:
    parts = [PAGE.format(command=command, gpus=table(GPU_HEADER, map(_gpu_cells, GPUS)))]
    for dtype, allow_tf32, name in PRECISIONS:
        works = (
            (
                f"{shape.name} {which}",
                conv_work(ConvProblem(shape, which, dtype, FORMAT, allow_tf32)),
            )
            for shape in LAYERS
            if shape.name in CONV_LAYERS
            for which in PASSES
        )
        parts.append(_section(f"Convolution, {name}", works))
    works = (
        (f"{shape.name} {operator}", pool_work(PoolProblem(shape, operator, "float32", FORMAT)))
        for shape in WINDOWS
        for operator in POOL_OPERATORS
    )
    parts.append(_section("Pooling, float32 (Lp: p = 2)", works))
    return "\n".join(parts)


FORMAT = "channels_last"
GPU_HEADER = (
    *("", "TB/s", "FP32 TFLOP/s", "ridge", "FP64", "ridge", "TF32", "ridge", "BF16, FP16", "ridge"),
)
HEADER = (
    *(
        "layer and pass",
        "kernel",
        "GFLOP",
        "compulsory MB",
        "requested MB",
        "FLOP/byte",
        "requested",
    ),
    *(f"{gpu.name} {text}" for gpu in GPUS for text in ("bound TFLOP/s", "by", "uncached")),
)


def _gpu_cells(gpu: Gpu) -> list[str]:
    peaks = (gpu.peaks[name] for name in ("fp32", "fp64", "tf32", "half"))
    cells = ((f"{peak:g}", f"{peak / gpu.bandwidth:.1f}") for peak in peaks)
    return [gpu.name, f"{gpu.bandwidth:g}", *(text for pair in cells for text in pair)]


def _section(title: str, works: Iterable[tuple[str, Work]]) -> str:
    return f"## {title}\n\n{table(HEADER, (_cells(name, work) for name, work in works))}\n"


def _cells(name: str, work: Work) -> list[str]:
    return [
        name,
        f"`{work.kernel}`",
        _short(work.flops / 1e9),
        _short(work.compulsory / 1e6),
        _short(work.requested / 1e6),
        _short(work.flops / work.compulsory),
        _short(work.flops / work.requested),
        *(text for gpu in GPUS for text in _bounds(gpu, work)),
    ]


def _bounds(gpu: Gpu, work: Work) -> Iterator[str]:
    bound = attainable(gpu, work, work.compulsory)
    yield _short(bound)
    yield work.unit if bound == gpu.peaks[work.unit] else "memory"
    yield _short(attainable(gpu, work, work.requested))


def _short(value: float) -> str:
    """Three significant digits, without exponents."""
    return f"{value:.{max(0, 2 - _magnitude(value))}f}"


def _magnitude(value: float) -> int:
    return int(f"{value:.2e}".split("e")[1]) if value else 0
