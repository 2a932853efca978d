"""Floating-point instructions and conversions against numpy, torch and exact fractions."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from ptx.harness import evaluate

RANDOM = np.random.default_rng(11)
EDGES = [0.0, -0.0, 1.0, -1.0, 1.5, 2.5, -2.5, 0.5, 3.0, 1e-40, -1e-42, 3.4e38, -3.4e38, 65519.0]
EDGES += [65520.0, 2.0**-24, 2.0**-25, 255.5, 1e10, -1e10, math.inf, -math.inf, math.nan]
NUMBERS = np.array([*EDGES, *RANDOM.standard_normal(20), *(RANDOM.standard_normal(9) * 1e6)], "f4")
PAIRS = np.array(list(itertools.product(NUMBERS, NUMBERS)), "f4")[::3][:1024]
LEFT, RIGHT = (np.ascontiguousarray(side) for side in PAIRS.T)


def same(found, wanted):
    """Equal bits, but any NaN for another."""
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.dtype == wanted.dtype
    numbers = wanted == wanted
    assert ((found == found) == numbers).all()
    assert (found[numbers] == wanted[numbers]).all()
    assert (np.signbit(found[numbers]) == np.signbit(wanted[numbers])).all()


def nearest_down(value, exact, kind):
    """The float next to an exact fraction, towards minus infinity."""
    number = kind(value)
    if Fraction(float(number)) > exact:
        number = np.nextafter(number, kind(-np.inf))
    return number


@pytest.mark.parametrize("kind, dtype", [("f32", "f4"), ("f64", "f8")])
@pytest.mark.parametrize("opcode", ["add.rn", "sub", "mul.rn", "div.rn"])
def test_arithmetic(opcode, kind, dtype):
    a, b = LEFT.astype(dtype), RIGHT.astype(dtype)
    function = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}
    with np.errstate(all="ignore"):
        wanted = function[opcode[:3]](a, b)
    same(evaluate(f"{opcode}.{kind} %d, %a, %b;", [(kind, a), (kind, b)], kind), wanted)


def test_directed_rounding():
    a = RANDOM.standard_normal(200).astype("f4")
    b = RANDOM.standard_normal(200).astype("f4")
    exact = [Fraction(float(x)) * Fraction(float(y)) for x, y in zip(a, b)]
    for mode in ("rz", "rm", "rp"):
        found = evaluate(f"mul.{mode}.f32 %d, %a, %b;", [("f32", a), ("f32", b)], "f32")
        for number, value in zip(found, exact):
            down = nearest_down(float(value), value, np.float32)
            up = down if Fraction(float(down)) == value else np.nextafter(down, np.float32(np.inf))
            wanted = {"rm": down, "rp": up, "rz": down if value > 0 else up}[mode]
            assert number == wanted


def test_fma_rounds_once():
    a = RANDOM.standard_normal(500).astype("f4")
    b = RANDOM.standard_normal(500).astype("f4")
    c = (-(a * b)).astype("f4")
    found = evaluate("fma.rn.f32 %d, %a, %b, %c;", [("f32", x) for x in (a, b, c)], "f32")
    wanted = [
        np.float32(float(Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))))
        for x, y, z in zip(a, b, c)
    ]
    same(found, np.array(wanted, "f4"))
    assert np.count_nonzero(found) > 400


@pytest.mark.parametrize("opcode", ["min", "max"])
def test_extremes(opcode):
    """A number beats NaN, or NaN wins with .NaN; the zeros are ordered."""
    inputs = [("f32", LEFT), ("f32", RIGHT)]
    sign = 1 if opcode == "max" else -1
    wanted = np.where(np.isnan(LEFT), RIGHT, np.where(np.isnan(RIGHT), LEFT, LEFT))
    greater = sign * RIGHT > sign * LEFT
    zeros = (LEFT == 0) & (RIGHT == 0) & (np.signbit(LEFT) != np.signbit(RIGHT))
    wanted = np.where(greater & ~np.isnan(LEFT), RIGHT, wanted)
    wanted = np.where(zeros, np.float32(0.0 if opcode == "max" else -0.0), wanted)
    same(evaluate(f"{opcode}.f32 %d, %a, %b;", inputs, "f32"), wanted)
    either = np.isnan(LEFT) | np.isnan(RIGHT)
    wanted = np.where(either, np.float32(np.nan), wanted)
    same(evaluate(f"{opcode}.NaN.f32 %d, %a, %b;", inputs, "f32"), wanted)


def test_flush_and_saturation():
    tiny = np.array([1e-40, -1e-40, 2.0**-126, 1e-38, 0.5, 2.0, -3.0, np.nan], "f4")
    one = np.ones(8, "f4")
    found = evaluate("mul.ftz.f32 %d, %a, %b;", [("f32", tiny), ("f32", one)], "f32")
    wanted = np.where(np.abs(tiny) < 2.0**-126, np.copysign(np.float32(0), tiny), tiny)
    same(found, wanted)
    found = evaluate("add.sat.f32 %d, %a, %b;", [("f32", tiny), ("f32", one - 1)], "f32")
    same(found, np.nan_to_num(np.clip(tiny, 0, 1)).astype("f4"))


def test_comparisons_with_nan():
    words = {
        "eq": np.equal,
        "lt": np.less,
        "le": np.less_equal,
        "gt": np.greater,
        "ge": np.greater_equal,
    }
    either = np.isnan(LEFT) | np.isnan(RIGHT)
    inputs = [("f32", LEFT), ("f32", RIGHT)]
    for word, function in words.items():
        held = function(LEFT, RIGHT)
        assert (evaluate(f"setp.{word}.f32 %pd, %a, %b;", inputs, "pred") == held).all()
        found = evaluate(f"setp.{word}u.f32 %pd, %a, %b;", inputs, "pred")
        assert (found == held | either).all()
    different = LEFT != RIGHT
    assert (evaluate("setp.ne.f32 %pd, %a, %b;", inputs, "pred") == different & ~either).all()
    assert (evaluate("setp.neu.f32 %pd, %a, %b;", inputs, "pred") == different).all()
    assert (evaluate("setp.num.f32 %pd, %a, %b;", inputs, "pred") == ~either).all()
    assert (evaluate("setp.nan.f32 %pd, %a, %b;", inputs, "pred") == either).all()


def test_signs_and_properties():
    a = NUMBERS
    same(evaluate("abs.f32 %d, %a;", [("f32", a)], "f32"), np.abs(a))
    same(evaluate("neg.f32 %d, %a;", [("f32", a)], "f32"), -a)
    b = a[::-1].copy()
    found = evaluate("copysign.f32 %d, %a, %b;", [("f32", a), ("f32", b)], "f32")
    same(found, np.copysign(b, a))
    small = np.abs(a) < 2.0**-126
    for word, wanted in {
        "finite": np.isfinite(a),
        "infinite": np.isinf(a),
        "number": ~np.isnan(a),
        "notanumber": np.isnan(a),
        "normal": np.isfinite(a) & ~small,
        "subnormal": small & (a != 0),
    }.items():
        found = evaluate(f"testp.{word}.f32 %pd, %a;", [("f32", a)], "pred")
        assert (found == wanted).all(), word


@pytest.mark.parametrize(
    "opcode, function",
    [
        ("rcp.rn", lambda x: 1 / x),
        ("rcp.approx", lambda x: 1 / x),
        ("sqrt.rn", np.sqrt),
        ("sqrt.approx.ftz", np.sqrt),
        ("rsqrt.approx", lambda x: 1 / np.sqrt(x)),
        ("ex2.approx", np.exp2),
        ("lg2.approx", np.log2),
        ("sin.approx", np.sin),
        ("cos.approx", np.cos),
        ("tanh.approx", np.tanh),
    ],
)
def test_functions(opcode, function):
    values = np.abs(RANDOM.standard_normal(64)).astype("f4")
    found = evaluate(f"{opcode}.f32 %d, %a;", [("f32", values)], "f32")
    same(found, function(values.astype("f8")).astype("f4"))


def test_double_functions():
    values = np.abs(RANDOM.standard_normal(64))
    for opcode, wanted in (("rcp.rn", 1 / values), ("sqrt.rn", np.sqrt(values))):
        same(evaluate(f"{opcode}.f64 %d, %a;", [("f64", values)], "f64"), wanted)
    found = evaluate("fma.rn.f64 %d, %a, %a, %a;", [("f64", values)], "f64")
    assert np.allclose(found, values * values + values, rtol=1e-15)


TORCH = {"f16": torch.float16, "bf16": torch.bfloat16}


def half_values(kind):
    """Every seventh 16-bit pattern, as bits and as torch's float32."""
    bits = np.arange(0, 65536, 67, dtype="u2")
    bits = np.concatenate([bits, np.array([0, 0x8000, 1, 0x7C00, 0x7F80, 0xFF80, 0x3C00], "u2")])
    values = torch.from_numpy(bits.view("i2").copy()).view(TORCH[kind])
    return bits, values


