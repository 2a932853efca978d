"""cvt, in every direction."""

from ..kinds import bits, code, is_integer
from .registry import emits, unsupported

INTEGRAL = ("rni", "rzi", "rmi", "rpi")
DIRECTED = ("rz", "rm", "rp")
HALF = ("f16", "bf16")


@emits("cvt", "rn rz rm rp rni rzi rmi rpi rna ftz sat relu satfinite")
def convert(w, item, types, words):
    target, origin = types
    d, *operands = item.operands
    if "satfinite" in words:
        unsupported("cvt with .satfinite")
    if target in ("f16x2", "bf16x2"):
        pack_pair(w, item, target, origin, words)
    elif target == "tf32":
        mode = next(word for word in words if word in ("rn", "rna", "rz"))
        w.define(d, f"to_tf32_{mode}({w.use(operands[0], 'f4')})", "u4")
    elif is_integer(origin) and is_integer(target):
        between_integers(w, d, operands[0], target, origin, words)
    elif is_integer(origin):
        from_integer(w, d, w.source(operands[0], origin), target, words)
    else:
        value = decoded(w, operands[0], origin, words)
        if is_integer(target):
            to_integer(w, d, value, target, origin, words)
        else:
            between_floats(w, d, value, target, origin, words)


def decoded(w, operand, origin, words):
    """A floating-point source as float32 or float64."""
    value = w.source(operand, origin)
    if origin in HALF:
        return w.keep(f"from_{origin}({value})")
    return w.keep(f"flush({value})") if "ftz" in words and origin == "f32" else value


def pack_pair(w, item, target, origin, words):
    """Two float32 as two halves: the first source goes to the upper one."""
    if origin != "f32":
        unsupported(f"cvt.{target}.{origin}")
    d, upper, lower = item.operands
    base = target.removesuffix("x2")
    mode = "_rz" if "rz" in words else ""
    parts = []
    for operand in (upper, lower):
        value = w.use(operand, "f4")
        value = f"relu({value})" if "relu" in words else value
        parts.append(w.keep(f"to_{base}{mode}({value}).astype(u4)"))
    w.define(d, f"{parts[1]} | ({parts[0]} << {w.constant(16, 'u4')})", "u4")


def between_integers(w, d, operand, target, origin, words):
    value = w.source(operand, origin)
    typed = code(target)
    if "sat" in words:
        w.define_wide(d, f"saturated({value}, {typed})", target)
        return
    w.define_wide(d, value if code(origin) == typed else f"{value}.astype({typed})", target)


def from_integer(w, d, value, target, words):
    mode = next(word for word in words if word in ("rn", *DIRECTED))
    if target in HALF:
        if mode != "rn":
            unsupported(f"an integer to {target} by .{mode}")
        narrow = "to_f16" if target == "f16" else "bf16_from_f64"
        w.define(d, f"{narrow}({value}.astype(f8))", "u2")
        return
    typed = code(target)
    result = f"integer_to_float({value}, {typed}, {mode!r})"
    w.define(d, f"saturate({result})" if "sat" in words else result, typed)


def to_integer(w, d, value, target, origin, words):
    mode = next(word for word in words if word in INTEGRAL)
    top = origin == "f64" or target in ("s64", "u64")
    typed = code(target)
    w.define_wide(d, f"float_to_integer({value}, {typed}, {mode!r}, {top})", target)


def between_floats(w, d, value, target, origin, words):
    integral = next((word for word in words if word in INTEGRAL), None)
    mode = next((word for word in words if word in DIRECTED), "rn")
    if integral:
        value = f"to_whole({value}, {integral!r})"
    if "relu" in words:
        value = f"relu({value})"
    if "sat" in words:
        value = f"saturate({value})"
    if target in HALF:
        w.define_wide(d, narrowed(value, target, origin, mode), bits(target).replace("u2", "b16"))
        return
    if target == "f32" and origin == "f64" and mode != "rn":
        value = f"round_f32({value}, {mode!r})"
    elif (target == "f64") != (origin == "f64"):
        value = f"({value}).astype({code(target)})"
    if "ftz" in words and target == "f32":
        value = f"flush({value})"
    w.define(d, value, code(target))


def narrowed(value, target, origin, mode):
    """Bits of a 16-bit float."""
    if mode not in ("rn", "rz"):
        unsupported(f".{mode} to {target}")
    if target == "f16":
        return f"to_f16{'_rz' if mode == 'rz' else ''}({value})"
    if mode == "rz":
        if origin == "f64":
            unsupported("cvt.rz.bf16.f64")
        return f"to_bf16_rz({value})"
    return f"bf16_from_f64({value})" if origin == "f64" else f"to_bf16({value})"
