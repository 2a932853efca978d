"""Bits, comparisons and choices."""

from ..kinds import HALVES, bits, code
from ..syntax import Pair, Sink
from .floats import read as read_float
from .halves import decoded
from .registry import emits, unsupported

COMPARE = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
UNSIGNED = {"lo": "<", "ls": "<=", "hi": ">", "hs": ">="}
UNORDERED = {"equ": "==", "neu": "!=", "ltu": "<", "leu": "<=", "gtu": ">", "geu": ">="}
COMPARISONS = " ".join([*COMPARE, *UNSIGNED, *UNORDERED, "num", "nan"])
SIGNS = {"and": "&", "or": "|", "xor": "^"}


@emits("and or xor")
def bitwise(w, item, types, words):
    raw = bits(types[-1])
    d, a, b = item.operands
    w.define(d, f"{w.use(a, raw)} {SIGNS[item.opcode]} {w.use(b, raw)}", raw)


@emits("not cnot")
def inverted(w, item, types, words):
    raw = bits(types[-1])
    d, a = item.operands
    x = w.use(a, raw)
    w.define(d, f"~{x}" if item.opcode == "not" else f"({x} == {raw}(0)).astype({raw})", raw)


@emits("lop3")
def three_inputs(w, item, types, words):
    d, a, b, c, table = item.operands
    x, y, z = (w.use(operand, "u4") for operand in (a, b, c))
    w.define(
        d,
        SHORT_TABLES.get(table.value, "three_input({0}, {1}, {2}, {3})").format(
            x, y, z, table.value
        ),
        "u4",
    )


SHORT_TABLES = {
    0x80: "{0} & {1} & {2}",
    0xFE: "{0} | {1} | {2}",
    0x96: "{0} ^ {1} ^ {2}",
    0xF8: "{0} | ({1} & {2})",
    0xEA: "({0} & {1}) | {2}",
    0xE0: "{0} & ({1} | {2})",
    0x6A: "({0} & {1}) ^ {2}",
    0x78: "{0} ^ ({1} & {2})",
}


@emits("shl shr")
def shift(w, item, types, words):
    d, a, b = item.operands
    typed = bits(types[-1]) if item.opcode == "shl" else code(types[-1])
    name = "shift_left" if item.opcode == "shl" else "shift_right"
    amount = getattr(b, "value", None)
    if isinstance(amount, int) and 0 <= amount < int(typed[1:]) * 8:
        sign = "<<" if item.opcode == "shl" else ">>"
        w.define(d, f"{w.use(a, typed)} {sign} {w.constant(amount, typed)}", typed)
        return
    w.define(d, f"{name}({w.use(a, typed)}, {w.use(b, 'u4')})", typed)


@emits("shf", "l r wrap clamp")
def funnel_shift(w, item, types, words):
    d, a, b, c = item.operands
    low, high, amount = (w.use(operand, "u4") for operand in (a, b, c))
    w.define(d, f"funnel({low}, {high}, {amount}, {'l' in words}, {'clamp' in words})", "u4")


@emits("prmt", "f4e b4e rc8 ecl ecr rc16")
def permute(w, item, types, words):
    d, a, b, c = item.operands
    mode = words[0] if words else None
    x, y, z = (w.use(operand, "u4") for operand in (a, b, c))
    if mode is None and hasattr(c, "value") and not c.value & 0x8888:
        w.define(d, constant_permutation(w, x, y, c.value), "u4")
        return
    w.define(d, f"permute({x}, {y}, {z}, {mode!r})", "u4")


def constant_permutation(w, x, y, selector):
    """The bytes put in place by shifts and masks."""
    terms = []
    for place in range(4):
        pick = selector >> 4 * place & 7
        source = (x, y)[pick >> 2]
        byte = w.constant(0xFF << 8 * place, "u4")
        move = (pick & 3) - place
        shift = w.constant(8 * abs(move), "u4")
        moved = f"({source} {'>>' if move > 0 else '<<'} {shift})" if move else source
        terms.append(f"({moved} & {byte})")
    return " | ".join(terms)


