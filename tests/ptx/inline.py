"""A kernel with the device functions it calls written in their places."""

from dataclasses import dataclass, field, replace

from .fault import Fault
from .kinds import WIDTH
from .syntax import (
    Address,
    Instruction,
    Label,
    Negation,
    Pair,
    Register,
    Symbol,
    Vector,
)

DEPTH_LIMIT = 32


@dataclass
class Flat:
    """The statements of a kernel, calls expanded, every name unique."""

    name: str
    parameters: list
    registers: dict = field(default_factory=dict)
    variables: dict = field(default_factory=dict)
    branch_targets: dict = field(default_factory=dict)
    body: list = field(default_factory=list)


def flatten(parser, name):
    """The kernel `name` of a parsed text as one list of statements."""
    function = parser.function(name)
    flat = Flat(name, function.parameters)
    Expansion(parser, flat, function, "", {}, None, 0).run()
    return flat


class Expansion:
    """Copies one function's body into a flat kernel, under a prefix for its names."""

    def __init__(self, parser, flat, function, prefix, arguments, leave, depth):
        self.parser = parser
        self.flat = flat
        self.function = function
        self.prefix = prefix
        self.arguments = arguments
        self.leave = leave
        self.depth = depth
        self.calls = 0

    def run(self):
        """Append the body, with `ret` turned into a branch to `leave` in a device function."""
        flat, function = self.flat, self.function
        for name, kind in function.registers.items():
            flat.registers[self.prefix + name] = kind
        self.parameters = set(self.arguments)
        for name, found in function.variables.items():
            if found.space == "param":
                self.parameters.add(name)
            else:
                flat.variables[self.prefix + name] = replace(found, name=self.prefix + name)
        for name, targets in function.branch_targets.items():
            flat.branch_targets[self.prefix + name] = [self.prefix + target for target in targets]
        self.labels = {item.name for item in function.body if isinstance(item, Label)}
        for item in function.body:
            self._copy(item)

    def _copy(self, item):
        if isinstance(item, Label):
            self.flat.body.append(Label(self.prefix + item.name))
        elif item.opcode == "call":
            self._call(item)
        elif item.opcode in ("ld", "st") and self._argument(item):
            self._move_argument(item)
        elif item.opcode == "ret" and self.leave:
            self._append(replace(item, opcode="bra", operands=(Symbol(self.leave),)), renamed=True)
        else:
            self._append(item)

    def _append(self, item, renamed=False):
        operands = item.operands if renamed else tuple(map(self._rename, item.operands))
        guard = item.guard and (self._rename(item.guard[0]), item.guard[1])
        self.flat.body.append(replace(item, operands=operands, guard=guard))

    def _rename(self, operand):
        if isinstance(operand, Register):
            return Register(self.prefix + operand.name)
        if isinstance(operand, Symbol):
            own = operand.name in self.labels or operand.name in self.function.variables
            own = own or operand.name in self.function.branch_targets
            return replace(operand, name=self.prefix + operand.name) if own else operand
        if isinstance(operand, Address):
            return replace(operand, base=operand.base and self._rename(operand.base))
        if isinstance(operand, Vector):
            return Vector(tuple(map(self._rename, operand.items)))
        if isinstance(operand, Pair):
            return Pair(self._rename(operand.first), self._rename(operand.second))
        if isinstance(operand, Negation):
            return Negation(self._rename(operand.register))
        return operand

    def _argument(self, item):
        """The address operand, where it names a parameter of a call or of this function."""
        address = item.operands[0 if item.opcode == "st" else 1]
        base = isinstance(address, Address) and address.base
        named = isinstance(base, Symbol) and base.name in self.parameters
        return address if named else None

    def _move_argument(self, item):
        """Parameters of calls become registers, one for each offset."""
        address, kind = self._argument(item), item.modifiers[-1]
        value = item.operands[1 if item.opcode == "st" else 0]
        values = value.items if isinstance(value, Vector) else (value,)
        name = self.arguments.get(address.base.name, self.prefix + address.base.name)
        for index, value in enumerate(values):
            place = f"{name}+{address.offset + index * WIDTH[kind]}"
            known = self.flat.registers.setdefault(place, kind)
            if WIDTH[known] != WIDTH[kind]:
                message = "a parameter stored and loaded in different widths"
                raise Fault("unsupported", message, line=item.line, text=item.text)
            pair = (Register(place), self._rename(value))
            operands = pair if item.opcode == "st" else pair[::-1]
            guard = item.guard and (self._rename(item.guard[0]), item.guard[1])
            self.flat.body.append(
                Instruction(item.line, item.text, item.opcode, ("argument", kind), operands, guard)
            )

    def _call(self, item):
        results, callee, arguments = item.operands
        name = callee.name if isinstance(callee, Symbol) else "through a pointer"
        if name == "__assertfail":
            self._append(replace(item, opcode="trap", modifiers=(), operands=()))
            return
        if item.guard or name not in self.parser.bodies or self.depth > DEPTH_LIMIT:
            message = f"a call of {name}" + " under a guard" * bool(item.guard)
            raise Fault("unsupported", message, line=item.line, text=item.text)
        self.calls += 1
        function = self.parser.function(name)
        prefix = f"{self.prefix}{name}@{self.calls}:"
        formal = [found.name for found in (*function.parameters, *function.results)]
        actual = [self.prefix + symbol.name for symbol in (*arguments.items, *results.items)]
        leave = f"{prefix}leave"
        inner = Expansion(
            self.parser,
            self.flat,
            function,
            prefix,
            dict(zip(formal, actual)),
            leave,
            self.depth + 1,
        )
        inner.run()
        self.flat.body.append(Label(leave))
