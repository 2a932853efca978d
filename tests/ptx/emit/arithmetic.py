"""Integer arithmetic; what is floating point goes on to the modules for that."""

from ..flow import CARRY
from ..kinds import FLOATS, HALVES, WIDTH, bits, code, is_signed
from .floats import float_arithmetic
from .halves import half_arithmetic
from .registry import emits

ROUNDING = "rn rz rm rp ftz sat"


@emits("add sub", ROUNDING + " cc")
def add(w, item, types, words):
    kind = types[-1]
    if other_family(w, item, kind, words):
        return
    d, a, b = item.operands
    sign = "+" if item.opcode == "add" else "-"
    if kind in ("u16x2", "s16x2"):
        halves = [f"spread({w.use(x, 'u4')}, g.count).view(u2)" for x in (a, b)]
        w.define(d, f"({halves[0]} {sign} {halves[1]}).view(u4)", "u4")
        return
    if "sat" in words:
        wide = [f"{w.use(x, 'i4')}.astype(i8)" for x in (a, b)]
        w.define(d, f"saturated({wide[0]} {sign} {wide[1]}, i4)", "i4")
        return
    raw = bits(kind)
    x, y = w.use(a, raw), w.use(b, raw)
    total = w.keep(f"{x} {sign} {y}")
    w.define(d, total, raw)
    if "cc" in words:
        w.define_name(CARRY, f"{total} < {x}" if sign == "+" else f"{x} < {y}", "bool_")


@emits("addc subc", "cc")
def add_with_carry(w, item, types, words):
    raw = bits(types[-1])
    d, a, b = item.operands
    carry = w.register(CARRY, "bool_")
    x, y = w.use(a, raw), w.use(b, raw)
    if item.opcode == "addc":
        first = w.keep(f"{x} + {y}")
        total = w.keep(f"{first} + {carry}.astype({raw})")
        out = f"({first} < {x}) | ({total} < {first})"
    else:
        first = w.keep(f"{x} - {y}")
        total = w.keep(f"{first} - {carry}.astype({raw})")
        out = f"({x} < {y}) | ({first} < {total})"
    w.define(d, total, raw)
    if "cc" in words:
        w.define_name(CARRY, out, "bool_")


def other_family(w, item, kind, words):
    """Hand floating-point arithmetic on; whether it was some."""
    if kind in FLOATS:
        float_arithmetic(w, item, kind, words)
        return True
    if kind in HALVES:
        half_arithmetic(w, item, kind, words)
        return True
    return False


@emits("mul", ROUNDING + " lo hi wide")
def multiply(w, item, types, words):
    kind = types[-1]
    if other_family(w, item, kind, words):
        return
    d, a, b = item.operands
    w.define(d, *product(w, a, b, kind, words))


def product(w, a, b, kind, words):
    """The expression and code of a product in the mode of the modifiers."""
    raw = bits(kind)
    if "lo" in words:
        return f"{w.use(a, raw)} * {w.use(b, raw)}", raw
    typed = code(kind)
    x, y = w.use(a, typed), w.use(b, typed)
    if WIDTH[kind] == 8:
        return f"high_{'i64' if is_signed(kind) else 'u64'}({x}, {y})", typed
    wide = f"{typed[0]}{WIDTH[kind] * 2}"
    whole = f"{w.keep(f'{x}.astype({wide})')} * {w.keep(f'{y}.astype({wide})')}"
    if "wide" in words:
        return whole, wide
    return f"(({whole}) >> {w.constant(WIDTH[kind] * 8, wide)}).astype({typed})", typed


@emits("mad", ROUNDING + " lo hi wide cc")
def multiply_add(w, item, types, words):
    kind = types[-1]
    if other_family(w, item, kind, words):
        return
    d, a, b, c = item.operands
    value, typed = product(w, a, b, kind, words)
    raw = f"u{typed[1:]}"
    value = f"({value})" if typed == raw else f"({value}).view({raw})"
    if "sat" in words:
        wide = f"({value}).view(i4).astype(i8) + {w.use(c, 'i4')}.astype(i8)"
        w.define(d, f"saturated({wide}, i4)", "i4")
        return
    addend = w.use(c, raw)
    total = w.keep(f"{value} + {addend}")
    w.define(d, total, raw)
    if "cc" in words:
        w.define_name(CARRY, f"{total} < {addend}", "bool_")


@emits("madc", "lo hi cc")
def multiply_add_with_carry(w, item, types, words):
    kind = types[-1]
    d, a, b, c = item.operands
    carry = w.register(CARRY, "bool_")
    value, typed = product(w, a, b, kind, words)
    raw = f"u{typed[1:]}"
    value = w.keep(f"({value})" if typed == raw else f"({value}).view({raw})")
    first = w.keep(f"{value} + {w.use(c, raw)}")
    total = w.keep(f"{first} + {carry}.astype({raw})")
    w.define(d, total, raw)
    if "cc" in words:
        w.define_name(CARRY, f"({first} < {value}) | ({total} < {first})", "bool_")


