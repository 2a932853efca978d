"""What only a GPU has: streams, graphs, several devices, its memory, cuDNN, TF32.

That the operators compute the right thing is what the rest of the suite says, on every device.
"""

import re
import threading

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import cnnops
from benchmarks.cuda_problems import LAYERS, WINDOWS
from calls import Calls
from cases import DTYPES, MEMORY_FORMATS, ConvCase, PoolCase, ids
from checks import (
    accumulate_dtype,
    algorithms,
    assert_same_bits,
    assert_within,
    capability_of,
    forced,
    workspaces,
)
from cnnops._dispatch import has_kernels
from test_errors import EVERY_TENSOR, GOOD, TENSORS, on
from train_helpers import call as call_trainer

pytestmark = pytest.mark.skipif(
    not (torch.cuda.is_available() and has_kernels("cuda")), reason="needs a GPU and its kernels"
)

ops = torch.ops.cnnops
two_gpus = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")

# Clock cycles that keep a GPU busy for some 10 milliseconds, and for about a second.
SHORT, LONG = 20_000_000, 2_000_000_000

WHICH = ["forward", "input_grad", "weight_grad"]
# Layers of real networks: many tiles and blocks, where the other tests' cases have few.
REAL_CONVS = [
    ConvCase(
        shape.name,
        (shape.batch, shape.in_channels, shape.size, shape.size),
        (shape.out_channels, shape.in_channels // shape.groups, shape.kernel, shape.kernel),
        (shape.stride,) * 2,
        (shape.padding,) * 4,
        groups=shape.groups,
    )
    for shape in LAYERS
]
REAL_POOLS = [
    PoolCase(
        shape.name,
        (shape.batch, shape.channels, shape.size, shape.size),
        (shape.kernel,) * 2,
        (shape.stride,) * 2,
    )
    for shape in WINDOWS
]


@pytest.fixture(params=[torch.float32, torch.bfloat16])
def calls(request):
    return Calls("cuda", request.param)


def normal(size, dtype=torch.float32, memory_format=torch.contiguous_format, device="cuda"):
    """Normal values; of a float32 all 24 bits count, unlike those of cases.data."""
    values = torch.randn(size, device=device).to(dtype)
    return values.contiguous(memory_format=memory_format) if len(size) == 4 else values


class Convolution:
    """The three passes of a convolution on normal values, here and in float64 on cuDNN."""

    def __init__(self, case, dtype, memory_format=torch.contiguous_format):
        self.case = case
        self.x, self.w, self.g = (
            normal(size, dtype, memory_format) for size in (case.input, case.weight, case.output)
        )

    def run(self, which):
        case = self.case
        if which == "forward":
            return ops.conv2d(self.x, self.w, None, *case.options)
        if which == "input_grad":
            return ops.conv2d_input_grad(self.g, self.w, case.input, *case.options)
        return ops.conv2d_weight_grad(self.g, self.x, case.weight, *case.options)

    def exact(self, which):
        """The result, and the sum of |x| |w| behind each of its elements."""
        operands = [t.double().contiguous() for t in (self.g, self.x, self.w)]
        return self._in_torch(which, *operands), self._in_torch(which, *(t.abs() for t in operands))

    def _in_torch(self, which, g, x, w):
        case = self.case
        padding = case.padding[::2]
        if which == "forward":
            return F.conv2d(x, w, None, case.stride, padding, case.dilation, case.groups)
        wanted = [which == "input_grad", which == "weight_grad", False]
        geometry = case.stride, padding, case.dilation, False, [0, 0], case.groups
        gradients = torch.ops.aten.convolution_backward(g, x, w, None, *geometry, wanted)
        return gradients[wanted.index(True)]


# cuDNN, and torch's pooling.


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", REAL_CONVS, ids=ids(REAL_CONVS))
def test_convolutions_equal_cudnns(case, dtype, memory_format):
    convolution = Convolution(case, dtype, memory_format)
    # In float64 cuDNN's own rounding is as large as ours.
    factor = 32 if dtype == torch.float64 else 16
    for which in WHICH:
        assert_within(convolution.run(which), *convolution.exact(which), factor)


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("case", REAL_CONVS, ids=ids(REAL_CONVS))
def test_convolutions_have_cudnns_memory_format(case, memory_format):
    convolution = Convolution(case, torch.float16, memory_format)
    x, w = convolution.x.requires_grad_(), convolution.w.requires_grad_()
    options = None, case.stride, case.padding[::2], case.dilation, case.groups
    ours, theirs = (f.conv2d(x, w, *options) for f in (cnnops.functional, F))
    assert ours.stride() == theirs.stride()
    (dx, dw), (reference, _) = (torch.autograd.grad(y, (x, w), y.detach()) for y in (ours, theirs))
    assert dx.stride() == reference.stride()
    assert dw.shape == w.shape


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", REAL_POOLS, ids=ids(REAL_POOLS))
def test_pooling_equals_torchs(case, dtype, memory_format):
    x = normal(case.input, dtype, memory_format).abs().requires_grad_()
    exact = x.detach().double().contiguous().requires_grad_()
    window = case.kernel_size, case.stride
    # The gradient of Lp pooling divides by the result, which is stored rounded.
    rounding = torch.finfo(dtype).eps / torch.finfo(accumulate_dtype(dtype)).eps
    for pool, factor in (
        (lambda f, x: f.max_pool2d(x, *window), 16),
        (lambda f, x: f.avg_pool2d(x, *window), 16),
        (lambda f, x: f.lp_pool2d(x, 2, *window), 16 + 2 * rounding),
    ):
        y, reference = pool(cnnops.functional, x), pool(F, exact)
        assert_within(y, reference.detach(), reference.detach().abs())
        g = normal(y.shape, dtype)
        (dx,) = torch.autograd.grad(y, x, g)
        expected, magnitude = (
            torch.autograd.grad(reference, exact, h.double(), retain_graph=True)[0]
            for h in (g, g.abs())
        )
        assert_within(dx, expected, magnitude, factor)


# TF32.

TF32_SETTINGS = {
    "allow_tf32": ("cudnn", "allow_tf32", True, False),
    "convolutions": ("cudnn.conv", "fp32_precision", "tf32", "ieee"),
    "cudnn": ("cudnn", "fp32_precision", "tf32", "ieee"),
    "everything": ("", "fp32_precision", "tf32", "ieee"),
}


@pytest.fixture(params=TF32_SETTINGS)
def allow_tf32(request):
    """A function that allows or forbids it by one of torch's settings, until the test ends."""
    path, name, allowed, forbidden = TF32_SETTINGS[request.param]
    setting = torch.backends
    for part in path.split(".") if path else ():
        setting = getattr(setting, part)
    yield lambda allow: setattr(setting, name, allowed if allow else forbidden)
    torch.backends.fp32_precision = torch.backends.cudnn.fp32_precision = "none"
    torch.backends.cudnn.allow_tf32 = False


TF32_CASES = [
    ConvCase("kernel_3", (2, 64, 20, 20), (64, 64, 3, 3), padding=(1, 1, 1, 1)),
    ConvCase("strided", (2, 16, 21, 21), (48, 16, 3, 3), (2, 2), (1, 1, 1, 1)),
    ConvCase("pointwise", (2, 128, 9, 9), (72, 128, 1, 1)),
    ConvCase("grouped", (2, 32, 12, 12), (32, 8, 3, 3), padding=(1, 1, 1, 1), groups=4),
]


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("case", TF32_CASES, ids=ids(TF32_CASES))
def test_float32_is_float32_where_tf32_is_forbidden(case, memory_format, allow_tf32):
    allow_tf32(False)
    convolution = Convolution(case, torch.float32, memory_format)
    for which in WHICH:
        for name in algorithms(which, case, torch.float32, "cuda", memory_format):
            with forced(name) as factor:
                assert_within(convolution.run(which), *convolution.exact(which), factor)


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("case", TF32_CASES, ids=ids(TF32_CASES))
def test_tf32_rounds_the_operands_and_nothing_else(case, memory_format, allow_tf32):
    """Two operands rounded to 11 bits differ by 2^-10 of their product; the sum is float32's."""
    convolution = Convolution(case, torch.float32, memory_format)
    for which in WHICH:
        exact, magnitude = convolution.exact(which)
        with forced("implicit_gemm"):
            allow_tf32(False)
            full = convolution.run(which)
            allow_tf32(True)
            rounded = convolution.run(which)
        assert_within(rounded, exact, magnitude, 2**-10 / torch.finfo(torch.float32).eps + 16)
        if capability_of("cuda") >= 80:  # it is used: what else would make it worth allowing
            assert not torch.equal(rounded, full)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_tf32_is_for_float32_alone(dtype, allow_tf32):
    convolution = Convolution(TF32_CASES[0], dtype)
    for which in WHICH:
        allow_tf32(False)
        expected = convolution.run(which)
        allow_tf32(True)
        assert_same_bits(convolution.run(which), expected)


# The same bits.


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("case", REAL_CONVS, ids=ids(REAL_CONVS))
def test_convolutions_over_batch_sizes(case, dtype):
    whole = Convolution(case, dtype)
    x, g = whole.x, whole.g
    for which in ("forward", "input_grad"):
        expected = whole.run(which)
        for images in (slice(0, 1), slice(1, 3), slice(case.input[0] - 1, None)):
            whole.x, whole.g = x[images], g[images]
            whole.case = ConvCase(
                "", tuple(whole.x.shape), case.weight, case.stride, case.padding, groups=case.groups
            )
            assert_same_bits(whole.run(which), expected[images])
        whole.case, whole.x, whole.g = case, x, g


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("case", REAL_CONVS, ids=ids(REAL_CONVS))
def test_convolutions_over_runs(case, dtype):
    """Beside another stream's work, so that blocks run in another order each time."""
    convolution, side = Convolution(case, dtype), torch.cuda.Stream()
    a = torch.randn(1024, 1024, device="cuda")
    side.wait_stream(torch.cuda.current_stream())
    for which in WHICH:
        first = convolution.run(which)
        for _ in range(10):
            with torch.cuda.stream(side):
                a @ a
            assert_same_bits(convolution.run(which), first)
    torch.cuda.synchronize()


def test_threads_with_their_own_streams():
    """Nothing is shared: no workspace, no buffer of parameters."""
    calls = Calls("cuda", torch.float32).by_default()
    expected = {name: call() for name, call in calls}
    torch.cuda.synchronize()
    failures = []

    def work():
        try:
            with torch.cuda.stream(torch.cuda.Stream()):
                for _ in range(20):
                    for name, call in calls:
                        assert_same_bits(call(), expected[name])
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


# Streams and graphs.


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        cnnops.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        cnnops.MaxPool2d(3, 2, 1),
        cnnops.Conv2d(8, 16, 3, groups=4),
        cnnops.AvgPool2d(2, 1),
        cnnops.ConvTranspose2d(16, 4, 2, stride=2),
        cnnops.L2Pool2d(2),
        cnnops.Conv2d(4, 5, 1, padding="same"),
    ).cuda()


