"""Kernels that nvcc compiled, against numpy, in every order of the warps."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from ptx import Device, Fault, compile_ptx, compiler, nvcc

pytestmark = pytest.mark.skipif(nvcc() is None, reason="nvcc is not installed")

KERNELS = Path(__file__).parent / "ptx" / "kernels"
ORDERS = ["lockstep", "forward", "backward", "shuffled"]
RANDOM = np.random.default_rng(5)


@pytest.fixture(scope="module")
def simple():
    return compile_ptx(KERNELS / "simple.cu", "sm_80")


@pytest.fixture(params=ORDERS)
def order(request):
    return request.param


def start(module, name, arrays, results, scalars="", values=(), **options):
    """Launch a kernel whose parameters are pointers, to inputs and then to results, and scalars."""
    device = Device()
    buffers = [device.buffer(f"input {i}", array) for i, array in enumerate(arrays)]
    outputs = [device.buffer(f"output {i}", spec, writable=True) for i, spec in enumerate(results)]
    pointers = [buffer.address for buffer in (*buffers, *outputs)]
    arguments = struct.pack(f"<{len(pointers)}Q{scalars}", *pointers, *values)
    stats = device.launch(module.kernel(name), arguments=arguments, **options)
    assert not any(output.unwritten() for output in outputs)
    return outputs, stats


def test_names(simple):
    assert "transpose<33>" in simple.kernel_names
    assert simple.kernel("collatz") is simple.kernel(simple.kernel("collatz").mangled)
    with pytest.raises(KeyError):
        simple.kernel("absent")


def test_reduction(simple, order):
    values = RANDOM.integers(-9, 9, 1000).astype("f4")
    (sums,), _ = start(
        simple, "sum_by_shuffle", [values], [12], "i", (1000,), grid=3, block=96, order=order
    )
    found = sums.array("f4")
    blocks = [values[i : i + 96] for i in range(0, 1000, 96)]
    assert found.tolist() == [sum(part.sum() for part in blocks[b::3]) for b in range(3)]


@pytest.mark.parametrize("pitch", [32, 33])
def test_transpose(simple, order, pitch):
    values = RANDOM.standard_normal((50, 70)).astype("f4")
    (result,), stats = start(
        simple,
        f"transpose<{pitch}>",
        [values],
        [values.nbytes],
        "ii",
        values.shape,
        grid=(3, 2),
        block=(32, 8),
        order=order,
    )
    assert (result.array("f4").reshape(70, 50) == values.T).all()
    assert (stats.bank_conflicts == 0) == (pitch == 33)


def test_histogram(simple, order):
    values = RANDOM.integers(0, 256, 3000).astype("u1")
    (bins,), _ = start(
        simple,
        "histogram",
        [values],
        [np.zeros(256, "u4")],
        "i",
        (3000,),
        grid=4,
        block=256,
        order=order,
    )
    assert (bins.array("u4") == np.bincount(values, minlength=256)).all()


def test_power_through_a_device_function(simple):
    base = np.array([2.0, 0.5, 1.1, 3.0, -2.0, 0.0, np.inf, 10.0])
    exponent = np.array([0.5, -3.0, 100.25, 0.0, 3.0, 2.0, -1.0, -300.0])
    (result,), _ = start(simple, "powers", [base, exponent], [64], grid=1, block=8)
    assert np.allclose(result.array("f8"), base**exponent, rtol=1e-14)


def collatz(value):
    count = 0
    while value != 1:
        value = value // 2 if value % 2 == 0 else 3 * value + 1
        count += 1
    return count


def test_divergent_loop(simple, order):
    """Lanes leave the loop one after another and vote together behind it."""
    values = RANDOM.integers(1, 60, 64).astype("u4")
    (steps,), _ = start(simple, "collatz", [values], [256], grid=1, block=64, order=order)
    counts = np.array([collatz(int(value)) for value in values])
    votes = np.repeat((counts.reshape(2, 32) > 20).sum(axis=1), 32)
    assert (steps.array("u4") == counts + 1000 * votes).all()


def test_parameters_with_computed_addresses(simple):
    rows = [RANDOM.standard_normal(40).astype("f4") for _ in range(3)]
    extents = [3, 1, 4, 1, 5, 9]
    device = Device()
    buffers = [device.buffer(f"row {i}", row) for i, row in enumerate(rows)]
    output = device.buffer("output", 256, writable=True)
    table = struct.pack("<6i3Qq", *extents, *(buffer.address for buffer in buffers), 4)
    arguments = table + struct.pack("<Q", output.address)
    device.launch(simple.kernel("pick"), 1, 64, arguments=arguments)
    wanted = [rows[t % 3][extents[t % 6] * 4] for t in range(64)]
    assert (output.array("f4") == np.array(wanted)).all()


@pytest.mark.parametrize("elements", [2**31 + 5, 3 * 2**32 + 1])
def test_offsets_beyond_32_bits(simple, elements):
    """The pointers lie far before the buffers; only 64-bit indices come back into them."""
    device = Device()
    values = RANDOM.standard_normal(64).astype("f4")
    source = device.buffer("input", values)
    target = device.buffer("output", 256, writable=True)
    far = [(buffer.address - 4 * elements) % 2**64 for buffer in (source, target)]
    arguments = struct.pack("<QQq", *far, elements)
    device.launch(simple.kernel("far"), 2, 32, arguments=arguments)
    assert (target.array("f4") == 2 * values).all()
    with pytest.raises(Fault, match="out-of-bounds"):
        device.launch(
            simple.kernel("far"), 2, 32, arguments=struct.pack("<QQq", *far, elements % 2**31)
        )


def test_module_variables(simple):
    (result,), _ = start(simple, "module_variables", [], [16], grid=1, block=32)
    counters = [1, 2, 3, 4]
    for thread in range(32):
        counters[thread % 4] += (-1, 5, 7)[thread % 3]
    assert result.array("u4").tolist() == [counter % 2**32 for counter in counters]


def test_switch(simple, order):
    which = np.array([0, 1, 2, 3, 4, 5, 6, 7, -1, 100] * 4, "i4")[:33]
    (result,), _ = start(simple, "choose", [which], [132], grid=1, block=33, order=order)
    cases = [
        lambda t: t * 7 + 1,
        lambda t: t ^ 0x55,
        lambda t: t - 100,
        lambda t: t * t,
        lambda t: ~t,
        lambda t: t % 5,
        lambda t: t << 3,
    ]
    wanted = [cases[w](t) if 0 <= w < 7 else -1 for t, w in enumerate(which.tolist())]
    assert result.array("i4").tolist() == wanted


def test_local_memory(simple):
    values = RANDOM.integers(0, 50, 16).astype("i4")
    (result,), _ = start(simple, "local_array", [values], [32 * 4], "i", (20,), grid=1, block=32)
    for thread, found in enumerate(result.array("i4").tolist()):
        stack = [int(value) + thread for value in values]
        for i in range(20):
            stack[i * thread % 16] += stack[(i + 5) % 16]
        total = 0
        for item in stack:
            total = total * 3 + item
        assert (total - found) % 2**32 == 0


def test_barriers_that_reduce(simple, order):
    values = RANDOM.integers(-5, 5, 96).astype("i4")
    (result,), _ = start(simple, "vote_barrier", [values], [384], grid=1, block=96, order=order)
    assert (result.array("i4") == (values > 0).sum() * 4 + 2).all()


def test_named_barriers(simple, order):
    (result,), _ = start(simple, "named_barriers", [], [512], grid=1, block=128, order=order)
    assert (result.array("i4") == np.arange(128) ^ 32).all()


def bfloat16(values):
    rounded = torch.from_numpy(values).bfloat16()
    return rounded.view(torch.int16).numpy().view("u2"), rounded.double().numpy()


def run_gemm(stages, waits, order, arch="sm_80", seed=0):
    """A product whose last rows fall outside, so that copies fill up with zeros."""
    rows, columns, depth = 90, 64, 160
    random = np.random.default_rng(seed)
    a_bits, a = bfloat16(random.standard_normal((rows, depth)))
    b_bits, b = bfloat16(random.standard_normal((depth, columns)))
    module = compile_ptx(KERNELS / "gemm.cu", arch)
    device = Device()
    buffers = [device.buffer("a", a_bits), device.buffer("b", b_bits)]
    c = device.buffer("c", 4 * rows * columns, writable=True)
    arguments = struct.pack(
        "<QQQiii4x", buffers[0].address, buffers[1].address, c.address, rows, columns, depth
    )
    stats = device.launch(
        module.kernel(f"gemm<{stages}, {'true' if waits else 'false'}>"),
        (1, 2),
        128,
        stages * 2 * (64 * 40 + 32 * 72),
        arguments,
        order=order,
    )
    assert c.unwritten() == 0
    found = c.array("f4").reshape(rows, columns)
    assert np.abs(found - a @ b).max() < 1e-5 * (np.abs(a) @ np.abs(b)).max()
    return found, stats


@pytest.mark.parametrize("stages", [2, 3])
def test_matrix_product(stages, order):
    _, stats = run_gemm(stages, True, order)
    tiles, steps = 2, 5
    assert stats.instructions["mma"] == tiles * 4 * steps * 16
    assert stats.instructions["ldmatrix"] == tiles * 4 * steps * 8
    assert stats.instructions["barrier"] == tiles * 4 * steps


def test_matrix_product_on_sm_90():
    run_gemm(3, True, "lockstep", "sm_90")


def test_forgotten_wait(order):
    with pytest.raises(Fault) as caught:
        run_gemm(3, False, order)
    assert caught.value.kind == "pending-copy"
    assert "ldmatrix" in caught.value.text


def test_orders_give_the_same_bits():
    """The caller compares; a kernel with a fixed order of sums agrees."""
    results = [run_gemm(2, True, name)[0] for name in ORDERS]
    assert all((result == results[0]).all() for result in results)


def test_compiled_text_is_kept_until_something_it_includes_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(compiler, "CACHE", tmp_path / "cache")
    header, source = tmp_path / "value.h", tmp_path / "kernel.cu"
    header.write_text("constexpr int kValue = 17;\n")
    source.write_text('#include "value.h"\n__global__ void f(int* p) { *p = kValue; }\n')
    assert source.resolve() in compiler.included(source.resolve())
    first = compiler.compile_text(source, "sm_80")
    monkeypatch.setattr(compiler, "run_nvcc", lambda *arguments: pytest.fail("compiled again"))
    assert compiler.compile_text(source, "sm_80") == first
    monkeypatch.undo()
    monkeypatch.setattr(compiler, "CACHE", tmp_path / "cache")
    header.write_text("constexpr int kValue = 23;\n")
    assert "23" in compiler.compile_text(source, "sm_80") != first


def test_every_kernel_translates():
    for name in ("simple.cu", "gemm.cu"):
        module = compile_ptx(KERNELS / name, "sm_80")
        for kernel in module.kernel_names:
            module.kernel(kernel).check()
