"""From statements to functions, variables and instructions."""

import re
from functools import cached_property

from .declarations import header, variable
from .fault import Fault
from .kinds import WIDTH
from .operands import Scope, instruction, split
from .scanner import Scanner, strip_comments
from .syntax import Instruction, Label, Register, Symbol

IGNORED = (".pragma", ".alias", ".maxntid", ".minnctapersm", ".reqntid")


def parsing_fault(error, text, line):
    """What an unknown construct becomes."""
    return Fault("unsupported", f"cannot parse: {error}", line=line, text=" ".join(text.split()))


class Parser:
    """The variables of a PTX text, and its functions, each parsed when first asked for."""

    def __init__(self, text):
        self.lines = text.split("\n")
        self.variables = {}
        self.bodies = {}
        self._split(Scanner(strip_comments(text)).items())

    def _split(self, items):
        body, depth = None, 0
        for item in items:
            kind, text, line = item
            depth += (kind == "open") - (kind == "close")
            if kind == "header":
                body = FunctionBody(text, line)
                if body.follows:
                    self.bodies[body.function.name] = body
            elif depth:
                body.items.append(item)
            elif kind == "statement" and not text.startswith(IGNORED):
                self._variable(text, line)

    def _variable(self, text, line):
        try:
            found = variable(text)
        except (ValueError, AttributeError, KeyError) as error:
            raise parsing_fault(error, text, line) from error
        if found is None:
            raise parsing_fault("unknown directive", text, line)
        self.variables[found.name] = found

    def function(self, name):
        """The function of that name."""
        return self.bodies[name].parsed


class FunctionBody:
    """The statements of one function, parsed on demand."""

    def __init__(self, text, line):
        try:
            self.function, self.follows = header(text)
        except (ValueError, AttributeError, KeyError) as error:
            raise parsing_fault(error, text, line) from error
        self.items = []
        self._scope = Scope(self.function)
        self._label_name = None

    @cached_property
    def parsed(self):
        """The function with its body."""
        for position, (kind, text, line) in enumerate(self.items[1:], 1):
            try:
                getattr(self, f"_{kind}")(text, line, position)
            except (ValueError, AttributeError, IndexError, TypeError, KeyError) as error:
                raise parsing_fault(error, text, line) from error
        return self.function

    def _open(self, text, line, position):
        self._scope.open()
        depth = 0
        for kind, name, _ in self.items[position:]:
            depth += (kind == "open") - (kind == "close")
            if not depth:
                return
            if kind == "label" and depth == 1:
                self._scope.declare_symbol(name)

    def _close(self, text, line, position):
        self._scope.close()

    def _label(self, text, line, position):
        self._label_name = self._scope.rename(text) or Symbol(text)
        self.function.body.append(Label(self._label_name.name))

    def _statement(self, text, line, position):
        if text.startswith("implicit_def"):
            register = Register(self._scope.rename(text.split()[1]))
            found = Instruction(line, text, "implicit_def", (), (register,))
            self.function.body.append(found)
        elif text[0] != ".":
            self.function.body.append(instruction(text, line, self._scope))
        elif text.startswith(".reg"):
            self._registers(text)
        elif text.startswith(".branchtargets"):
            names = split(text[len(".branchtargets") :])
            self.function.branch_targets[self._label_name.name] = names
        elif not text.startswith(IGNORED):
            self._variable(text)

    def _registers(self, text):
        kind, names = re.match(r"\.reg\s+\.(\w+)\s+(.*)$", text, re.DOTALL).groups()
        if kind not in WIDTH:
            raise ValueError(f"register type {kind}")
        for name in split(names):
            if match := re.match(r"([%$\w]+)<(\d+)>$", name):
                self._scope.declare_range(kind, match[1], int(match[2]))
            else:
                self._scope.declare(kind, name)

    def _variable(self, text):
        found = variable(text)
        if found is None:
            raise ValueError("unknown directive")
        if self._scope.nested:
            found.name = self._scope.declare_symbol(found.name).name
        self.function.variables[found.name] = found