def test_work_goes_to_the_current_stream(calls):
    """The operators wait for what their stream does before."""
    expected = {name: call() for name, call in calls}
    values, side = calls.other(""), torch.cuda.Stream()
    for name, call in calls:
        calls.spoil()
        torch.cuda.synchronize()
        with torch.cuda.stream(side):
            torch.cuda._sleep(SHORT)
            calls.fill(values)
            result = call()
        side.synchronize()
        assert_same_bits(result, expected[name])


def test_other_streams_go_on(calls):
    """No operator waits for a stream that is not its own."""
    side = torch.cuda.Stream()

    def run():
        with torch.cuda.stream(side):
            for _, call in calls:
                call()
        side.synchronize()

    run()  # the side stream has its memory from now on
    torch.cuda.synchronize()
    torch.cuda._sleep(LONG)
    run()
    assert not torch.cuda.current_stream().query()
    torch.cuda.synchronize()


def assert_asynchronous(run):
    """The call returns while the GPU is still busy with what came before it."""
    run()  # memory, and the loading of kernels, may wait
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        torch.cuda._sleep(LONG)
        run()
        assert not torch.cuda.current_stream().query()
    finally:
        torch.cuda.set_sync_debug_mode("default")
        torch.cuda.synchronize()


def test_operators_do_not_synchronize(calls):
    def run():
        for _, call in calls:
            call()

    assert_asynchronous(run)


