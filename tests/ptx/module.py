"""A PTX text with its kernels."""

import re
from functools import cached_property

from .fault import Fault
from .inline import flatten
from .names import demangle
from .parser import Parser
from .program import Program, align


class Module:
    """The kernels and variables of a PTX text."""

    def __init__(self, text):
        self.text = text
        target = re.search(r"^\s*\.target\s+(sm_\d+)", text, re.MULTILINE)
        self.arch = target[1] if target else ""
        self._parser = Parser(text)
        self.variables = self._parser.variables
        mangled = [n for n, body in self._parser.bodies.items() if body.function.entry]
        self._mangled = dict(zip(demangle(mangled), mangled))
        self._kernels = {}
        self._place_constants()

    def _place_constants(self):
        """Lay out the module's .const variables."""
        contents = bytearray()
        self.constant_offsets = {}
        for found in self.variables.values():
            if found.space == "const":
                contents += bytes(align(len(contents), found.align) - len(contents))
                self.constant_offsets[found.name] = len(contents)
                contents += found.initial or bytes(found.size)
        self.constants = bytes(contents)

    @property
    def kernel_names(self):
        """Readable names of the kernels, in the order of the text."""
        return list(self._mangled)

    def kernel(self, name):
        """A kernel by its readable or mangled name."""
        mangled = self._mangled.get(name, name)
        if mangled not in self._mangled.values():
            raise KeyError(f"no kernel {name!r}; there are {self.kernel_names}")
        if mangled not in self._kernels:
            readable = next(key for key, value in self._mangled.items() if value == mangled)
            self._kernels[mangled] = Kernel(self, readable, mangled)
        return self._kernels[mangled]

    def flatten(self, mangled):
        """The statements of a kernel, device functions written in place."""
        return flatten(self._parser, mangled)

    def header(self, mangled):
        """Parameters and launch bounds of a kernel."""
        return self._parser.bodies[mangled].function


class Kernel:
    """A kernel that can be launched."""

    def __init__(self, module, name, mangled):
        self.module = module
        self.name = name
        self.mangled = mangled
        function = module.header(mangled)
        self.max_threads = function.max_threads
        self.parameter_offsets = {}
        size = 0
        for found in function.parameters:
            start = align(size, found.align)
            self.parameter_offsets[found.name] = start
            size = start + found.size
        self.parameter_size = size

    @cached_property
    def _flat(self):
        try:
            return self.module.flatten(self.mangled)
        except Fault as fault:
            fault.kernel = fault.kernel or self.name
            raise

    @cached_property
    def program(self):
        """The kernel's basic blocks."""
        return Program(self, self._flat)

    @cached_property
    def fine_program(self):
        """The same in small pieces, between which warps can be switched."""
        return Program(self, self._flat, fine=True)

    def check(self):
        """Translate every block, so that an unknown instruction shows without a launch."""
        for block in self.program.blocks:
            block.whole, block.masked  # noqa: B018