def comparison(w, a, b, kind, words):
    """The predicate of a comparison."""
    word = next(word for word in words if word in COMPARISONS.split())
    if kind in ("f32", "f64"):
        x, y = read_float(w, a, kind, words), read_float(w, b, kind, words)
    elif kind in HALVES:
        x, y = decoded(w, a, kind), decoded(w, b, kind)
    elif word in UNSIGNED:
        x, y = w.use(a, bits(kind)), w.use(b, bits(kind))
    else:
        x, y = w.use(a, code(kind)), w.use(b, code(kind))
    if word == "num":
        return f"({x} == {x}) & ({y} == {y})"
    if word == "nan":
        return f"({x} != {x}) | ({y} != {y})"
    sign = COMPARE.get(word) or UNSIGNED.get(word) or UNORDERED[word]
    plain = f"({x} {sign} {y})"
    if word in UNORDERED:
        return f"{plain} | ({x} != {x}) | ({y} != {y})"
    if word == "ne" and (kind in ("f32", "f64") or kind in HALVES):
        return f"{plain} & ({x} == {x}) & ({y} == {y})"
    return plain


@emits("setp", COMPARISONS + " and or xor ftz")
def set_predicate(w, item, types, words):
    kind = types[-1]
    d, a, b, *extra = item.operands
    first, second = (d.first, d.second) if isinstance(d, Pair) else (d, Sink())
    held = w.keep(comparison(w, a, b, kind, words))
    if kind.endswith("x2"):
        w.define(first, f"{held}[0::2]", "bool_")
        w.define(second, f"{held}[1::2]", "bool_")
        return
    opposite = f"~{held}" if not isinstance(second, Sink) else None
    sign = next((SIGNS[word] for word in words if word in SIGNS), None)
    if sign:
        other = w.use(extra[0], "bool_")
        held = f"({held}) {sign} {other}"
        opposite = opposite and f"({opposite}) {sign} {other}"
        opposite = opposite and w.keep(opposite)
    w.define(first, held, "bool_")
    if opposite:
        w.define(second, opposite, "bool_")


@emits("set", COMPARISONS + " and or xor ftz")
def set_value(w, item, types, words):
    result, kind = types
    d, a, b, *extra = item.operands
    if kind in HALVES or result in HALVES:
        set_half(w, item, result, kind, words)
        return
    held = comparison(w, a, b, kind, words)
    sign = next((SIGNS[word] for word in words if word in SIGNS), None)
    if sign:
        held = f"({held}) {sign} {w.use(extra[0], 'bool_')}"
    if result == "f32":
        w.define(d, f"({held}).astype(f4)", "f4")
    else:
        w.define(d, f"-({held}).astype(u4)", "u4")


def set_half(w, item, result, kind, words):
    """set of 16-bit floats: 1.0 or all ones, in one or both halves of a register."""
    d, a, b = item.operands[:3]
    held = w.keep(comparison(w, a, b, kind, words))
    one = {"f16": 0x3C00, "bf16": 0x3F80}.get(result.removesuffix("x2"))
    if any(word in SIGNS for word in words):
        unsupported("set of 16-bit floats with a predicate")
    if not kind.endswith("x2"):
        raw = bits(result)
        w.define(d, f"where({held}, {raw}({one or (1 << 8 * int(raw[1:])) - 1}), {raw}(0))", raw)
    else:
        w.define(d, f"where({held}, u2({one or 0xFFFF}), u2(0)).view(u4)", "u4")


@emits("selp")
def select(w, item, types, words):
    d, a, b, p = item.operands
    typed = code(types[-1])
    w.define(d, f"where({w.use(p, 'bool_')}, {w.use(a, typed)}, {w.use(b, typed)})", typed)


@emits("slct", "ftz")
def select_by_sign(w, item, types, words):
    d, a, b, c = item.operands
    typed, sign = code(types[0]), code(types[1])
    choice = f"{w.use(c, sign)} >= {w.constant(0, sign)}"
    w.define(d, f"where({choice}, {w.use(a, typed)}, {w.use(b, typed)})", typed)