def bits_of(tensor):
    return tensor.view(torch.int16).numpy().view("u2")


def of_numbers(function, a, b):
    """`function` of numpy, of two 16-bit torch tensors; signalling NaNs are NaNs like any other."""
    return torch.from_numpy(function(a.float().numpy(), b.float().numpy())).to(a.dtype)


def same_halves(found, wanted):
    """Equal bits of 16-bit torch tensors, any NaN for another."""
    nan = wanted.isnan().numpy()
    values = torch.from_numpy(found.view("i2").copy()).view(wanted.dtype)
    assert (values.isnan().numpy() == nan).all()
    assert (found[~nan] == bits_of(wanted)[~nan]).all()


@pytest.mark.parametrize("kind", ["f16", "bf16"])
@pytest.mark.parametrize("opcode", ["add", "sub", "mul", "min", "max"])
def test_half_arithmetic(opcode, kind):
    bits, a = half_values(kind)
    order = RANDOM.permutation(len(bits))
    b = a[order]
    with np.errstate(all="ignore"):
        wanted = {
            "add": lambda: a + b,
            "sub": lambda: a - b,
            "mul": lambda: a * b,
            "min": lambda: of_numbers(np.fmin, a, b),
            "max": lambda: of_numbers(np.fmax, a, b),
        }[opcode]()
    inputs = [("b16", bits), ("b16", bits[order].copy())]
    mode = ".rn" if opcode in ("add", "sub", "mul") else ""
    found = evaluate(f"{opcode}{mode}.{kind} %d, %a, %b;", inputs, "b16")
    if opcode in ("min", "max"):
        zeros = ((a == 0) & (b == 0)).numpy()
        found = np.where(zeros, bits_of(wanted), found)
    same_halves(found, wanted)
    whole = len(bits) // 2 * 2
    columns = [np.ascontiguousarray(column[:whole]) for _, column in inputs]
    pairs = [("b32", column.view("u4")) for column in columns]
    packed = evaluate(f"{opcode}{mode}.{kind}x2 %d, %a, %b;", pairs, "b32").view("u2")
    single = evaluate(f"{opcode}{mode}.{kind} %d, %a, %b;", inputs, "b16")[:whole]
    assert (packed == single).all()


