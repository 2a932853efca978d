"""What the tests share: worst-case bounds, layouts of memory, loops over algorithms."""

from contextlib import contextmanager

import torch

from cnnops import flags

# The CPU, and a GPU of each generation, as planned takes them.
CAPABILITIES = [None, 75, 80, 86, 89, 90, 100, 120]

# Worst error allowed to a sum of products, in units of eps * its magnitude, by algorithm.
BOUNDS = {
    "winograd_4x4_3x3": 64,
    "winograd_2x2_5x5": 64,
    "winograd_4x4_3x3s2": 64,
    "winograd_4x4_5x5": 128,
}
DEFAULT_BOUND = 32


def accumulate_dtype(dtype):
    """Half types accumulate in float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def factor_of(algorithm):
    return BOUNDS.get(algorithm, DEFAULT_BOUND)


def error_bound(exact, magnitude, dtype, factor=DEFAULT_BOUND):
    """factor * eps of the accumulation * magnitude, and half a unit in the last place stored.

    Magnitude is the sum of |x| |w| or what convolutions.magnitude gives an algorithm.
    """
    summed = factor * torch.finfo(accumulate_dtype(dtype)).eps * magnitude
    stored = (exact.abs() + summed) * torch.finfo(dtype).eps / 2
    return summed + stored + torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps


def assert_within(actual, exact, magnitude, factor=DEFAULT_BOUND, flushed=0):
    """Every element is as close to the float64 result as its dtype and magnitude allow.

    flushed bounds what flushing denormals may add to the error.
    """
    actual = actual.detach().cpu()
    exact = torch.as_tensor(exact, dtype=torch.float64, device="cpu")
    magnitude = torch.as_tensor(magnitude, dtype=torch.float64, device="cpu")
    assert actual.shape == exact.shape
    error = (actual.double() - exact).abs()
    bound = error_bound(exact, magnitude, actual.dtype, factor) + flushed
    wrong = ~(error <= bound)
    assert not wrong.any(), (
        f"{int(wrong.sum())} of {wrong.numel()} elements are wrong, the first at "
        f"{wrong.nonzero()[0].tolist()}: got {actual[wrong][0].item()!r}, expected "
        f"{exact[wrong][0].item()!r} within {bound[wrong][0].item():.3g}; "
        f"worst error over bound {(error / bound).nan_to_num(torch.inf).max().item():.3g}"
    )


def assert_same_bits(actual, expected):
    """Equal to the bit, NaN and the sign of zero included."""
    assert actual.dtype == expected.dtype and actual.shape == expected.shape
    view = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[actual.element_size()]
    assert torch.equal(actual.contiguous().view(view), expected.contiguous().view(view))


def layouts(x):
    """Yield (name, tensor): the values of a 4-D x in every kind of memory.

    What lies between the elements of a sliced tensor is NaN.
    """
    yield "contiguous", x.contiguous()
    yield "channels_last", x.contiguous(memory_format=torch.channels_last)
    for name, order in {"WHCN": (3, 2, 1, 0), "NCWH": (0, 1, 3, 2), "CNHW": (1, 0, 2, 3)}.items():
        yield name, x.permute(order).contiguous().permute(order)
    yield "offset", _inside(x, [s + 1 for s in x.shape[:1]] + list(x.shape[1:]), start=1)
    yield "unaligned", _unaligned(x)
    yield "rows", _inside(x, [*x.shape[:3], x.shape[3] + 3])
    yield "planes", _inside(x, [x.shape[0], x.shape[1] + 2, *x.shape[2:]])
    yield "every_second", _inside(x, [2 * s for s in x.shape], step=2)
    yield (
        "channels_last_slice",
        _inside(x, [x.shape[0], x.shape[1] + 3, *x.shape[2:]], memory_format=torch.channels_last),
    )


def _inside(x, size, start=0, step=1, memory_format=torch.contiguous_format):
    """A copy of x as a window of a larger tensor of NaN; start shifts along the batch."""
    around = torch.full(size, torch.nan, dtype=x.dtype, device=x.device)
    around = around.contiguous(memory_format=memory_format)
    ends = [start + x.shape[0] * step] + [s * step for s in x.shape[1:]]
    window = around[start : ends[0] : step, : ends[1] : step, : ends[2] : step, : ends[3] : step]
    return window.copy_(x)


def _unaligned(x):
    """A contiguous copy of x whose first element is one element past an aligned address."""
    storage = torch.full((x.numel() + 1,), torch.nan, dtype=x.dtype, device=x.device)
    return storage[1:].view(x.shape).copy_(x)


def planned(which, case, dtype, capability, memory_format=torch.contiguous_format):
    """The algorithms that support a ConvCase, preferred ones first, with their bytes of workspace.

    which is forward, input_grad or weight_grad; capability is that of a GPU, which need not be
    there, 80 for 8.0, or None for this CPU.
    """
    problem = (
        which,
        case.input,
        case.weight,
        *case.options,
        dtype,
        memory_format == torch.channels_last,
    )
    if capability is None:
        names, sizes = torch.ops.cnnops._conv2d_plan(*problem)
    else:
        names, sizes = torch.ops.cnnops._cuda_conv2d_plan(*problem, capability)
    return dict(zip(names, sizes, strict=True))


def capability_of(device):
    """As planned takes it."""
    if torch.device(device).type == "cpu":
        return None
    major, minor = torch.cuda.get_device_capability(device)
    return 10 * major + minor


def workspaces(which, case, dtype, device, memory_format=torch.contiguous_format):
    """What is planned on a device."""
    return planned(which, case, dtype, capability_of(device), memory_format)


def algorithms(which, case, dtype, device, memory_format=torch.contiguous_format):
    """The names alone."""
    return list(workspaces(which, case, dtype, device, memory_format))


@contextmanager
def forced(algorithm):
    """Run one algorithm and give the bound its result must keep."""
    with flags(algorithm=algorithm):
        yield factor_of(algorithm)
