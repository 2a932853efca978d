"""Loads, stores, atomics and asynchronous copies."""

from ..kinds import WIDTH, bits, code
from ..syntax import Address, Register, Symbol, Vector
from .registry import CACHE_WORDS, emits, unsupported

SPACES = ("global", "shared", "local", "const", "param", "shared::cta")
VECTORS = {"v2": 2, "v4": 4, "v8": 8}
WORDS = {*SPACES, *VECTORS, *CACHE_WORDS, "argument"}


def space_of(words):
    """The state space of an access."""
    found = next((word for word in words if word in SPACES or word == "argument"), "generic")
    return found.split("::")[0]


def address(w, operand):
    """Base and offset of an address operand."""
    if not isinstance(operand, Address):
        unsupported(f"address {operand}")
    if isinstance(operand.base, Register):
        return w.use(operand.base, f"u{w.width(operand.base)}"), operand.offset
    if isinstance(operand.base, Symbol):
        return w.program.symbol(operand.base, "u8"), operand.offset
    return w.constant(operand.offset, "u8"), 0


def places(w, operand, each=False):
    """The local variable that holds an address operand's Places, and its offset."""
    base, offset = address(w, operand)
    return w.keep(f"locate{'_each' * each}(g, {base}, {w.mask})"), offset


def count_and_width(types, words):
    """Registers of an access, and its bytes in all."""
    count = next((VECTORS[word] for word in words if word in VECTORS), 1)
    width = WIDTH[types[-1]] * count
    if width > 16:
        unsupported(f"an access of {width} bytes")
    return count, width


@emits("ld ldu", WORDS)
def load(w, item, types, words):
    kind, space = types[-1], space_of(words)
    d, source, *_ = item.operands
    if space == "argument":
        w.define_wide(d, w.use(source, code(kind)), kind)
        return
    count, width = count_and_width(types, words)
    place, offset = places(w, source)
    extra = ", True" if space == "global" and "nc" in words else ""
    call = f"load_{space}(g, {place}, {offset}, {width}, {w.at}{extra})"
    value = w.fresh(call)
    if count == 1:
        typed = value if code(kind) == bits(kind) else f"{value}.view({code(kind)})"
        w.define_wide(d, typed, kind)
        return
    names = [w.name() for _ in range(count)]
    w.line(f"{', '.join(names)} = unpack({value}, {count}, {code(kind)})")
    for part, name in zip(d.items, names):
        w.define_wide(part, name, kind)


@emits("st", WORDS)
def store(w, item, types, words):
    kind, space = types[-1], space_of(words)
    target, value, *_ = item.operands
    if space == "argument":
        w.define(target, w.source(value, kind), code(kind))
        return
    if space in ("const", "param"):
        unsupported(f"st.{space}")
    count, width = count_and_width(types, words)
    parts = value.items if isinstance(value, Vector) else (value,)
    pieces = [w.source(part, kind) for part in parts]
    if count == 1:
        packed = pieces[0] if code(kind) == bits(kind) else f"{pieces[0]}.view({bits(kind)})"
    else:
        packed = f"pack(({', '.join(pieces)}), g.count, {code(kind)})"
    place, offset = places(w, target, each=True)
    w.line(f"store_{space}(g, {place}, {offset}, {packed}, {width}, {w.at})")


ATOMIC_WORDS = {*SPACES, *CACHE_WORDS, "noftz", "add", "min", "max", "exch", "cas", "inc", "dec"}
ATOMIC_WORDS |= {"and", "or", "xor"}


@emits("atom red", ATOMIC_WORDS)
def atomic(w, item, types, words):
    kind, space = types[-1], space_of(words)
    operands = list(item.operands)
    d = operands.pop(0) if item.opcode == "atom" else None
    operation = next(
        word for word in words if word in ATOMIC_WORDS - {*SPACES, *CACHE_WORDS} and word != "noftz"
    )
    place, offset = places(w, operands[0], each=True)
    needed = 2 if operation == "cas" else 1
    values = "".join(f"{w.use(value, code(kind))}, " for value in operands[1 : 1 + needed])
    call = (
        f"update(g, {space!r}, {operation!r}, {kind!r}, {place}, {offset}, ({values}), "
        f"{w.at}, {d is not None})"
    )
    if d is None:
        w.line(call)
    else:
        w.define(d, f"{w.fresh(call)}.view({code(kind)})", code(kind))


COPY_WORDS = {"async", "shared", "global", "shared::cta", "shared::cluster", "commit_group"}
COPY_WORDS |= {"wait_group", "wait_all", *CACHE_WORDS}


@emits("cp", COPY_WORDS)
def copy(w, item, types, words):
    if words[0] != "async":
        unsupported(f"cp.{words[0]}")
    if "commit_group" in words:
        w.line(f"g.copies.commit({w.mask})")
    elif "wait_all" in words:
        w.line(f"g.copies.wait({w.mask}, None)")
    elif "wait_group" in words:
        w.line(f"g.copies.wait({w.mask}, {item.operands[0].value})")
    else:
        start_copy(w, item, words)


def start_copy(w, item, words):
    target, source, size, *rest = item.operands
    if size.value != 16 and ("cg" in words or size.value not in (4, 8)):
        unsupported(f"cp.async of {size.value} bytes")
    amount = str(size.value)
    if "L2::cache_hint" in words:
        rest = rest[:-1]
    if rest:
        predicate = isinstance(rest[0], Register) and w.stored(rest[0].name) == "bool_"
        amount = w.use(rest[0], "bool_" if predicate else "u4")
        if predicate:
            amount = w.keep(f"where({amount}, u4(0), u4({size.value}))")
    into, into_offset = places(w, target, each=True)
    start, offset = places(w, source, each=True)
    w.line(
        f"start_copy(g, {into}, {into_offset}, {start}, {offset}, {size.value}, {amount}, {w.at})"
    )


@emits("prefetch prefetchu", "global local L1 L2 L2::evict_last L2::evict_normal")
def prefetch(w, item, types, words):
    """Nothing that could be seen."""
