"""float32 and float64."""

from .registry import emits, unsupported

DIRECTED = ("rz", "rm", "rp")


def read(w, operand, kind, words):
    """An operand, subnormals flushed where the instruction says so."""
    value = w.use(operand, "f4" if kind == "f32" else "f8")
    return w.keep(f"flush({value})") if "ftz" in words and kind == "f32" else value


def finish(w, item, value, kind, words):
    """Assign a result with flush and saturation."""
    if "ftz" in words and kind == "f32":
        value = f"flush({value})"
    if "sat" in words:
        value = f"saturate({value})"
    w.define(item.operands[0], value, "f4" if kind == "f32" else "f8")


def float_arithmetic(w, item, kind, words):
    """add, sub, mul, fma, mad, div, abs, neg, min and max."""
    operands = [read(w, operand, kind, words) for operand in item.operands[1:]]
    mode = next((word for word in words if word in DIRECTED), None)
    if mode:
        value = directed(w, item.opcode, operands, kind, mode)
    else:
        value = EXPRESSIONS[item.opcode](w, operands, kind, words)
    finish(w, item, value, kind, words)


def directed(w, opcode, operands, kind, mode):
    """float32 arithmetic not rounded to nearest, by way of float64."""
    if kind != "f32" or opcode not in ("add", "sub", "mul", "fma", "mad", "div"):
        unsupported(f"{opcode}.{mode}.{kind}")
    wide = [w.keep(f"{value}.astype(f8)") for value in operands]
    sign = {"add": "+", "sub": "-", "div": "/"}.get(opcode, "*")
    value = f"{wide[0]} {sign} {wide[1]}"
    if len(wide) == 3:
        value = f"{value} + {wide[2]}"
    return f"round_f32({value}, {mode!r})"


def fused(w, operands, kind, words):
    """The product is exact in float64; the sum is rounded there and once more to float32.

    In float64 the product is rounded by itself: off by at most one unit of a fused one's last place
    relative to the product.
    """
    if kind == "f64":
        return "{} * {} + {}".format(*operands)
    x, y, z = (w.keep(f"{value}.astype(f8)") for value in operands)
    return f"({x} * {y} + {z}).astype(f4)"


def extreme(name):
    def write(w, operands, kind, words):
        suffix = "_nan" if "NaN" in words else ""
        if "xorsign" in words:
            unsupported(".xorsign")
        return f"{name}{suffix}({operands[0]}, {operands[1]})"

    return write


EXPRESSIONS = {
    "add": lambda w, v, kind, words: f"{v[0]} + {v[1]}",
    "sub": lambda w, v, kind, words: f"{v[0]} - {v[1]}",
    "mul": lambda w, v, kind, words: f"{v[0]} * {v[1]}",
    "div": lambda w, v, kind, words: f"{v[0]} / {v[1]}",
    "fma": fused,
    "mad": fused,
    "abs": lambda w, v, kind, words: f"abs({v[0]})",
    "neg": lambda w, v, kind, words: f"-{v[0]}",
    "min": extreme("minimum"),
    "max": extreme("maximum"),
}

FUNCTIONS = {
    "rcp": "reciprocal",
    "sqrt": "root",
    "rsqrt": "inverse_root",
    "sin": "sin",
    "cos": "cos",
    "lg2": "log2",
    "ex2": "exp2",
    "tanh": "tanh",
}


@emits("rcp sqrt rsqrt sin cos lg2 ex2 tanh", "approx rn rz rm rp ftz")
def function(w, item, types, words):
    """Taken in float64 and rounded to nearest, approximate or not."""
    from .halves import half_function

    kind = types[-1]
    if kind not in ("f32", "f64"):
        half_function(w, item, kind, words)
        return
    mode = next((word for word in words if word in DIRECTED), None)
    value = read(w, item.operands[1], kind, words)
    name = FUNCTIONS[item.opcode]
    if kind == "f64":
        if item.opcode not in ("rcp", "sqrt", "rsqrt") or mode:
            unsupported(f"{item.name}")
        finish(w, item, f"{name}_f64({value})", kind, words)
    elif mode:
        if item.opcode not in ("rcp", "sqrt"):
            unsupported(f"{item.name}")
        finish(w, item, f"round_f32({name}_f64({value}.astype(f8)), {mode!r})", kind, words)
    else:
        finish(w, item, f"{name}_f32({value})", kind, words)


@emits("testp", "finite infinite number notanumber normal subnormal")
def test(w, item, types, words):
    d, a = item.operands
    word = words[0].replace("notanumber", "nan")
    w.define(d, f"test_property({read(w, a, types[-1], ())}, {word!r})", "bool_")


@emits("copysign")
def copy_sign(w, item, types, words):
    d, a, b = item.operands
    sign, magnitude = (read(w, operand, types[-1], ()) for operand in (a, b))
    w.define(d, f"np.copysign({magnitude}, {sign})", "f4" if types[-1] == "f32" else "f8")