def test_a_training_step_does_not_synchronize():
    model, x = network(), normal((4, 3, 20, 20))
    assert_asynchronous(lambda: model(x).square().sum().backward())


def test_backward_on_the_stream_of_forward():
    """As torch's own operators: gradients run where the forward pass did."""
    model, x, side = network(), normal((4, 3, 20, 20)), torch.cuda.Stream()
    expected = torch.autograd.grad(model(x).square().sum(), list(model.parameters()))
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        torch.cuda._sleep(SHORT)
        loss = model(x).square().sum()
    torch.cuda.current_stream().wait_stream(side)
    actual = torch.autograd.grad(loss, list(model.parameters()))
    torch.cuda.synchronize()
    for gradient, reference in zip(actual, expected, strict=True):
        assert_same_bits(gradient, reference)


def test_graphs(calls):
    """A captured operator computes anew, from what its tensors hold at each replay."""
    for _, call in calls:
        call()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = call()
        for salt in ("one", "two"):
            calls.fill(calls.other(salt))
            result.fill_(0)
            graph.replay()
            assert_same_bits(result, call())


def test_a_training_step_in_a_graph():
    eager, x = network().double(), normal((4, 3, 20, 20), torch.float64)
    captured = torch.cuda.make_graphed_callables(network().double(), (torch.zeros_like(x),))
    for scale in (1, 2):
        results = []
        for model in (eager, captured):
            y = model(scale * x)
            results.append([y, *torch.autograd.grad(y.square().sum(), list(model.parameters()))])
        for actual, expected in zip(*results, strict=True):
            assert_same_bits(actual, expected)


