"""The worst error of every algorithm against float64, on the layers of networks and on hard data.

An error counts in units of eps of the accumulation times the magnitude behind a result (see
convolutions.py), after the half unit in the last place that storing a result may cost.
`python tests/test_accuracy.py` prints the worst ones as a table.
"""

from collections import defaultdict
from itertools import product

import pytest
import torch

from cases import DTYPES, MEMORY_FORMATS, ConvCase, data, ids
from checks import accumulate_dtype, algorithms, factor_of, forced
from convolutions import WHICH, call, exact, magnitude

ops = torch.ops.cnnops


def layer(name, channels, outputs, size, kernel, stride=1, padding=0, groups=1):
    return ConvCase(
        name,
        (1, channels, size, size),
        (outputs, channels // groups, kernel, kernel),
        (stride, stride),
        (padding,) * 4,
        groups=groups,
    )


# With one image, and large maps cut to a few tiles.
LAYERS = [
    layer("lenet_c1", 1, 6, 32, 5),
    layer("lenet_c3", 6, 16, 14, 5),
    layer("lenet_c5", 16, 120, 5, 5),
    layer("alexnet_1", 3, 64, 47, 11, 4, 2),
    layer("alexnet_2", 64, 192, 9, 5, 1, 2),
    layer("alexnet_3", 192, 384, 5, 3, 1, 1),
    layer("vgg_1", 3, 64, 24, 3, 1, 1),
    layer("vgg_2", 64, 64, 18, 3, 1, 1),
    layer("vgg_7", 256, 256, 9, 3, 1, 1),
    layer("vgg_13", 512, 512, 6, 3, 1, 1),
    layer("resnet_stem", 3, 64, 30, 7, 2, 3),
    layer("resnet_reduce", 1024, 256, 4, 1),
    layer("resnet_expand", 256, 1024, 4, 1),
    layer("resnet_shortcut", 256, 512, 8, 1, 2),
    layer("resnet_128_s2", 128, 128, 16, 3, 2, 1),
    layer("resnet_512_s2", 512, 512, 6, 3, 2, 1),
    layer("googlenet_3x3", 96, 128, 14, 3, 1, 1),
    layer("googlenet_5x5", 16, 32, 20, 5, 1, 2),
    layer("googlenet_5x5_late", 48, 128, 7, 5, 1, 2),
    layer("cifar_16", 16, 16, 32, 3, 1, 1),
    layer("cifar_64", 64, 64, 8, 3, 1, 1),
    layer("cifar_16_s2", 16, 32, 32, 3, 2, 1),
    layer("depthwise", 96, 96, 14, 3, 1, 1, 96),
    layer("depthwise_s2", 96, 96, 15, 3, 2, 1, 96),
    layer("grouped", 64, 64, 14, 3, 1, 1, 8),
]


def checkerboard(values):
    """Signs that alternate along both axes: neighbours cancel."""
    height, width = values.shape[2:]
    parity = torch.arange(height)[:, None] + torch.arange(width)
    return values.abs() * (1 - 2 * (parity % 2))


def spike(values):
    """Small values, and one sample ten thousand times as large, in a single channel."""
    values = values * 2.0**-6
    values[:, 0, values.shape[2] // 2, values.shape[3] // 2] = 156
    return values


def growing(values):
    """Larger from column to column, over four orders of magnitude, and again."""
    return values * 2.0 ** (torch.arange(values.shape[3]) % 14 - 9)


# What is done to normal values of (activations, weights).
KINDS = {
    "normal": (torch.clone, torch.clone),
    "positive": (torch.abs, torch.abs),
    "checkerboard": (checkerboard, checkerboard),
    "spike": (spike, torch.clone),
    "constant": (torch.ones_like, torch.ones_like),
    "growing": (growing, torch.clone),
}


def operands(case, kind):
    """Values that all dtypes hold exactly."""
    activations, weights = KINDS[kind]
    tensors = {
        "input": activations(data(*case.input, salt="input")),
        "weight": weights(data(*case.weight, salt="weight")),
        "grad_output": activations(data(*case.output, salt="grad_output")),
    }
    return {name: t.bfloat16().half().double() for name, t in tensors.items()} | {"bias": None}


def errors(which, case, kind):
    """Yield (algorithm, dtype, worst error in units of eps * magnitude) for both formats."""
    tensors = operands(case, kind)
    reference, scales = exact(which, case, **tensors), {}
    for dtype, memory_format in product(DTYPES, MEMORY_FORMATS):
        arguments = {
            name: None if t is None else t.to(dtype, memory_format=memory_format)
            for name, t in tensors.items()
        }
        for name in algorithms(which, case, dtype, "cpu", memory_format):
            if name not in scales:
                scales[name] = magnitude(which, case, name, **tensors)
            with forced(name):
                result = call(ops, which, case, **arguments)
            yield name, dtype, worst_error(result, reference, scales[name])


def worst_error(result, reference, scale):
    unit = torch.finfo(accumulate_dtype(result.dtype)).eps * scale
    # What is stored was half a unit in its last place away from it.
    info = torch.finfo(result.dtype)
    stored = result.double().abs().clamp(min=info.smallest_normal) * info.eps / 2
    beyond = ((result.double() - reference).abs() - stored).clamp(min=0)
    return torch.where(beyond > 0, beyond / unit, beyond).max().item()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("which", WHICH)
@pytest.mark.parametrize("case", LAYERS, ids=ids(LAYERS))
def test_worst_error(case, which, kind):
    for name, dtype, error in errors(which, case, kind):
        assert error <= factor_of(name), (name, dtype)


def table():
    """Worst errors by algorithm, pass and dtype, as Markdown."""
    worst = defaultdict(float)
    for which, case, kind in product(WHICH, LAYERS, KINDS):
        for name, dtype, error in errors(which, case, kind):
            worst[name, which, dtype] = max(worst[name, which, dtype], error)
    names = [str(dtype).removeprefix("torch.") for dtype in DTYPES]
    lines = [f"| algorithm | pass | {' | '.join(names)} |", "|---" * (2 + len(names)) + "|"]
    for name, which in sorted({key[:2] for key in worst}):
        cells = (f"{worst[key]:.1f}" if (key := (name, which, d)) in worst else "" for d in DTYPES)
        lines.append(f"| {name} | {which} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
