"""Integer instructions of the interpreter against Python's integers."""

import itertools

import numpy as np
import pytest

from ptx.harness import evaluate
from ptx.kinds import WIDTH, code

RANDOM = np.random.default_rng(7)


def signed(value, bits):
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value


def samples(kind):
    """Edges of a type and a few random values."""
    bits = 8 * WIDTH[kind]
    edges = [0, 1, 2, 3, 7, bits - 1, bits, (1 << bits - 1) - 1, 1 << bits - 1, (1 << bits) - 1]
    drawn = [int.from_bytes(RANDOM.bytes(bits // 8), "little") for _ in range(6)]
    values = [value & (1 << bits) - 1 for value in edges + drawn]
    return [signed(value, bits) for value in values] if kind[0] == "s" else values


def truncated(a, b):
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def shifted_right(a, amount, bits):
    return a >> min(amount, bits)


def field(a, start, length, bits, is_signed):
    """bfe by its definition, bit by bit."""
    start, length = start & 255, length & 255
    top = min(start + length - 1, bits - 1)
    sign = 0 if not is_signed or length == 0 else a >> top & 1
    result = 0
    for i in range(bits):
        inside = i < length and start + i < bits
        result |= (a >> start + i & 1 if inside else sign) << i
    return result


def inserted(a, b, start, length, bits):
    """bfi by its definition."""
    start, length = start & 255, length & 255
    result = b
    for i in range(length):
        if start + i < bits:
            result = result & ~(1 << start + i) | (a >> i & 1) << start + i
    return result


BINARY = {
    "add": lambda a, b, n: a + b,
    "sub": lambda a, b, n: a - b,
    "mul.lo": lambda a, b, n: a * b,
    "mul.hi": lambda a, b, n: a * b >> n,
    "min": lambda a, b, n: min(a, b),
    "max": lambda a, b, n: max(a, b),
}


def check(text, kinds, values, result, expected):
    """All combinations of the values, in blocks of at most 1024."""
    cases = list(itertools.product(*values))
    for start in range(0, len(cases), 1024):
        part = cases[start : start + 1024]
        columns = [(kind, list(column)) for kind, column in zip(kinds, zip(*part))]
        found = evaluate(text, columns, result)
        bits = 8 * WIDTH[result]
        wanted = np.array([expected(*case) & (1 << bits) - 1 for case in part], f"u{bits // 8}")
        wrong = found.view(wanted.dtype) != wanted
        assert not wrong.any(), (part[int(wrong.argmax())], found[wrong.argmax()])


@pytest.mark.parametrize("kind", ["u16", "s16", "u32", "s32", "u64", "s64"])
@pytest.mark.parametrize("opcode", BINARY)
def test_binary(opcode, kind):
    values = samples(kind)
    bits = 8 * WIDTH[kind]
    check(
        f"{opcode}.{kind} %d, %a, %b;",
        [kind, kind],
        [values, values],
        kind,
        lambda a, b: BINARY[opcode](a, b, bits),
    )


@pytest.mark.parametrize("kind", ["u16", "s16", "u32", "s32", "u64", "s64"])
def test_division(kind):
    values = samples(kind)
    divisors = [value for value in values if value]
    for opcode, expected in [
        ("div", truncated),
        ("rem", lambda a, b: a - truncated(a, b) * b),
    ]:
        check(f"{opcode}.{kind} %d, %a, %b;", [kind, kind], [values, divisors], kind, expected)


@pytest.mark.parametrize("kind", ["u16", "s16", "u32", "s32"])
def test_wide_products(kind):
    values = samples(kind)
    wide = f"{kind[0]}{16 * WIDTH[kind]}"
    check(f"mul.wide.{kind} %d, %a, %b;", [kind, kind], [values, values], wide, lambda a, b: a * b)
    addends = samples(wide)[::3]
    check(
        f"mad.wide.{kind} %d, %a, %b, %c;",
        [kind, kind, wide],
        [values, values, addends],
        wide,
        lambda a, b, c: a * b + c,
    )


@pytest.mark.parametrize("kind", ["u32", "s32", "u64", "s64"])
def test_multiply_add(kind):
    values, bits = samples(kind)[::2], 8 * WIDTH[kind]
    for mode, part in [("lo", lambda p: p), ("hi", lambda p: p >> bits)]:
        check(
            f"mad.{mode}.{kind} %d, %a, %b, %c;",
            [kind] * 3,
            [values] * 3,
            kind,
            lambda a, b, c, part=part: part(a * b) + c,
        )


def test_24_bit_products():
    for kind in ("u32", "s32"):
        values = samples(kind)

        def cut(a, kind=kind):
            return signed(a, 24) if kind == "s32" else a & 0xFFFFFF

        for mode, shift in (("lo", 0), ("hi", 16)):
            check(
                f"mul24.{mode}.{kind} %d, %a, %b;",
                [kind] * 2,
                [values] * 2,
                kind,
                lambda a, b, shift=shift, cut=cut: cut(a) * cut(b) >> shift,
            )
            check(
                f"mad24.{mode}.{kind} %d, %a, %b, %c;",
                [kind] * 3,
                [values[::2]] * 3,
                kind,
                lambda a, b, c, shift=shift, cut=cut: (cut(a) * cut(b) >> shift) + c,
            )


def test_saturation():
    values = samples("s32")
    for opcode, sign in (("add", 1), ("sub", -1)):
        check(
            f"{opcode}.sat.s32 %d, %a, %b;",
            ["s32"] * 2,
            [values] * 2,
            "s32",
            lambda a, b, sign=sign: max(-(2**31), min(2**31 - 1, a + sign * b)),
        )


def test_carry_chains():
    values = samples("u64")
    low_high = (
        ".reg .b32 %l<6>;\nmov.b64 {%l0, %l1}, %a;\nmov.b64 {%l2, %l3}, %b;\n"
        "OP.cc.u32 %l4, %l0, %l2;\nOPc.u32 %l5, %l1, %l3;\nmov.b64 %d, {%l4, %l5};"
    )
    for opcode, sign in (("add", 1), ("sub", -1)):
        check(
            low_high.replace("OP", opcode),
            ["u64"] * 2,
            [values] * 2,
            "u64",
            lambda a, b, sign=sign: a + sign * b,
        )
    three = (
        "mul.lo.u32 %d, 0, 0;\n.reg .b32 %w<2>;\nmad.lo.cc.u32 %w0, %a, %b, %c;\n"
        "madc.hi.cc.u32 %w1, %a, %b, %e;\naddc.u32 %d, 0, 0;"
    )
    few = samples("u32")[::3]
    check(
        three,
        ["u32"] * 4,
        [few] * 4,
        "u32",
        lambda a, b, c, e: (a * b + c + (e << 32)) >> 64,
    )
    borrow = "sub.cc.u32 %d, %a, %b;\nsubc.cc.u32 %d, %b, %b;\nsubc.u32 %d, %c, 0;"
    check(borrow, ["u32"] * 3, [few] * 3, "u32", lambda a, b, c: c - (a < b))


@pytest.mark.parametrize("kind", ["u16", "s16", "u32", "s32", "u64", "s64"])
def test_shifts(kind):
    values, bits = samples(kind), 8 * WIDTH[kind]
    amounts = [0, 1, 5, bits - 1, bits, bits + 1, 63, 64, 200, 2**32 - 1]
    check(
        f"shr.{kind} %d, %a, %b;",
        [kind, "u32"],
        [values, amounts],
        kind,
        lambda a, b: shifted_right(a, b, bits),
    )
    check(
        f"shl.b{bits} %d, %a, %b;",
        [kind, "u32"],
        [values, amounts],
        kind,
        lambda a, b: a << b if b < bits else 0,
    )


def test_funnel_shifts():
    values, amounts = samples("u32")[::2], [0, 1, 13, 31, 32, 33, 63, 2**31]
    for mode, limit in (("wrap", lambda c: c & 31), ("clamp", lambda c: min(c, 32))):
        check(
            f"shf.l.{mode}.b32 %d, %a, %b, %c;",
            ["u32"] * 3,
            [values, values, amounts],
            "u32",
            lambda a, b, c, limit=limit: (b << 32 | a) << limit(c) >> 32,
        )
        check(
            f"shf.r.{mode}.b32 %d, %a, %b, %c;",
            ["u32"] * 3,
            [values, values, amounts],
            "u32",
            lambda a, b, c, limit=limit: (b << 32 | a) >> limit(c),
        )


@pytest.mark.parametrize("kind", ["u32", "s32", "u64", "s64"])
def test_bit_fields(kind):
    values, bits = samples(kind)[::2], 8 * WIDTH[kind]
    places = [0, 1, 8, 31, 32, 33, 63, 64, 255]
    check(
        f"bfe.{kind} %d, %a, %b, %c;",
        [kind, "u32", "u32"],
        [values, places, places],
        kind,
        lambda a, b, c: field(a & (1 << bits) - 1, b, c, bits, kind[0] == "s"),
    )
    if kind[0] == "u":
        check(
            f"bfi.b{bits} %d, %a, %b, %c, %e;",
            [kind, kind, "u32", "u32"],
            [values, values[::2], places, places],
            kind,
            lambda a, b, c, e: inserted(a, b, c, e, bits),
        )


@pytest.mark.parametrize("bits", [32, 64])
def test_counting(bits):
    kind = f"u{bits}"
    values = samples(kind)
    check(f"popc.b{bits} %d, %a;", [kind], [values], "u32", lambda a: a.bit_count())
    check(f"clz.b{bits} %d, %a;", [kind], [values], "u32", lambda a: bits - a.bit_length())
    reverse = lambda a: int(f"{a:0{bits}b}"[::-1], 2)  # noqa: E731
    check(f"brev.b{bits} %d, %a;", [kind], [values], kind, reverse)
    check(f"bfind.u{bits} %d, %a;", [kind], [values], "u32", lambda a: a.bit_length() - 1)
    check(
        f"bfind.shiftamt.u{bits} %d, %a;",
        [kind],
        [values],
        "u32",
        lambda a: bits - a.bit_length() if a else -1,
    )
    check(
        f"bfind.s{bits} %d, %a;",
        [f"s{bits}"],
        [samples(f"s{bits}")],
        "u32",
        lambda a: (~a if a < 0 else a).bit_length() - 1,
    )


@pytest.mark.parametrize("kind", ["u32", "s32"])
def test_extension_and_masks(kind):
    values, places = samples(kind), [0, 1, 7, 8, 31, 32, 40]
    for mode in ("wrap", "clamp"):

        def expected(a, b, mode=mode):
            b = b & 31 if mode == "wrap" else min(b, 32)
            if b == 0:
                return 0
            return signed(a, b) if kind == "s32" else a & (1 << b) - 1

        check(f"szext.{mode}.{kind} %d, %a, %b;", [kind, "u32"], [values, places], kind, expected)
    check(
        "bmsk.clamp.b32 %d, %a, %b;",
        ["u32"] * 2,
        [places, places],
        "u32",
        lambda a, b: ((1 << min(b, 32)) - 1) << min(a, 32),
    )


def test_permutation():
    values = [0x03020100, 0x8F7E6D5C, 0x80FF7F01]
    selectors = [0x3210, 0x7654, 0x0123, 0x4321, 0xFEDC, 0x8080, 0x5410]

    def bytes_of(a, b):
        return [(b << 32 | a) >> 8 * k & 255 for k in range(8)]

    def expected(a, b, c):
        result = 0
        for k in range(4):
            pick = c >> 4 * k & 15
            byte = bytes_of(a, b)[pick & 7]
            result |= ((255 if byte & 128 else 0) if pick & 8 else byte) << 8 * k
        return result

    check("prmt.b32 %d, %a, %b, %c;", ["u32"] * 3, [values, values, selectors], "u32", expected)
    for selector in selectors:
        check(
            f"prmt.b32 %d, %a, %b, {selector};",
            ["u32"] * 2,
            [values, values],
            "u32",
            lambda a, b, selector=selector: expected(a, b, selector),
        )
    picks = {
        "f4e": lambda s: [s, s + 1, s + 2, s + 3],
        "b4e": lambda s: [s, (s - 1) % 8, (s - 2) % 8, (s - 3) % 8],
        "rc8": lambda s: [s] * 4,
        "ecl": lambda s: [max(s, k) for k in range(4)],
        "ecr": lambda s: [min(s, k) for k in range(4)],
        "rc16": lambda s: [0, 1, 0, 1] if s % 2 == 0 else [2, 3, 2, 3],
    }
    for mode, places in picks.items():
        check(
            f"prmt.b32.{mode} %d, %a, %b, %c;",
            ["u32"] * 3,
            [values, values, [0, 1, 2, 3]],
            "u32",
            lambda a, b, c, places=places: sum(
                bytes_of(a, b)[p] << 8 * k for k, p in enumerate(places(c))
            ),
        )


def test_logic():
    values = samples("u32")
    for opcode, expected in [
        ("and", lambda a, b: a & b),
        ("or", lambda a, b: a | b),
        ("xor", lambda a, b: a ^ b),
    ]:
        check(f"{opcode}.b32 %d, %a, %b;", ["u32"] * 2, [values] * 2, "u32", expected)
    check("not.b64 %d, %a;", ["u64"], [samples("u64")], "u64", lambda a: ~a)
    check("cnot.b32 %d, %a;", ["u32"], [values], "u32", lambda a: int(a == 0))
    tables = [
        f"lop3.b32 %v, %a, %b, %c, {table};\nsetp.ne.u32 %q, %v, {table * 0x01010101};\n"
        f"@%q mov.u32 %d, {table};"
        for table in range(256)
    ]
    text = ".reg .b32 %v; .reg .pred %q;\nmov.u32 %d, 999;\n" + "\n".join(tables)
    inputs = [("u32", [pattern] * 2) for pattern in (0xF0F0F0F0, 0xCCCCCCCC, 0xAAAAAAAA)]
    assert evaluate(text, inputs, "u32").tolist() == [999, 999]


@pytest.mark.parametrize("kind", ["u16", "s16", "u32", "s32", "u64", "s64"])
def test_comparisons(kind):
    values = samples(kind)
    bits = 8 * WIDTH[kind]
    raw = [value & (1 << bits) - 1 for value in values]
    cases = list(itertools.product(range(len(values)), repeat=2))
    columns = [(kind, [values[case[side]] for case in cases]) for side in (0, 1)]
    operators = {
        "eq": lambda a, b: a == b,
        "ne": lambda a, b: a != b,
        "lt": lambda a, b: a < b,
        "le": lambda a, b: a <= b,
        "gt": lambda a, b: a > b,
        "ge": lambda a, b: a >= b,
    }
    for word, expected in operators.items():
        found = evaluate(f"setp.{word}.{kind} %pd, %a, %b;", columns, "pred")
        assert found.tolist() == [expected(values[i], values[j]) for i, j in cases], word
        ones = evaluate(f"set.{word}.u32.{kind} %d, %a, %b;", columns, "u32")
        assert ((ones == 0xFFFFFFFF) == found).all()
    if kind[0] == "u":
        for word, same in (("lo", "lt"), ("ls", "le"), ("hi", "gt"), ("hs", "ge")):
            found = evaluate(f"setp.{word}.{kind} %pd, %a, %b;", columns, "pred")
            assert found.tolist() == [operators[same](raw[i], raw[j]) for i, j in cases], word


def test_predicates():
    """setp with a second destination and a third operand, selp, slct and predicate logic."""
    a = [0, 1, 2, 3] * 2
    c = [0] * 4 + [1] * 4
    inputs = [("s32", a), ("s32", [2] * 8), ("pred", c)]
    text = (
        ".reg .pred %q;\nsetp.lt.and.s32 %pd|%q, %a, %b, %pc;\nselp.b32 %d, 1, 0, %pd;\n"
        "@%q add.s32 %d, %d, 2;"
    )
    text = ".reg .pred %pd;\n" + text
    held = [(x < 2 and y) + 2 * (x >= 2 and y) for x, y in zip(a, c)]
    assert evaluate(text, inputs, "u32").tolist() == held
    text = text.replace("%pd|%q, %a, %b, %pc", "%pd|%q, %a, %b, !%pc")
    held = [(x < 2 and not y) + 2 * (x >= 2 and not y) for x, y in zip(a, c)]
    assert evaluate(text, inputs, "u32").tolist() == held
    text = ".reg .pred %q;\nnot.pred %q, %pa;\nxor.pred %pd, %q, %pb;\nor.pred %pd, %pd, %pa;"
    inputs = [("pred", [0, 0, 1, 1]), ("pred", [0, 1, 0, 1])]
    assert evaluate(text, inputs, "pred").tolist() == [True, False, True, True]
    text = "slct.b32.s32 %d, %a, %b, %c;"
    inputs = [("u32", [5, 5, 5]), ("u32", [9, 9, 9]), ("s32", [-1, 0, 1])]
    assert evaluate(text, inputs, "u32").tolist() == [9, 5, 5]


def test_differences_and_dot_products():
    for kind in ("u32", "s32"):
        values = samples(kind)[::2]
        check(
            f"sad.{kind} %d, %a, %b, %c;",
            [kind] * 3,
            [values] * 3,
            kind,
            lambda a, b, c: abs(a - b) + c,
        )

    def dot(a, b, c, signed_a, signed_b):
        total = c
        for k in range(0, 32, 8):
            x, y = a >> k & 255, b >> k & 255
            total += (signed(x, 8) if signed_a else x) * (signed(y, 8) if signed_b else y)
        return total

    values = samples("u32")[::2]
    for types in itertools.product(["u32", "s32"], repeat=2):
        flags = [kind == "s32" for kind in types]
        check(
            f"dp4a.{types[0]}.{types[1]} %d, %a, %b, %c;",
            ["u32"] * 3,
            [values] * 3,
            "u32",
            lambda a, b, c, flags=flags: dot(a, b, c, *flags),
        )


def test_unary():
    for kind in ("s16", "s32", "s64"):
        check(f"abs.{kind} %d, %a;", [kind], [samples(kind)], kind, abs)
        check(f"neg.{kind} %d, %a;", [kind], [samples(kind)], kind, lambda a: -a)


def test_packed_16_bit():
    values = samples("u32")

    def halves(function, is_signed):
        def expected(a, b):
            result = 0
            for k in (0, 16):
                x, y = a >> k & 0xFFFF, b >> k & 0xFFFF
                x, y = (signed(x, 16), signed(y, 16)) if is_signed else (x, y)
                result |= (function(x, y) & 0xFFFF) << k
            return result

        return expected

    for kind in ("u16x2", "s16x2"):
        for opcode, function in (("add", lambda x, y: x + y), ("min", min), ("max", max)):
            check(
                f"{opcode}.{kind} %d, %a, %b;",
                ["u32"] * 2,
                [values] * 2,
                "u32",
                halves(function, kind[0] == "s"),
            )


def test_moves_between_widths():
    text = (
        ".reg .b16 %h<4>;\n.reg .b32 %w<2>;\nmov.b64 {%h0, %h1, %h2, %h3}, %a;\n"
        "mov.b32 %w0, {%h3, %h2};\nmov.b32 %w1, {%h1, %h0};\nmov.b64 %d, {%w0, %w1};"
    )
    found = evaluate(text, [("u64", [0x1111222233334444])], "u64")
    assert found[0] == 0x4444333322221111


@pytest.mark.parametrize("origin", ["u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64"])
@pytest.mark.parametrize("target", ["u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64"])
def test_integer_conversions(origin, target):
    values = samples(origin)
    bits = 8 * WIDTH[target]
    limits = np.iinfo(f"{code(target)[0]}{WIDTH[target]}")
    inputs = [(origin, values)]
    result = evaluate(f"cvt.{target}.{origin} %d, %a;", inputs, target)
    assert [int(x) & (1 << bits) - 1 for x in result] == [x & (1 << bits) - 1 for x in values]
    result = evaluate(f"cvt.sat.{target}.{origin} %d, %a;", inputs, target)
    assert result.tolist() == [max(limits.min, min(limits.max, x)) for x in values]
