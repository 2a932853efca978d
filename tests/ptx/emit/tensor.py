"""Matrix instructions."""

from ..syntax import Vector
from .memory import places
from .registry import emits, unsupported

SHAPES = {
    ("m16n8k16", "f16"): (4, 2, 4),
    ("m16n8k16", "bf16"): (4, 2, 4),
    ("m16n8k8", "f16"): (2, 1, 4),
    ("m16n8k8", "bf16"): (2, 1, 4),
    ("m16n8k8", "tf32"): (4, 2, 4),
    ("m16n8k4", "tf32"): (2, 1, 4),
}


@emits("ldmatrix", "sync aligned m8n8 x1 x2 x4 trans shared shared::cta")
def load_matrix(w, item, types, words):
    d, source = item.operands
    if types != ["b16"]:
        unsupported(f"ldmatrix of {types}")
    count = next(int(word[1]) for word in words if word in ("x1", "x2", "x4"))
    registers = d.items if isinstance(d, Vector) else (d,)
    place, offset = places(w, source, each=True)
    names = [w.name() for _ in range(count)]
    call = f"load_matrix(g, {place}, {offset}, {count}, {'trans' in words}, {w.at})"
    w.line(f"{''.join(f'{name}, ' for name in names)} = {call}")
    for register, name in zip(registers, names):
        w.define(register, name, "u4")


@emits("mma", "sync aligned row col m16n8k16 m16n8k8 m16n8k4")
def multiply_matrices(w, item, types, words):
    shape = next(word for word in words if word.startswith("m"))
    result, left, right, addend = types
    orders = [word for word in words if word in ("row", "col")]
    known = SHAPES.get((shape, left))
    if known is None or left != right or {result, addend} != {"f32"}:
        unsupported(f"{item.name}")
    if orders != ["row", "col"]:
        unsupported(f"mma.{'.'.join(orders)}")
    d, a, b, c = (operand.items for operand in item.operands)
    if tuple(map(len, (a, b, d))) != known or len(c) != len(d):
        unsupported("mma with another number of registers")
    w.line(f"g.need_full_warps({w.mask}, {w.at})")
    matrices = []
    for side, registers in (("left", a), ("right", b)):
        values = "".join(f"{w.use(register, 'u4')}, " for register in registers)
        matrices.append(w.keep(f"{side}_matrix({left!r}, ({values}), g.count)"))
    values = "".join(f"{w.use(register, 'f4')}, " for register in c)
    names = [w.name() for _ in d]
    call = f"multiply_add({matrices[0]}, {matrices[1]}, ({values}))"
    w.line(f"{', '.join(names)} = {call}")
    for register, name in zip(d, names):
        w.define(register, name, "f4")
