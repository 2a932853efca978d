"""What an operator allocates: its result and a bounded workspace, never a copy of an activation."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

import cnnops  # noqa: F401  (loads the operators)
from cases import ConvCase
from checks import CAPABILITIES, capability_of, forced, layouts, planned, workspaces

ops = torch.ops.cnnops
KERNEL_3 = ConvCase("kernel_3", (4, 16, 64, 64), (24, 16, 3, 3), padding=(1, 1, 1, 1))
STRIDED = ConvCase("strided", (4, 16, 64, 64), (16, 16, 3, 3), (2, 2), (1, 1, 1, 1))
DEPTHWISE = ConvCase("depthwise", (4, 32, 64, 64), (32, 1, 3, 3), (1, 1), (1, 1, 1, 1), groups=32)
TALL = ConvCase("tall", (1, 4, 2600, 500), (16, 4, 2000, 3), padding=(0, 0, 1, 1))
VGG = ConvCase("vgg", (1, 64, 224, 224), (64, 64, 3, 3), padding=(1, 1, 1, 1))


def allocated(device, call):
    """Bytes of the results, and of everything the call allocated."""
    count = allocated_on_cuda if device == "cuda" else allocated_on_cpu
    results, everything = count(call)
    results = results if isinstance(results, tuple) else (results,)
    return sum(r.numel() * r.element_size() for r in results), everything


def allocated_on_cpu(call):
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        results = call()
    return results, sum(max(0, event.self_cpu_memory_usage) for event in profiled.events())


def allocated_on_cuda(call):
    """As requested, before the caching allocator rounds up; and no byte stays behind."""
    before = torch.cuda.memory_stats()
    results = call()
    after = torch.cuda.memory_stats()
    kept = [results] if torch.is_tensor(results) else results
    in_use = sum(r.untyped_storage().nbytes() for r in kept)
    assert requested(after, "current") - requested(before, "current") == in_use
    return results, requested(after, "allocated") - requested(before, "allocated")


def workspace_on_cuda(which, case, *tensors):
    """What is planned for these very tensors: more than for dense ones where they are not dense."""
    addresses = [tensor.data_ptr() for tensor in tensors] + [0]
    capability = capability_of(tensors[0].device)
    return ops._cuda_conv2d_launches(
        which, *tensors, addresses, *case.options, False, capability, 0
    )[-1]


def requested(statistics, kind):
    return statistics[f"requested_bytes.all.{kind}"]


@pytest.mark.parametrize("case", [KERNEL_3, STRIDED, DEPTHWISE], ids=lambda case: case.name)
@pytest.mark.parametrize("layout", [name for name, _ in layouts(torch.zeros(1, 1, 1, 1))])
def test_convolutions_allocate_what_the_plan_says(case, layout, device):
    x = dict(layouts(torch.zeros(case.input, device=device)))[layout]
    g = dict(layouts(torch.zeros(case.output, device=device)))[layout]
    w = torch.zeros(case.weight, device=device)
    calls = {
        "forward": lambda: ops.conv2d(x, w, None, *case.options),
        "input_grad": lambda: ops.conv2d_input_grad(g, w, case.input, *case.options),
        "weight_grad": lambda: ops.conv2d_weight_grad(g, x, case.weight, *case.options),
    }
    tensors = {
        "forward": lambda result: (x, w, result),
        "input_grad": lambda result: (result, w, g),
        "weight_grad": lambda result: (x, result, g),
    }
    channels_last = layout.startswith("channels_last")
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    for which, call in calls.items():
        planned = workspaces(which, case, torch.float32, device, memory_format)
        for name, workspace in planned.items():
            with forced(name):
                result, everything = allocated(device, call)
                if device == "cuda":
                    workspace = workspace_on_cuda(which, case, *tensors[which](call()))
            assert result <= everything <= result + workspace


@pytest.mark.parametrize("which", ["forward", "input_grad", "weight_grad"])
def test_workspace_is_bounded(which):
    """A fraction of one image's im2col, whatever the batch."""
    im2col = 64 * 3 * 3 * 224 * 224 * 4
    for batch in (1, 32, 10_000):
        case = ConvCase("", (batch, *VGG.input[1:]), VGG.weight, padding=VGG.padding)
        for capability in CAPABILITIES:
            assert max(planned(which, case, torch.float32, capability).values()) < im2col / 10


@pytest.mark.parametrize("which", ["forward", "weight_grad"])
def test_rows_under_a_tall_filter_are_not_copied_at_once(which):
    """They are almost the whole source."""
    source = 4 * 2600 * 500 * 4
    planned = workspaces(which, TALL, torch.float32, torch.device("cpu"), torch.channels_last)
    assert max(planned.values()) < source / 2


@pytest.mark.parametrize("layout", [name for name, _ in layouts(torch.zeros(1, 1, 1, 1))])
def test_poolings_allocate_little_more_than_their_results(layout, device):
    x = dict(layouts(torch.ones(4, 32, 64, 64, device=device)))[layout]
    window = [3, 3], [2, 2], [1, 1]
    y, offsets = ops.max_pool2d_with_offsets(x, *window, [1, 1], False)
    g = dict(layouts(y))[layout]
    calls = [
        lambda: ops.max_pool2d(x, *window, [1, 1], False),
        lambda: ops.max_pool2d_with_offsets(x, *window, [1, 1], False),
        lambda: ops.max_pool2d_backward(g, offsets, [64, 64], *window, [1, 1]),
        lambda: ops.avg_pool2d(x, *window, False, True, None),
        lambda: ops.avg_pool2d_backward(g, [64, 64], *window, False, True, None),
        lambda: ops.lp_pool2d(x, 2.0, *window, False),
        lambda: ops.lp_pool2d_backward(g, x, y, 2.0, *window, False),
    ]
    spare = 0 if device == "cuda" else 64 * 1024 * torch.get_num_threads()
    for call in calls:
        result, everything = allocated(device, call)
        assert result <= everything <= result + spare
