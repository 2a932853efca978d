"""From the text of an instruction to its operands."""

import re
import struct

from .syntax import (
    Address,
    Immediate,
    Instruction,
    Negation,
    Pair,
    Register,
    Sink,
    Special,
    Symbol,
    Vector,
)

NUMBER = re.compile(r"[-+]?(0[fFdD][0-9a-fA-F]+|0[xX][0-9a-fA-F]+U?|0[bB][01]+U?|\d+U?|\d*\.\d+)$")
OPCODE = re.compile(r"\s*(@!?\s*[%$\w]+)?\s*([a-zA-Z_]\w*)((?:(?:\.|::)[\w]+)*)\s*(.*)$", re.DOTALL)
SPECIAL = re.compile(
    r"%(tid|ntid|ctaid|nctaid)\.[xyz]$|%(laneid|warpid|nwarpid|smid|nsmid|gridid|clock|clock64|"
    r"globaltimer|lanemask_(eq|lt|le|gt|ge)|dynamic_smem_size|total_smem_size)$"
)


def split(text, separator=","):
    """Parts of a text between separators that no bracket encloses."""
    parts, depth, start = [], 0, 0
    for position, letter in enumerate(text):
        depth += (letter in "[{(") - (letter in ")}]")
        if letter == separator and not depth:
            parts.append(text[start:position].strip())
            start = position + 1
    parts.append(text[start:].strip())
    return [part for part in parts if part]


def number(text):
    """An immediate operand."""
    sign = -1 if text[0] == "-" else 1
    body = text.lstrip("+-")
    if body[:2] in ("0f", "0F"):
        return Immediate(int(body[2:], 16), "f32")
    if body[:2] in ("0d", "0D"):
        return Immediate(int(body[2:], 16), "f64")
    if "." in body:
        return Immediate(struct.unpack("<Q", struct.pack("<d", float(text)))[0], "f64")
    body = body.rstrip("U")
    base = 16 if body[:2].lower() == "0x" else 2 if body[:2].lower() == "0b" else 10
    return Immediate(sign * int(body, base))


class Scope:
    """Names in nested braces: those declared in an inner one get a name of their own."""

    def __init__(self, function):
        self.function = function
        self.levels = [{}]
        self.suffixes = [""]
        self.opened = 0

    @property
    def nested(self):
        return len(self.levels) > 1

    def open(self):
        self.levels.append({})
        self.opened += 1
        self.suffixes.append(f"#{self.opened}")

    def close(self):
        self.levels.pop()
        self.suffixes.pop()

    def _unique(self, name):
        return name + self.suffixes[-1]

    def declare(self, kind, name):
        """A register of the innermost scope."""
        self.levels[-1][name] = unique = self._unique(name)
        self.function.registers[unique] = kind

    def declare_range(self, kind, prefix, count):
        for index in range(count):
            self.declare(kind, f"{prefix}{index}")

    def declare_symbol(self, name):
        """A label or variable of the innermost scope."""
        self.levels[-1][name] = symbol = Symbol(self._unique(name))
        return symbol

    def rename(self, name):
        """The unique name of a register, the Symbol of a scoped label or variable, or None."""
        for level in reversed(self.levels):
            if name in level:
                return level[name]
        return None


def operand(text, scope):
    """One operand of an instruction."""
    first = text[0]
    if first in "{(":
        return Vector(tuple(operand(part, scope) for part in split(text[1:-1])))
    if first == "[":
        return address(text[1:-1].strip(), scope)
    if first == "!":
        return Negation(operand(text[1:].strip(), scope))
    if text == "_":
        return Sink()
    if "|" in text:
        return Pair(*(operand(part.strip(), scope) for part in text.split("|")))
    if NUMBER.match(text):
        return number(text)
    if name := scope.rename(text):
        return name if isinstance(name, Symbol) else Register(name)
    if SPECIAL.match(text):
        return Special(text[1:])
    if match := re.match(r"([$%\w.]+)\s*\+\s*(-?\w+)$", text):
        return Symbol(match[1], number(match[2]).value)
    if re.match(r"[$%\w.]+$", text):
        return Symbol(text)
    raise ValueError(f"operand {text!r}")


def address(text, scope):
    """The inside of brackets: register, symbol or number, and an offset."""
    if NUMBER.match(text):
        return Address(None, number(text).value)
    match = re.match(r"([$%\w.]+)\s*(?:([+-])\s*(-?\w+))?$", text)
    if not match:
        raise ValueError(f"address [{text}]")
    offset = number(match[3]).value if match[3] else 0
    base = operand(match[1], scope)
    if isinstance(base, Symbol):
        base, offset = Symbol(base.name), base.offset + offset
    return Address(base, -offset if match[2] == "-" else offset)


def instruction(text, line, scope):
    """One instruction with its guard."""
    guard, opcode, modifiers, rest = OPCODE.match(text).groups()
    if guard:
        name = guard[1:].strip()
        guard = (Register(scope.rename(name.lstrip("! \t"))), name[0] == "!")
    rest = call_operands(rest) if opcode == "call" else split(rest)
    operands = tuple(operand(part, scope) for part in rest)
    words = tuple(modifiers[1:].replace("::", "::.").split(".")) if modifiers else ()
    return Instruction(line, " ".join(text.split()), opcode, join_scoped(words), operands, guard)


def join_scoped(words):
    """Modifiers such as L1::no_allocate kept in one piece."""
    joined = []
    for word in words:
        if joined and joined[-1].endswith("::"):
            joined[-1] += word
        else:
            joined.append(word)
    return tuple(joined)


def call_operands(text):
    """Results, callee and arguments of a call, the lists always present."""
    parts = split(text)
    if not parts[0].startswith("("):
        parts.insert(0, "()")
    if len(parts) == 2:
        parts.append("()")
    return parts[:3]
