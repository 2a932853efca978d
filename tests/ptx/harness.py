"""Runs a few lines of PTX on arrays: one thread for each element."""

import numpy as np

from .device import Device
from .kinds import CODES, WIDTH, code
from .module import Module

HEADER = ".version 8.0\n.target sm_90\n.address_size 64\n"


def module_of(body, parameters=(), prologue=""):
    """A module with one kernel `f`, whose parameters are all .u64."""
    declared = ",\n".join(f".param .u64 {name}" for name in parameters)
    return Module(f"{HEADER}{prologue}\n.visible .entry f({declared})\n{{\n{body}\n}}\n")


def launch(body, buffers, grid=1, block=32, shared_bytes=0, prologue="", **options):
    """Launch such a kernel; a parameter named as each of `buffers`, a dict of Buffer's arguments,
    holds its address, and is loaded into %name. Gives the buffers and the Stats."""
    device = Device()
    made = {name: device.buffer(name, *spec) for name, spec in buffers.items()}
    loads = "".join(f".reg .b64 %{name};\nld.param.u64 %{name}, [{name}];\n" for name in buffers)
    module = module_of(loads + body, buffers, prologue)
    arguments = b"".join(int(buffer.address).to_bytes(8, "little") for buffer in made.values())
    stats = device.launch(module.kernel("f"), grid, block, shared_bytes, arguments, **options)
    return made, stats


def evaluate(text, inputs, result="b32"):
    """The values of %d after `text` ran with the inputs in %a, %b, %c and %e.

    `inputs` are pairs of a PTX type and a sequence of bits or numbers of that type; predicates
    are called %pa, %pb and so on, and a result of type "pred" %pd.
    """
    count = len(inputs[0][1])
    lines = [".reg .b64 %at<9>;\n.reg .b32 %tid, %flag;\nmov.u32 %tid, %tid.x;"]
    buffers = {}
    for index, ((kind, values), name) in enumerate(zip(inputs, "abce")):
        buffers[f"in_{name}"] = (stored(kind, values),)
        lines.append(load_input(kind, name, index))
    buffers["out"] = (count * WIDTH["b32" if result == "pred" else result], True)
    lines.append(f".reg .{register_type(result)} %{'p' * (result == 'pred')}d;")
    lines.append(text)
    lines.append(store_result(result))
    made, _ = launch("\n".join(lines), buffers, block=count)
    array = made["out"].array(CODES["u4" if result == "pred" else numpy_code(result)])
    return array.astype(bool) if result == "pred" else array


def numpy_code(kind):
    """f16 as numpy's half, other types as the interpreter holds them."""
    return "f2" if kind == "f16" else code(kind)


def register_type(kind):
    """The type that nvcc gives a register for a value."""
    if kind in ("pred", "f32", "f64"):
        return kind
    return f"b{max(16, 8 * WIDTH[kind])}"


def stored(kind, values):
    """An array with the bits of a type."""
    if kind == "pred":
        return np.array(values, np.uint32)
    dtype = CODES[numpy_code(kind)]
    if isinstance(values, np.ndarray):
        return values.view(dtype) if values.itemsize == WIDTH[kind] else values.astype(dtype)
    return np.array([value_of(value, dtype) for value in values], dtype)


def value_of(value, dtype):
    """A number, integers wrapped to the type."""
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        wrapped = int(value) & (1 << limits.bits) - 1
        return wrapped - (1 << limits.bits) if wrapped > limits.max else wrapped
    return value


def load_input(kind, name, index):
    """PTX that loads one input for each thread."""
    if kind == "pred":
        return (
            f".reg .pred %p{name};\nmad.wide.u32 %at{index}, %tid, 4, %in_{name};\n"
            f"ld.global.u32 %flag, [%at{index}];\nsetp.ne.u32 %p{name}, %flag, 0;"
        )
    return (
        f".reg .{register_type(kind)} %{name};\n"
        f"mad.wide.u32 %at{index}, %tid, {WIDTH[kind]}, %in_{name};\n"
        f"ld.global.{load_type(kind)} %{name}, [%at{index}];"
    )


def load_type(kind):
    """The type of a load or store."""
    return kind if kind in ("f32", "f64", "s8", "u8") else f"b{8 * WIDTH[kind]}"


def store_result(kind):
    """PTX that stores %d for each thread."""
    if kind == "pred":
        return (
            "selp.u32 %flag, 1, 0, %pd;\nmad.wide.u32 %at8, %tid, 4, %out;\n"
            "st.global.u32 [%at8], %flag;\nret;"
        )
    return (
        f"mad.wide.u32 %at8, %tid, {WIDTH[kind]}, %out;\n"
        f"st.global.{load_type(kind)} [%at8], %d;\nret;"
    )