@pytest.mark.parametrize("kind", ["f16", "bf16"])
def test_half_fma(kind):
    bits, values = half_values(kind)
    finite = values.isfinite() & (values.abs() < 100) & (values.abs() > 0.01)
    bits, values = bits[finite.numpy()], values[finite].double()
    count = len(bits)
    orders = [RANDOM.permutation(count) for _ in range(2)]
    inputs = [("b16", bits), *(("b16", bits[order].copy()) for order in orders)]
    found = evaluate(f"fma.rn.{kind} %d, %a, %b, %c;", inputs, "b16")
    exact = values * values[orders[0]] + values[orders[1]]
    digits = 11 if kind == "f16" else 8
    for number, value in zip(found, exact.tolist()):
        scale = 2.0 ** (digits - math.frexp(value)[1])
        if 2.0**-14 < abs(value) < 60000:
            wanted = torch.tensor(round(value * scale) / scale).to(TORCH[kind])
            assert number == bits_of(wanted)
    found = evaluate(f"fma.rn.relu.{kind} %d, %a, %b, %c;", inputs, "b16")
    assert (found[exact.numpy() < 0] == 0).all()


@pytest.mark.parametrize("kind", ["f16", "bf16"])
def test_half_signs_and_comparisons(kind):
    bits, a = half_values(kind)
    found = evaluate(f"neg.{kind} %d, %a;", [("b16", bits)], "b16")
    assert (found == bits ^ 0x8000).all()
    found = evaluate(f"abs.{kind} %d, %a;", [("b16", bits)], "b16")
    assert (found == bits & 0x7FFF).all()
    order = RANDOM.permutation(len(bits))
    inputs = [("b16", bits), ("b16", bits[order].copy())]
    found = evaluate(f"setp.lt.{kind} %pd, %a, %b;", inputs, "pred")
    assert (found == (a < a[order]).numpy()).all()


