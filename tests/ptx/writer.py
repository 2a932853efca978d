"""Basic blocks as Python functions over numpy arrays.

Every register that lives only in its block is a local variable; the others are read from and
written back to a list. Each block is written twice: for all threads, and for a part of them, where
what leaves the block is merged with the old values and memory is touched under the mask.
"""

import struct

from .emit import EMITTERS, runtime_names
from .fault import Fault
from .flow import CARRY, ends_block
from .kinds import CODES, WIDTH, bits, code, is_signed, is_type, storage
from .refusal import Unsupported
from .syntax import Immediate, Negation, Register, Sink, Special, Symbol


class BlockWriter:
    """Writes one basic block as the source of a function."""

    def __init__(self, program, items, masked):
        self.program = program
        self.items = items
        self.masked = masked
        self.lines = []
        self.current = {}
        self.cached = {}
        self.written = {}
        self.proven = set()
        self.counter = 0
        self.at = None
        self.item = None
        self.guard = None
        self.mask = "m"
        self.result = None

    def function(self, name):
        """The compiled function of the block."""
        for at, item in self.items:
            self._instruction(at, item)
        self._write_back()
        body = "\n    ".join(["pass", *self.lines, f"return {self.result}"])
        merging = "mb = m.bits\n    " if self.masked else ""
        source = f"def run(g, R, D, m):\n    {merging}{body}\n"
        scope = self.program.scope
        exec(compile(source, f"<{name}>", "exec"), scope)
        return scope["run"]

    def _instruction(self, at, item):
        self.at, self.item = at, item
        self.guard, self.mask = None, "m"
        try:
            if item.opcode not in EMITTERS:
                raise Unsupported(f"opcode {item.opcode}")
            emitter, allowed = EMITTERS[item.opcode]
            types = [word for word in item.modifiers if is_type(word)]
            words = [word for word in item.modifiers if not is_type(word)]
            unknown = [word for word in words if word not in allowed]
            if unknown:
                raise Unsupported(f"modifier .{unknown[0]} of {item.opcode}")
            if item.guard and not ends_block(item):
                self._set_guard(item.guard)
            emitter(self, item, types, words)
        except Unsupported as error:
            raise Fault(
                "unsupported",
                str(error),
                kernel=self.program.name,
                line=item.line,
                text=item.text,
            ) from None

    def _set_guard(self, guard):
        register, negated = guard
        value = self.use(register, "bool_")
        self.guard = self.keep(f"~{value}") if negated else value
        self.mask = self.keep(f"narrow(m, {self.guard}, g.count)")

    def line(self, text):
        """Append a statement."""
        self.lines.append(text)

    def name(self):
        """A fresh local variable."""
        self.counter += 1
        return f"v{self.counter}"

    def keep(self, expression):
        """A local variable that holds an expression; the same one for the same expression.

        Variables are never assigned twice, so an expression over them keeps its value.
        """
        if expression not in self.cached:
            name = self.cached[expression] = self.name()
            self.line(f"{name} = {expression}")
        return self.cached[expression]

    def fresh(self, expression):
        """A new local variable that holds an expression with an effect."""
        name = self.name()
        self.line(f"{name} = {expression}")
        return name

    def constant(self, value, numpy_code):
        """The name of a numpy scalar."""
        return self.program.constant(value, numpy_code)

    def use(self, operand, numpy_code):
        """An expression for an operand as a value of a numpy type of the operand's width."""
        if isinstance(operand, Immediate):
            return self.constant(immediate(operand, numpy_code), numpy_code)
        if isinstance(operand, Register):
            return self.register(operand.name, numpy_code)
        if isinstance(operand, Negation):
            return self.keep(f"~{self.use(operand.register, numpy_code)}")
        if isinstance(operand, Special):
            return self._special(operand.name, numpy_code)
        if isinstance(operand, Symbol):
            return self.program.symbol(operand, numpy_code)
        raise Unsupported(f"operand {operand}")

    def _special(self, name, numpy_code):
        if name in ("clock", "clock64", "globaltimer"):
            return self.fresh(f"{numpy_code}(g.executed)")
        value = f"g.special[{name!r}]"
        return self.keep(value if numpy_code in ("u4", "i4") else f"{value}.astype({numpy_code})")

    def stored(self, name):
        """The numpy code in which a register is held."""
        if name == CARRY:
            return "bool_"
        kind = self.program.registers.get(name)
        if kind is None:
            raise Unsupported(f"register {name}, which is not declared")
        return storage(kind)

    def width(self, operand):
        """Bytes of a register operand; None for anything else."""
        if not isinstance(operand, Register):
            return None
        return WIDTH[self.program.registers[operand.name]]

    def _value(self, name, checked=True):
        slot = self.program.slots.get(name)
        if checked and name in self.program.unproven and name not in self.proven:
            self.line(f"g.need_defined(D[{slot}], {self.mask}, {self.at}, {name!r})")
        if name not in self.current:
            self.current[name] = self.fresh(f"R[{slot}]")
        return self.current[name]

    def register(self, name, numpy_code):
        """A register as a value of a numpy type of its width."""
        held = self.stored(name)
        value = self._value(name)
        if held == numpy_code:
            return value
        if CODES[held]().itemsize != CODES[numpy_code]().itemsize or "bool_" in (held, numpy_code):
            raise Unsupported(f"register {name} used as {CODES[numpy_code].__name__}")
        return self.keep(f"{value}.view({numpy_code})")

    def source(self, operand, kind):
        """An operand cut to a type that may be narrower than its register: for cvt and st."""
        width = self.width(operand)
        if width is None or width == WIDTH[kind]:
            return self.use(operand, code(kind))
        if width < WIDTH[kind]:
            raise Unsupported(f"a register of {width} bytes used as .{kind}")
        value = self.keep(f"{self.use(operand, f'u{width}')}.astype({bits(kind)})")
        return value if bits(kind) == code(kind) else self.keep(f"{value}.view({code(kind)})")

    def define(self, operand, expression, numpy_code):
        """Assign a register of the value's width, under the guard of the instruction."""
        if isinstance(operand, Sink):
            return
        if not isinstance(operand, Register):
            raise Unsupported(f"destination {operand}")
        self.define_name(operand.name, expression, numpy_code)

    def define_name(self, name, expression, numpy_code):
        """Assign a register by name."""
        held = self.stored(name)
        if held != numpy_code:
            if CODES[held]().itemsize != CODES[numpy_code]().itemsize or "bool_" in (
                held,
                numpy_code,
            ):
                raise Unsupported(f"register {name} set from {CODES[numpy_code].__name__}")
            expression = f"({expression}).view({held})"
        if self.guard:
            old = self._value(name, checked=False)
            expression = f"where({self.guard}, {expression}, {old})"
        self.current[name] = self.fresh(expression)
        self._note_defined(name)

    def _note_defined(self, name):
        slot = self.program.slots.get(name)
        if slot is None:
            return
        self.written[name] = slot
        if name in self.program.unproven:
            if not self.guard:
                self.proven.add(name)
                self.line(f"D[{slot}] = joined(D[{slot}], m)")
            else:
                self.line(f"D[{slot}] = joined(D[{slot}], {self.mask})")

    def define_wide(self, operand, expression, kind):
        """Assign a register that may be wider than the value: by sign or zeros, as ld does."""
        if isinstance(operand, Sink):
            return
        width = self.width(operand)
        if width is None or width == WIDTH[kind]:
            self.define(operand, expression, code(kind))
            return
        if width < WIDTH[kind]:
            raise Unsupported(f"a register of {width} bytes set from .{kind}")
        wide = f"{'i' if is_signed(kind) else 'u'}{width}"
        self.define(operand, f"({expression}).astype({wide})", wide)

    def _write_back(self):
        for name, slot in self.written.items():
            value = self.current[name]
            self.line(
                f"R[{slot}] = where(mb, {value}, R[{slot}])"
                if self.masked
                else f"R[{slot}] = {value}"
            )


def immediate(operand, numpy_code):
    """The number an immediate stands for in a numpy type."""
    value = operand.value
    if operand.kind == "f32":
        number, width = struct.unpack("<f", struct.pack("<I", value))[0], 4
    elif operand.kind == "f64":
        number, width = struct.unpack("<d", struct.pack("<Q", value))[0], 8
    else:
        number, width = value, None
    if numpy_code[0] == "f":
        return number
    if numpy_code == "bool_":
        return bool(value)
    size = CODES[numpy_code]().itemsize
    if width not in (None, size):
        raise Unsupported("a floating-point immediate of another width")
    value &= (1 << 8 * size) - 1
    return value - (1 << 8 * size) if numpy_code[0] == "i" and value >> 8 * size - 1 else value


def scope():
    """The names that written functions use."""
    return {**CODES, **runtime_names()}