@emits("mul24 mad24", "lo hi")
def multiply_24_bits(w, item, types, words):
    kind = types[-1]
    typed = code(kind)
    d, a, b, *c = item.operands
    eight = w.constant(8, typed)
    wide = f"{typed[0]}8"
    parts = [f"({w.use(x, typed)} << {eight} >> {eight}).astype({wide})" for x in (a, b)]
    value = w.keep(f"{parts[0]} * {parts[1]}")
    if "hi" in words:
        value = w.keep(f"{value} >> {w.constant(16, wide)}")
    total = f"{value}.astype(u4)" + (f" + {w.use(c[0], 'u4')}" if c else "")
    w.define(d, total, "u4")


@emits("sad")
def sum_of_differences(w, item, types, words):
    kind = types[-1]
    d, a, b, c = item.operands
    x, y, raw = w.use(a, code(kind)), w.use(b, code(kind)), bits(kind)
    difference = f"(np.maximum({x}, {y}).view({raw}) - np.minimum({x}, {y}).view({raw}))"
    w.define(d, f"{difference} + {w.use(c, raw)}", raw)


@emits("div rem", ROUNDING + " approx full")
def divide(w, item, types, words):
    kind = types[-1]
    if other_family(w, item, kind, words):
        return
    d, a, b = item.operands
    typed = code(kind)
    x = w.use(a, typed)
    y = w.fresh(f"divisor(g, {w.use(b, typed)}, {w.mask}, {w.at})")
    w.define(d, f"{'divide' if item.opcode == 'div' else 'remainder'}({x}, {y})", typed)


@emits("abs neg", "ftz")
def unary(w, item, types, words):
    kind = types[-1]
    if other_family(w, item, kind, words):
        return
    d, a = item.operands
    typed = code(kind)
    x = w.use(a, typed)
    w.define(d, f"abs({x})" if item.opcode == "abs" else f"-{x}", typed)


@emits("min max", "ftz NaN xorsign abs relu")
def extreme(w, item, types, words):
    kind = types[-1]
    if other_family(w, item, kind, words):
        return
    d, a, b = item.operands
    function = f"np.{item.opcode}imum"
    if kind in ("u16x2", "s16x2"):
        half = "i2" if kind[0] == "s" else "u2"
        x, y = (f"spread({w.use(v, 'u4')}, g.count).view({half})" for v in (a, b))
        value = f"{function}({x}, {y})"
        w.define(
            d,
            f"np.maximum({value}, {half}(0)).view(u4)" if "relu" in words else f"{value}.view(u4)",
            "u4",
        )
        return
    typed = code(kind)
    value = f"{function}({w.use(a, typed)}, {w.use(b, typed)})"
    if "relu" in words:
        value = f"np.maximum({value}, {w.constant(0, typed)})"
    w.define(d, value, typed)


@emits("popc clz brev")
def count_bits(w, item, types, words):
    d, a = item.operands
    raw = bits(types[-1])
    function = {"popc": "population", "clz": "leading_zeros", "brev": "reverse_bits"}[item.opcode]
    w.define(d, f"{function}({w.use(a, raw)})", raw if item.opcode == "brev" else "u4")


@emits("bfind", "shiftamt")
def find_bit(w, item, types, words):
    d, a = item.operands
    w.define(d, f"find_high({w.use(a, code(types[-1]))}, {'shiftamt' in words})", "u4")


@emits("bfe")
def extract_field(w, item, types, words):
    d, a, b, c = item.operands
    typed = code(types[-1])
    value = f"extract({w.use(a, typed)}, {w.use(b, 'u4')}, {w.use(c, 'u4')})"
    w.define(d, value, typed)


@emits("bfi")
def insert_field(w, item, types, words):
    d, a, b, c, e = item.operands
    raw = bits(types[-1])
    value = f"insert({w.use(a, raw)}, {w.use(b, raw)}, {w.use(c, 'u4')}, {w.use(e, 'u4')})"
    w.define(d, value, raw)


@emits("szext", "wrap clamp")
def extend_sign(w, item, types, words):
    d, a, b = item.operands
    typed = code(types[-1])
    w.define(d, f"extend({w.use(a, typed)}, {w.use(b, 'u4')}, {'wrap' in words})", typed)


@emits("bmsk", "wrap clamp")
def bit_mask(w, item, types, words):
    d, a, b = item.operands
    start, length = w.use(a, "u4"), w.use(b, "u4")
    if "wrap" in words:
        start, length = f"({start} & u4(31))", f"({length} & u4(31))"
    w.define(d, f"shift_left(low_mask({length}, u4), {start})", "u4")


@emits("dp4a")
def dot_product(w, item, types, words):
    d, a, b, c = item.operands
    signs = ", ".join(str(is_signed(kind)) for kind in types[:2])
    value = f"dot_bytes({w.use(a, 'u4')}, {w.use(b, 'u4')}, {w.use(c, 'u4')}, {signs})"
    w.define(d, value, "u4")


@emits("implicit_def")
def implicit_definition(w, item, types, words):
    """nvcc says that it does not matter what the register holds: all ones."""
    (d,) = item.operands
    held = w.stored(d.name)
    if held == "bool_":
        w.define(d, "bool_(True)", held)
        return
    raw = f"u{held[1:]}"
    w.define(d, w.constant((1 << 8 * int(held[1:])) - 1, raw), raw)