@pytest.mark.parametrize("kind", ["f16", "bf16"])
def test_conversions_to_half(kind):
    values = np.concatenate([NUMBERS, RANDOM.standard_normal(300).astype("f4")])
    ties = (np.arange(1, 200, dtype="u4") * 0x1000 + 0x3F800000).view("f4")
    values = np.concatenate([values, ties, ties * np.float32(2.0**-20)])
    wanted = torch.from_numpy(values).to(TORCH[kind])
    same_halves(evaluate(f"cvt.rn.{kind}.f32 %d, %a;", [("f32", values)], "b16"), wanted)
    text = f"cvt.rn.{kind}x2.f32 %d, %a, %b;"
    pairs = evaluate(text, [("f32", values), ("f32", values[::-1].copy())], "b32").view("u2")
    same_halves(np.ascontiguousarray(pairs[1::2]), wanted)
    same_halves(np.ascontiguousarray(pairs[0::2]), wanted.flip(0))
    found = evaluate(f"cvt.rz.{kind}.f32 %d, %a;", [("f32", values)], "b16")
    back = torch.from_numpy(found.view("i2").copy()).view(TORCH[kind]).float().numpy()
    finite = np.isfinite(values) & (np.abs(values) < 65504)
    assert (np.abs(back[finite]) <= np.abs(values[finite])).all()
    assert (np.abs(back[finite] - values[finite]) <= np.abs(values[finite]) / 128 + 1e-7).all()


@pytest.mark.parametrize("kind", ["f16", "bf16"])
def test_conversions_from_half(kind):
    bits, values = half_values(kind)
    found = evaluate(f"cvt.f32.{kind} %d, %a;", [("b16", bits)], "f32")
    same(found, values.float().numpy())


def test_tf32():
    values = np.concatenate([NUMBERS[:-30], RANDOM.standard_normal(300).astype("f4")])
    ties = (np.arange(1, 100, dtype="u4") * 0x1000 + 0x3F800000).view("f4")
    values = np.concatenate([values, ties, -ties])
    values = values[np.isfinite(values)]
    down = (values.view("u4") & 0xFFFFE000).view("f4")
    step = (down.view("u4") + 0x2000).view("f4")
    with np.errstate(all="ignore"):
        up_closer = np.abs(step.astype("f8") - values) < np.abs(values - down.astype("f8"))
        tie = np.abs(step.astype("f8") - values) == np.abs(values - down.astype("f8"))
    away = np.where(up_closer | tie, step, down)
    even = np.where(up_closer | tie & (down.view("u4") >> 13 & 1 == 1), step, down)
    for mode, wanted in (("rna", away), ("rn", even), ("rz", down)):
        found = evaluate(f"cvt.{mode}.tf32.f32 %d, %a;", [("f32", values)], "b32")
        assert (found == wanted.view("u4")).all(), mode


