"""explain says what runs where, and its figures are those of the formulas."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import cnnops

ISA = torch.ops.cnnops._cpu_capability()


def layers(model):
    return {x.name: (x.type, x.runs_on, x.note) for x in cnnops.explain(model).layers}


def test_reasons():
    class Own(nn.Conv2d):
        pass

    converted = cnnops.Conv2d(3, 4, 3)
    nn.utils.parametrizations.weight_norm(converted)
    replaced = nn.AvgPool2d(2)
    replaced.forward = lambda input: input
    model = nn.ModuleDict(
        {
            "ready": nn.Conv2d(3, 4, 3),
            "ours": cnnops.MaxPool2d(2),
            "own": Own(3, 4, 3),
            "lazy": nn.LazyConv2d(4, 3),
            "complex": nn.Conv2d(3, 4, 3, dtype=torch.complex64),
            "adaptive": nn.AdaptiveAvgPool2d(1),
            "parametrized": nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)),
            "converted": converted,
            "replaced": replaced,
            "l2": cnnops.L2Pool2d(2),
            "full": cnnops.Conv2d(3, 4, 3, padding="full"),
            "same": cnnops.Conv2d(3, 4, 3, padding="same", stride=2),
            "norm": nn.BatchNorm2d(4),
        }
    )
    assert layers(model) == {
        "ready": ("Conv2d", "torch", "supported: cnnops.convert(model)"),
        "ours": ("MaxPool2d", "cnnops", ""),
        "own": ("Own", "torch", "Own is a subclass that may have its own code"),
        "lazy": ("LazyConv2d", "torch", "lazy, its parameters do not exist yet"),
        "complex": ("Conv2d", "torch", "its weight is complex64"),
        "adaptive": ("AdaptiveAvgPool2d", "torch", "cnnops has no AdaptiveAvgPool2d"),
        "parametrized": (
            "ParametrizedConv2d",
            "torch",
            "parametrized; convert before parametrizing",
        ),
        "converted": (
            "ParametrizedConv2d",
            "cnnops",
            "parametrized; remove the parametrization first",
        ),
        "replaced": ("AvgPool2d", "torch", "its forward was replaced"),
        "l2": ("L2Pool2d", "cnnops", "torch.nn has no L2Pool2d"),
        "full": ("Conv2d", "cnnops", "torch.nn has no padding='full'"),
        "same": ("Conv2d", "cnnops", "torch.nn has no padding='same' with a stride"),
    }
    assert cnnops.explain(model).other_modules == {"BatchNorm2d": 1}


def test_subclass_of_ours():
    class Own(cnnops.Conv2d):
        pass

    assert layers(Own(3, 4, 3)) == {"": ("Own", "cnnops", "Own is a subclass")}


def test_model_without_input_makes_no_call():
    report = cnnops.explain(cnnops.Conv2d(3, 4, 3))
    assert report.calls == report.torch_calls == ()


def test_convolution_figures():
    conv = cnnops.Conv2d(4, 6, (3, 2), stride=2, padding=1, groups=2)
    ((name, call),) = cnnops.explain(conv, torch.zeros(5, 4, 9, 8)).calls
    assert (name, call.operator, call.instruction_set) == ("", "conv2d", ISA)
    assert (call.input_size, call.output_size) == ((5, 4, 9, 8), (5, 6, 5, 5))
    assert (call.weight_size, call.kernel_size) == ((6, 2, 3, 2), (3, 2))
    assert (call.dtype, call.memory_format) == (torch.float32, "contiguous")
    flops = 2 * 5 * 6 * 5 * 5 * 2 * 3 * 2
    traffic = 4 * (5 * 4 * 9 * 8 + 6 * 2 * 3 * 2 + 5 * 6 * 5 * 5)
    expected = [
        ("forward", flops, traffic + 4 * 6),
        ("input_grad", flops, traffic),
        ("weight_grad", flops, traffic),
    ]
    assert [(p.name, p.flops, p.bytes) for p in call.passes] == expected
    for step in call.passes:
        algorithms, workspaces = torch.ops.cnnops._conv2d_plan(
            step.name,
            call.input_size,
            call.weight_size,
            (2, 2),
            (1, 1, 1, 1),
            (1, 1),
            2,
            call.dtype,
            False,
        )
        assert (step.algorithm, step.workspace_bytes) == (algorithms[0], workspaces[0])


def test_transposed_convolution_is_planned_as_an_input_gradient():
    weight = torch.zeros(4, 3, 3, 3, dtype=torch.float64)
    input = torch.zeros(2, 4, 5, 5, dtype=torch.float64)
    ((_, call),) = cnnops.explain(cnnops.functional.conv_transpose2d, input, weight, stride=2).calls
    assert (call.operator, call.output_size) == ("conv_transpose2d", (2, 3, 11, 11))
    assert {p.flops for p in call.passes} == {2 * 2 * 4 * 5 * 5 * 3 * 3 * 3}
    problem = ((2, 3, 11, 11), weight.shape, (2, 2), (0, 0, 0, 0), (1, 1), 1, torch.float64, False)
    planned = torch.ops.cnnops._conv2d_plan("input_grad", *problem)[0][0]
    assert (call.passes[0].name, call.passes[0].algorithm) == ("forward", planned)


@pytest.mark.parametrize(
    "function,args,operations,backward_bytes",
    [
        ("max_pool2d", (2,), 1, 4 * 384 + (4 + 1) * 96),
        ("avg_pool2d", (2,), 1, 4 * (384 + 96)),
        ("lp_pool2d", (2, 2), 2, 8 * (384 + 96)),
        ("l2_pool2d", (2,), 2, 8 * (384 + 96)),
    ],
)
def test_pooling_figures(function, args, operations, backward_bytes):
    input = torch.zeros(1, 6, 8, 8)
    ((_, call),) = cnnops.explain(getattr(cnnops.functional, function), input, *args).calls
    forward, backward = call.passes
    assert (forward.name, backward.name) == ("forward", "input_grad")
    assert forward.flops == backward.flops == operations * 96 * 4
    assert (forward.bytes, backward.bytes) == (4 * (384 + 96), backward_bytes)
    workspace = torch.ops.cnnops._pool2d_workspace(
        input.shape, (2, 2), (2, 2), (0, 0), (1, 1), False, torch.float32, False
    )
    assert (forward.algorithm, forward.workspace_bytes) == ("window", workspace)
    assert workspace > 0
    assert (call.kernel_size, call.weight_size) == ((2, 2), None)


def test_channels_last_and_flags():
    input = torch.zeros(1, 8, 9, 9).contiguous(memory_format=torch.channels_last)
    weight = torch.zeros(8, 8, 3, 3)
    for algorithm in torch.ops.cnnops._conv2d_plan(
        "forward", input.shape, weight.shape, (1, 1), (0,) * 4, (1, 1), 1, torch.float32, True
    )[0]:
        with cnnops.flags(algorithm):
            ((_, call),) = cnnops.explain(cnnops.functional.conv2d, input, weight).calls
        assert call.memory_format == "channels_last"
        assert call.passes[0].algorithm == algorithm


@pytest.mark.parametrize("groups", [1, 4])
def test_flop_counter_counts_like_torchs(groups):
    """Grouped weight gradients apart, which torch counts as if they had one group."""
    model = nn.Sequential(
        nn.Conv2d(4, 8, 3, padding=1, groups=groups),
        nn.ConvTranspose2d(8, 4, 2, 2, groups=groups),
        nn.Conv2d(4, 4, (3, 2), stride=2),
    )
    input = torch.ones(2, 4, 9, 8, requires_grad=True)
    for parameter in model.parameters():
        parameter.requires_grad_(groups == 1)
    counts = []
    for change in (lambda model: model, cnnops.convert):
        with FlopCounterMode(display=False) as counter:
            change(model)(input).sum().backward()
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.pool = nn.AdaptiveAvgPool2d(2)

    def forward(self, input):
        out = self.norm(self.conv(self.conv(input)[:, :3]))
        return self.pool(nn.functional.max_pool2d(out, 2))


def test_a_run_names_modules_and_finds_what_torch_runs():
    model = cnnops.convert(Net())
    report = cnnops.explain(model, torch.zeros(1, 3, 16, 16))
    assert [(name, call.input_size[2:]) for name, call in report.calls] == [
        ("conv", (16, 16)),
        ("conv", (14, 14)),
    ]
    assert ("", "max_pool2d_with_indices") in report.torch_calls
    assert ("pool", "_adaptive_avg_pool2d") in report.torch_calls


def test_a_run_leaves_no_trace():
    model = cnnops.convert(Net())
    model.conv.eval()
    cnnops.explain(model, torch.ones(1, 3, 16, 16))
    assert model.norm.num_batches_tracked == 0 and model.training and not model.conv.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    with pytest.raises(RuntimeError):
        cnnops.explain(model, torch.ones(1, 5, 16, 16))
    assert model.training and not any(m._forward_hooks for m in model.modules())


def test_text():
    model = nn.Sequential(cnnops.MaxPool2d(2), nn.Dropout(), nn.AdaptiveAvgPool2d(1))
    assert str(cnnops.explain(model)) == (
        "module  type               runs on  note\n"
        "0       MaxPool2d          cnnops\n"
        "2       AdaptiveAvgPool2d  torch    cnnops has no AdaptiveAvgPool2d\n"
        "\n"
        "not convolution or pooling: 1 Dropout"
    )
    images = torch.zeros(1, 1000, 8, 8).contiguous(memory_format=torch.channels_last)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    text = str(cnnops.explain(cnnops.functional.max_pool2d, images, 2))
    torch.set_num_threads(threads)
    header, forward, backward = text.splitlines()
    assert header.split() == [
        *("module", "operator", "input", "output", "dtype", "format", "instructions"),
        *("pass", "algorithm", "workspace", "work", "traffic"),
    ]
    assert forward.split()[:6] == [
        "-", "max_pool2d", "1x1000x8x8", "1x1000x4x4", "float32", "channels_last",
    ]  # fmt: skip
    assert forward.endswith("forward     window     57.7 kB    64 kFLOP  320 kB")
    assert backward.split() == ["input_grad", "window", "57.7", "kB", "64", "kFLOP", "336", "kB"]


def test_neither_module_nor_function():
    with pytest.raises(TypeError, match="explain: target must be a module or a function, got int"):
        cnnops.explain(3)
