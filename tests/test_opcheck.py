"""torch.library.opcheck of every operator: schema, fake kernel, autograd, tracing, symbols."""

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext

import cnnops  # noqa: F401  (loads the operators)
from cases import MEMORY_FORMATS, data

ops = torch.ops.cnnops

CONV = [2, 1], [1, 0, 2, 1], [1, 2], 2
INPUT, WEIGHT, OUTPUT = (2, 4, 7, 6), (6, 2, 3, 2), (2, 6, 3, 7)
WINDOW = [3, 2], [2, 1], [1, 1]
DILATION = [1, 1]
POOL_INPUT, POOL_OUTPUT = (2, 3, 6, 5), (2, 3, 3, 6)


def tensor(*size):
    return (data(*size).abs() + 0.25).float().requires_grad_()


def offsets():
    return ops.max_pool2d_with_offsets(tensor(*POOL_INPUT), *WINDOW, DILATION, False)[1]


# Arguments of each operator, made at the call.
ARGUMENTS = {
    "conv2d": lambda: (tensor(*INPUT), tensor(*WEIGHT), tensor(6), *CONV),
    "conv2d_input_grad": lambda: (tensor(*OUTPUT), tensor(*WEIGHT), INPUT, *CONV),
    "conv2d_weight_grad": lambda: (tensor(*OUTPUT), tensor(*INPUT), WEIGHT, *CONV),
    "conv2d_bias_grad": lambda: (tensor(*OUTPUT),),
    "conv_transpose2d": lambda: (tensor(*OUTPUT), tensor(*WEIGHT), tensor(4), *CONV),
    "max_pool2d": lambda: (tensor(*POOL_INPUT), *WINDOW, DILATION, True),
    "max_pool2d_with_offsets": lambda: (tensor(*POOL_INPUT), *WINDOW, DILATION, False),
    "max_pool2d_backward": lambda: (
        tensor(*POOL_OUTPUT),
        offsets(),
        POOL_INPUT[2:],
        *WINDOW,
        DILATION,
    ),
    "max_pool2d_select": lambda: (tensor(*POOL_INPUT), offsets(), *WINDOW, DILATION),
    "max_pool2d_indices": lambda: (offsets(), POOL_INPUT[2:], *WINDOW, DILATION),
    "avg_pool2d": lambda: (tensor(*POOL_INPUT), *WINDOW, True, False, None),
    "avg_pool2d_backward": lambda: (
        tensor(*POOL_OUTPUT),
        POOL_INPUT[2:],
        *WINDOW,
        False,
        True,
        3,
    ),
    "lp_pool2d": lambda: (tensor(*POOL_INPUT), 2.0, *WINDOW, True),
    "lp_pool2d_backward": lambda: (
        tensor(*POOL_OUTPUT),
        tensor(*POOL_INPUT),
        tensor(*POOL_OUTPUT),
        2.0,
        *WINDOW,
        False,
    ),
}


def in_format(arguments, memory_format):
    """The arguments with their 4-D tensors in a memory format."""
    return tuple(
        a.detach().contiguous(memory_format=memory_format).requires_grad_(a.requires_grad)
        if isinstance(a, torch.Tensor) and a.dim() == 4
        else a
        for a in arguments
    )


def test_every_operator_is_checked():
    public = {
        schema.name.removeprefix("cnnops::")
        for schema in torch._C._jit_get_all_schemas()
        if schema.name.startswith("cnnops::") and not schema.name.startswith("cnnops::_")
    }
    assert public == set(ARGUMENTS)


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("name", ARGUMENTS)
def test_opcheck(name, memory_format, device):
    arguments = leaves_on(device, in_format(ARGUMENTS[name](), memory_format))
    torch.library.opcheck(getattr(ops, name).default, arguments)


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("name", ARGUMENTS)
def test_fake_output_is_that_of_the_kernel(name, memory_format, device):
    """Sizes, strides and dtypes, on meta tensors and where every size is a symbol."""
    arguments = in_format(ARGUMENTS[name](), memory_format)
    operator = getattr(ops, name).default
    real = describe(operator(*on(device, arguments)))
    assert describe(operator(*on("meta", arguments))) == real
    leaves = leaves_on(device, arguments)
    environment = ShapeEnv()
    with FakeTensorMode(shape_env=environment) as mode:
        fake = [
            mode.from_tensor(a, symbolic_context=dynamic(a)) if torch.is_tensor(a) else a
            for a in leaves
        ]
        result = operator(*fake)
    hints = [
        (tuple(map(int, size)), tuple(map(int, stride)), dtype)
        for size, stride, dtype in describe(result)
    ]
    assert hints == real


def dynamic(tensor):
    return StatelessSymbolicContext(dynamic_sizes=[DimDynamic.DYNAMIC] * tensor.dim())


def leaves_on(device, arguments):
    return tuple(
        a.detach().to(device).requires_grad_(a.requires_grad) if torch.is_tensor(a) else a
        for a in arguments
    )


def on(device, arguments):
    return [a.detach().to(device) if torch.is_tensor(a) else a for a in arguments]


def describe(result):
    results = [result] if torch.is_tensor(result) else result
    return [(tuple(r.shape), r.stride(), r.dtype) for r in results]
