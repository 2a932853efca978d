"""The parts of a PTX instruction: operands, instructions, variables."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Register:
    """A virtual register, by a name that is unique in its function."""

    name: str


@dataclass(frozen=True)
class Special:
    """A read-only register such as %tid.x."""

    name: str


@dataclass(frozen=True)
class Immediate:
    """A number: `kind` is "int", or "f32" or "f64" where `value` holds the bits of one."""

    value: int
    kind: str = "int"


@dataclass(frozen=True)
class Symbol:
    """A variable, function or label, and for a variable an offset in bytes."""

    name: str
    offset: int = 0


@dataclass(frozen=True)
class Address:
    """What stands between brackets."""

    base: Register | Symbol | None
    offset: int = 0


@dataclass(frozen=True)
class Vector:
    """Operands between braces or parentheses."""

    items: tuple


@dataclass(frozen=True)
class Pair:
    """The two destinations of `setp` and `shfl`: d|p."""

    first: object
    second: object


@dataclass(frozen=True)
class Negation:
    """A predicate operand with an exclamation mark."""

    register: Register


@dataclass(frozen=True)
class Sink:
    """The operand `_`, which drops a result."""


@dataclass
class Instruction:
    """One instruction; `guard` is (register, negated) or None."""

    line: int
    text: str
    opcode: str
    modifiers: tuple
    operands: tuple
    guard: tuple | None = None

    @property
    def name(self):
        return ".".join((self.opcode, *self.modifiers))


@dataclass(frozen=True)
class Label:
    """A place a branch can go to."""

    name: str


@dataclass
class Variable:
    """An array in a state space. `initial` is None where the text gives no values."""

    name: str
    space: str
    align: int
    size: int
    extern: bool = False
    initial: bytes | None = None
    references: list = field(default_factory=list)


@dataclass
class Function:
    """A kernel or device function, its statements not yet inlined."""

    name: str
    entry: bool
    parameters: list
    results: list
    max_threads: int | None = None
    registers: dict = field(default_factory=dict)
    variables: dict = field(default_factory=dict)
    branch_targets: dict = field(default_factory=dict)
    body: list = field(default_factory=list)
