"""Readable names of kernels."""

import re
import shutil
import subprocess

CASTS = re.compile(r"\((?:unsigned |signed )?(?:int|long|short|char|long long|unsigned)\)(?=-?\d)")


def demangle(names):
    """Short C++ names: no return type, namespaces of cnnops, parameter list or casts of numbers."""
    tool = shutil.which("c++filt") or shutil.which("cu++filt")
    if not names or tool is None:
        return list(names)
    answer = subprocess.run([tool], input="\n".join(names), capture_output=True, text=True)
    return [shorten(name) for name in answer.stdout.splitlines()]


def shorten(name):
    """A demangled name as users write it."""
    name = strip_parameters(name.removeprefix("void "))
    name = name.replace("(anonymous namespace)::", "")
    name = name.replace("cnnops::", "").replace("cuda::", "")
    name = CASTS.sub("", name)
    return re.sub(r">\s+(?=>)", ">", name)


def strip_parameters(name):
    """A function's name without the list of its parameters."""
    if not name.endswith(")"):
        return name
    depth = 0
    for position in range(len(name) - 1, -1, -1):
        depth += (name[position] == ")") - (name[position] == "(")
        if not depth:
            return name[:position] if position else name
    return name