# Devices.


@pytest.mark.parametrize("name, argument", [(n, k) for n, k in EVERY_TENSOR if TENSORS[n] != [k]])
def test_one_tensor_on_the_cpu(name, argument):
    arguments = on("cuda", GOOD[name]())
    arguments[argument] = arguments[argument].cpu()
    with pytest.raises(RuntimeError) as raised:
        getattr(ops, name)(**arguments)
    devices = "(cpu, got cuda:0|cuda:0, got cpu)"
    message = str(raised.value).splitlines()[0]
    assert re.match(rf"{name}: \w+ must be on \w+'s device {devices}$", message), message


@two_gpus
def test_tensors_on_two_devices():
    x, w = normal((1, 4, 6, 6), device="cuda:0"), normal((4, 4, 3, 3), device="cuda:1")
    with pytest.raises(RuntimeError, match="weight must be on input's device cuda:0, got cuda:1"):
        cnnops.functional.conv2d(x, w)


@two_gpus
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_another_device_than_the_current_one(dtype):
    there, here = (Calls(device, dtype) for device in ("cuda:1", "cuda:0"))
    alike = capability_of("cuda:0") == capability_of("cuda:1")
    for (_, call), (_, reference) in zip(there, here, strict=alike):
        result = call()
        assert result.device == torch.device("cuda:1")
        assert torch.cuda.current_device() == 0
        if alike:
            assert_same_bits(result.cpu(), reference().cpu())


@two_gpus
def test_streams_of_another_device():
    """The stream is that of the tensors' device, whatever device is current."""
    calls, side = Calls("cuda:1", torch.float32), torch.cuda.Stream("cuda:1")
    expected = {name: call() for name, call in calls}
    values = calls.other("")
    for name, call in calls:
        calls.spoil()
        torch.cuda.synchronize("cuda:1")
        with torch.cuda.stream(side), torch.cuda.device("cuda:1"):
            torch.cuda._sleep(SHORT)
            calls.fill(values)
            with torch.cuda.device("cuda:0"):
                result = call()
        side.synchronize()
        assert_same_bits(result, expected[name])


def test_convert_and_explain():
    module = cnnops.convert(nn.Conv2d(4, 6, 3).cuda())
    assert type(module) is cnnops.Conv2d
    x = normal((2, 4, 9, 9))
    ((_, call),) = cnnops.explain(module, x).calls
    case = ConvCase("", (2, 4, 9, 9), (6, 4, 3, 3))
    planned = [algorithms(which, case, torch.float32, "cuda")[0] for which in WHICH]
    assert [step.algorithm for step in call.passes] == planned
    ((_, pooling),) = cnnops.explain(cnnops.MaxPool2d(2), x).calls
    assert call.instruction_set == pooling.instruction_set == f"sm_{capability_of('cuda')}"


def test_trainer(tmp_path):
    for folder in ("first", "second"):
        code, _, err = call_trainer(
            "--device", "cuda", "--epochs", 2, "--output", tmp_path / folder
        )
        assert code == 0, err
    first, second = (
        torch.load(tmp_path / folder / "model.pt", weights_only=True)
        for folder in ("first", "second")
    )
    for name, value in first.items():
        assert_same_bits(value, second[name])


# Memory.