@pytest.mark.parametrize("target", ["u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64"])
@pytest.mark.parametrize("origin", ["f32", "f64"])
def test_floats_to_integers(origin, target):
    dtype = "f4" if origin == "f32" else "f8"
    values = np.concatenate(
        [NUMBERS.astype(dtype), np.array([2.0**31, 2.0**63, -(2.0**63)], dtype)]
    )
    rounding = {"rni": round, "rzi": math.trunc, "rmi": math.floor, "rpi": math.ceil}
    bits = int(target[1:])
    low, high = (0, 2**bits - 1) if target[0] == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    for mode, function in rounding.items():
        found = evaluate(f"cvt.{mode}.{target}.{origin} %d, %a;", [(origin, values)], target)
        for number, value in zip(found.tolist(), values.tolist()):
            if math.isnan(value):
                top = origin == "f64" or bits == 64
                wanted = (1 << bits - 1 if target[0] == "u" else low) if top else 0
            elif math.isinf(value):
                wanted = high if value > 0 else low
            else:
                wanted = max(low, min(high, function(value)))
            assert number == wanted, (mode, value)


@pytest.mark.parametrize("target, kind", [("f32", np.float32), ("f64", np.float64)])
@pytest.mark.parametrize("origin", ["u32", "s32", "u64", "s64"])
def test_integers_to_floats(origin, target, kind):
    bits = int(origin[1:])
    drawn = [int.from_bytes(RANDOM.bytes(bits // 8), "little") for _ in range(20)]
    values = [0, 1, 2**24 + 1, 2**bits - 1, 2 ** (bits - 1) - 1, *drawn]
    if origin[0] == "s":
        values = [x - 2**bits if x >> bits - 1 else x for x in values]
    for mode in ("rn", "rz", "rm", "rp"):
        found = evaluate(f"cvt.{mode}.{target}.{origin} %d, %a;", [(origin, values)], target)
        for number, value in zip(found, values):
            down = nearest_down(value, value, kind)
            up = down if int(down) == value else np.nextafter(down, kind(np.inf))
            wanted = {"rm": down, "rp": up, "rz": down if value > 0 else up}
            nearest = down if value - int(down) < int(up) - value else up
            if mode == "rn" and value - int(down) == int(up) - value:
                nearest = kind(value)
            assert number == wanted.get(mode, nearest), (mode, value)


def test_rounding_to_whole_numbers():
    values = NUMBERS[np.isfinite(NUMBERS)]
    for mode, function in (
        ("rni", np.rint),
        ("rzi", np.trunc),
        ("rmi", np.floor),
        ("rpi", np.ceil),
    ):
        same(evaluate(f"cvt.{mode}.f32.f32 %d, %a;", [("f32", values)], "f32"), function(values))


def test_double_to_single():
    values = np.array([1 + 2.0**-30, -1 - 2.0**-30, 1e300, -1e300, 1e-320, 0.1])
    for mode in ("rn", "rz", "rm", "rp"):
        found = evaluate(f"cvt.{mode}.f32.f64 %d, %a;", [("f64", values)], "f32")
        for number, value in zip(found.astype("f8"), values):
            if mode == "rm" or (mode == "rz" and value > 0):
                assert number <= value
            elif mode in ("rp", "rz"):
                assert number >= value
            else:
                with np.errstate(over="ignore"):
                    assert number == np.float32(value)
