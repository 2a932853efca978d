"""float16 and bfloat16, one or two to a register.

Sums and products of these are exact or safely rounded in float32; fused ones go by float64.
"""

from .registry import emits, unsupported

NARROW = {"f16": "to_f16", "bf16": "to_bf16"}
ONCE = {"f16": "to_f16", "bf16": "bf16_from_f64"}


def decoded(w, operand, kind):
    """An operand's numbers as float32, two for each thread where two are packed."""
    if kind.endswith("x2"):
        bits = w.keep(f"spread({w.use(operand, 'u4')}, g.count).view(u2)")
    else:
        bits = w.use(operand, "u2")
    return w.keep(f"from_{kind.removesuffix('x2')}({bits})")


def finish(w, item, bits, kind):
    """Assign 16-bit numbers."""
    if kind.endswith("x2"):
        w.define(item.operands[0], f"({bits}).view(u4)", "u4")
    else:
        w.define(item.operands[0], bits, "u2")


def half_arithmetic(w, item, kind, words):
    """add, sub, mul, fma, abs, neg, min and max."""
    base = kind.removesuffix("x2")
    if item.opcode in ("abs", "neg"):
        sign_only(w, item, kind)
        return
    if item.opcode not in EXPRESSIONS:
        unsupported(f"{item.opcode}.{kind}")
    values = [decoded(w, operand, kind) for operand in item.operands[1:]]
    value = EXPRESSIONS[item.opcode](w, values, words)
    if "sat" in words:
        value = f"saturate({value})"
    if "relu" in words:
        value = f"relu({value})"
    narrow = ONCE if item.opcode == "fma" else NARROW
    finish(w, item, f"{narrow[base]}({value})", kind)


def sign_only(w, item, kind):
    """abs and neg change no other bit."""
    raw = "u4" if kind.endswith("x2") else "u2"
    sign = 0x80008000 if raw == "u4" else 0x8000
    x = w.use(item.operands[1], raw)
    if item.opcode == "neg":
        w.define(item.operands[0], f"{x} ^ {w.constant(sign, raw)}", raw)
    else:
        w.define(
            item.operands[0],
            f"{x} & {w.constant(0x7FFF7FFF & (1 << 8 * int(raw[1:])) - 1, raw)}",
            raw,
        )


def extreme(name):
    def write(w, values, words):
        suffix = "_nan" if "NaN" in words else ""
        return f"{name}{suffix}({values[0]}, {values[1]})"

    return write


def fused(w, values, words):
    x, y, z = (w.keep(f"{value}.astype(f8)") for value in values)
    return f"{x} * {y} + {z}"


EXPRESSIONS = {
    "add": lambda w, v, words: f"{v[0]} + {v[1]}",
    "sub": lambda w, v, words: f"{v[0]} - {v[1]}",
    "mul": lambda w, v, words: f"{v[0]} * {v[1]}",
    "fma": fused,
    "min": extreme("minimum"),
    "max": extreme("maximum"),
}


def half_function(w, item, kind, words):
    """ex2 and tanh."""
    if item.opcode not in ("ex2", "tanh"):
        unsupported(f"{item.opcode}.{kind}")
    name = {"ex2": "exp2", "tanh": "tanh"}[item.opcode]
    value = decoded(w, item.operands[1], kind)
    finish(w, item, f"{NARROW[kind.removesuffix('x2')]}({name}_f32({value}))", kind)


@emits("fma", "rn rz rm rp ftz sat relu oob")
def fused_multiply_add(w, item, types, words):
    from .floats import float_arithmetic

    kind = types[-1]
    if kind in ("f32", "f64"):
        float_arithmetic(w, item, kind, words)
    else:
        half_arithmetic(w, item, kind, words)