def test_out_of_memory():
    """torch's own error, after which everything works and nothing is lost."""
    side, total = 1024, torch.cuda.get_device_properties("cuda").total_memory
    x = torch.zeros(1, device="cuda").expand(total // (4 * side**2) + 1, 1, side, side)
    w, window = torch.ones(1, 1, 1, 1, device="cuda"), ([1, 1], [1, 1], [0, 0])
    before = torch.cuda.memory_allocated()
    for call in (
        lambda: ops.conv2d(x, w, None, [1, 1], [0] * 4, [1, 1], 1),
        lambda: ops.conv2d_input_grad(x, w, x.shape, [1, 1], [0] * 4, [1, 1], 1),
        lambda: ops.max_pool2d_with_offsets(x, *window, [1, 1], False),
        lambda: ops.avg_pool2d(x, *window, False, True, None),
        lambda: ops.lp_pool2d(x, 2.0, *window, False),
    ):
        with pytest.raises(torch.cuda.OutOfMemoryError):
            call()
        assert torch.cuda.memory_allocated() == before
    for _, call in Calls("cuda", torch.float32):
        call()


def test_out_of_memory_for_a_workspace():
    """There is room for the result and for nothing else."""
    case = ConvCase("", (4, 64, 56, 56), (64, 64, 3, 3), padding=(1, 1, 1, 1))
    assert workspaces("weight_grad", case, torch.float32, "cuda")["implicit_gemm"] > 2**22
    convolution = Convolution(case, torch.float32)
    with forced("implicit_gemm"):
        expected = convolution.run("weight_grad")
        room, filler = torch.empty_like(expected), []
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties("cuda").total_memory
        torch.cuda.set_per_process_memory_fraction(torch.cuda.memory_reserved() / total)
        try:
            with pytest.raises(torch.cuda.OutOfMemoryError):
                while True:
                    filler.append(torch.empty(2**21, dtype=torch.uint8, device="cuda"))
            del room
            before = torch.cuda.memory_allocated()
            with pytest.raises(torch.cuda.OutOfMemoryError):
                convolution.run("weight_grad")
            assert torch.cuda.memory_allocated() == before
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        del filler
        assert_same_bits(convolution.run("weight_grad"), expected)


# More than 2^31 elements, of which test_large.py reads few: here every block has work.

IMAGE = (64, 64, 64)
COUNT = 2**31 // (64 * 64 * 64) + 2
BIG = ConvCase("", (COUNT, *IMAGE), (64, 64, 3, 3), padding=(1, 1, 1, 1))
SEVERAL = [0, 1, COUNT // 2, COUNT - 2, COUNT - 1]


def integers(*size):
    return torch.randint(-1, 2, size, device="cuda").to(torch.bfloat16)


def big_batch(memory_format):
    """One image again and again, others at its ends and in its middle."""
    x = torch.empty(
        BIG.input, dtype=torch.bfloat16, device="cuda", memory_format=memory_format
    ).copy_(integers(1, *IMAGE))
    for n in SEVERAL:
        x[n] = integers(*IMAGE)
    return x


def assert_images_alone_are_the_same(call, x):
    whole = call(x)
    for n in [*SEVERAL, COUNT // 3]:
        assert_same_bits(whole[n : n + 1], call(x[n : n + 1]))


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
def test_big_convolutions(memory_format, much_memory):
    much_memory("cuda", 12e9)
    x, w = big_batch(memory_format), integers(*BIG.weight)
    for which in ("forward", "input_grad"):
        case = ConvCase("", (1, *IMAGE), BIG.weight, padding=BIG.padding)
        for name in algorithms(which, case, x.dtype, "cuda", memory_format):
            with forced(name):
                if which == "forward":
                    assert_images_alone_are_the_same(
                        lambda x: ops.conv2d(x, w, None, *BIG.options), x
                    )
                else:
                    assert_images_alone_are_the_same(
                        lambda g: ops.conv2d_input_grad(g, w, g.shape, *BIG.options), x
                    )


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
def test_big_weight_gradient(memory_format, much_memory):
    """Only the last images have a gradient; sums of small integers are exact in any order."""
    much_memory("cuda", 18e9)
    x, last = big_batch(memory_format), slice(COUNT - 2, None)
    g = torch.zeros_like(x)
    g[last] = integers(2, *IMAGE)
    for name in algorithms("weight_grad", BIG, x.dtype, "cuda", memory_format):
        with forced(name):
            actual = ops.conv2d_weight_grad(g, x, BIG.weight, *BIG.options)
            expected = ops.conv2d_weight_grad(g[last], x[last], BIG.weight, *BIG.options)
        assert_same_bits(actual, expected)
    assert_same_bits(ops.conv2d_bias_grad(g), ops.conv2d_bias_grad(g[last]))


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
def test_big_pooling(memory_format, much_memory):
    much_memory("cuda", 20e9)
    x, window = big_batch(memory_format), ([3, 3], [1, 1], [1, 1])

    def max_backward(x):
        _, offsets = ops.max_pool2d_with_offsets(x, *window, [1, 1], False)
        return ops.max_pool2d_backward(x, offsets, x.shape[2:], *window, [1, 1])

    for call in (
        lambda x: ops.max_pool2d(x, *window, [1, 1], False),
        max_backward,
        lambda x: ops.avg_pool2d(x, *window, False, True, None),
        lambda x: ops.avg_pool2d_backward(x, x.shape[2:], *window, False, True, None),
        lambda x: ops.lp_pool2d(x, 2.0, *window, False),
        lambda x: ops.lp_pool2d_backward(x, x, x, 2.0, *window, False),
    ):
        assert_images_alone_are_the_same(call, x)
