"""Declarations: variables with their initialisers, headers of functions."""

import math
import re

from .kinds import WIDTH, is_type
from .operands import number, split
from .syntax import Function, Variable

SPACES = ("const", "global", "shared", "local", "param")
ARRAY = re.compile(r"([%$\w.]+)\s*((?:\[[^\]]*\]\s*)*)(?:=(.*))?$", re.DOTALL)


def variable(text):
    """A declaration such as `.shared .align 16 .b8 tile[4096]`, or None for another statement."""
    words = re.findall(r"\.(\w+)", text.split("=")[0].split("[")[0])
    space = next((word for word in words if word in SPACES), None)
    kind = next((word for word in words if is_type(word)), None)
    if space is None or kind is None:
        return None
    align = re.search(r"\.align\s+(\d+)", text)
    vector = next((int(word[1:]) for word in words if word in ("v2", "v4")), 1)
    tail = re.sub(r"^\s*(?:\.(?:align\s+\d+|ptr|\w+)\s*)+", "", text)
    match = ARRAY.match(tail.strip())
    if not match:
        raise ValueError(f"variable {text!r}")
    name, dimensions, values = match.groups()
    width = WIDTH[kind] * vector
    count = 1
    for extent in re.findall(r"\[\s*(\d*)\s*\]", dimensions):
        count *= int(extent or 0)
    found = Variable(name, space, int(align[1]) if align else width, width * count)
    found.extern = "extern" in words
    if values is not None:
        initialise(found, kind, values)
    return found


def initialise(found, kind, values):
    """Set the bytes of a variable from the text of its initialiser."""
    width = WIDTH[kind]
    data = bytearray(found.size)
    for index, item in enumerate(split(values.replace("{", "").replace("}", ""))):
        if match := re.match(r"(?:generic\()?([A-Za-z_$][\w$]*)\)?(?:\+(\d+))?$", item):
            found.references.append((index * width, match[1], int(match[2] or 0)))
            continue
        value = number(item).value & (1 << 8 * width) - 1
        data[index * width : (index + 1) * width] = value.to_bytes(width, "little")
    found.initial = bytes(data)


def header(text):
    """Name and parameters of a function, and whether a body follows."""
    entry = bool(re.search(r"\.entry\b", text))
    rest = re.split(r"\.(?:entry|func)\b", text, maxsplit=1)[1].strip()
    results = []
    if rest.startswith("("):
        inside, rest = rest[1:].split(")", 1)
        results = [parameter(part) for part in split(inside)]
    match = re.match(r"\s*([$%\w.]+)\s*(?:\(([^)]*)\))?", rest)
    parameters = [parameter(part) for part in split(match[2] or "")]
    function = Function(match[1], entry, parameters, results)
    bound = re.search(r"\.(?:maxntid|reqntid)\s+(\d+(?:\s*,\s*\d+)*)", rest)
    if bound:
        function.max_threads = math.prod(int(extent) for extent in bound[1].split(","))
    return function, text.endswith("{")


def parameter(text):
    """A formal parameter; nvcc declares those of functions by `.param`, rarely by `.reg`."""
    found = variable(re.sub(r"\.ptr(\s+\.(global|shared|const|local))?", "", text))
    if found is None:
        raise ValueError(f"parameter {text!r}")
    return found
