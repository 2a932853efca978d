"""Moves between registers, and addresses."""

from ..kinds import bits, code
from ..syntax import Register, Sink, Vector
from .registry import emits, unsupported


@emits("mov")
def move(w, item, types, words):
    kind = types[-1]
    d, a = item.operands
    if isinstance(d, Vector):
        take_apart(w, d.items, w.use(a, bits(kind)), bits(kind))
    elif isinstance(a, Vector):
        put_together(w, d, a.items, bits(kind))
    else:
        same = isinstance(a, Register) and isinstance(d, Register)
        typed = w.stored(a.name) if same and w.width(a) == w.width(d) else code(kind)
        w.define(d, w.use(a, typed), typed)


def take_apart(w, parts, value, raw):
    """The pieces of a wide register, low bits first."""
    size = int(raw[1:]) // len(parts)
    for index, part in enumerate(parts):
        if isinstance(part, Sink):
            continue
        shift = w.constant(8 * size * index, raw)
        piece = f"({value} >> {shift})" if index else value
        w.define(part, f"{piece}.astype(u{size})", f"u{size}")


def put_together(w, d, parts, raw):
    """A wide register from its pieces."""
    size = int(raw[1:]) // len(parts)
    terms = []
    for index, part in enumerate(parts):
        piece = w.keep(f"{w.use(part, f'u{size}')}.astype({raw})")
        terms.append(f"({piece} << {w.constant(8 * size * index, raw)})" if index else piece)
    w.define(d, " | ".join(terms), raw)


@emits("cvta", "to global shared const local param shared::cta")
def convert_address(w, item, types, words):
    from ..layout import WINDOWS

    raw = bits(types[-1])
    d, a = item.operands
    space = words[-1].split("::")[0]
    value = w.use(a, raw)
    if space != "global":
        base = w.constant(WINDOWS[space], raw)
        value = f"{value} - {base}" if "to" in words else f"{value} + {base}"
    w.define(d, value, raw)


@emits("isspacep", "global shared const local param shared::cta")
def is_in_space(w, item, types, words):
    d, a = item.operands
    w.define(d, f"address_in({words[0].split('::')[0]!r}, {w.use(a, 'u8')})", "bool_")


@emits("createpolicy", "fractional L2::evict_last L2::evict_first L2::evict_normal")
def create_policy(w, item, types, words):
    """A cache policy is a number that nothing looks at."""
    if "fractional" not in words:
        unsupported("createpolicy")
    w.define(item.operands[0], w.constant(0, "u8"), "u8")
