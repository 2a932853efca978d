"""CUDA source to PTX by nvcc, the result kept in build/ptx."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from functools import cache, lru_cache
from pathlib import Path

from .module import Module

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "build" / "ptx"
FLAGS = ("-ptx", "-std=c++20", "-O3", "-lineinfo")
INCLUDES = (ROOT / "csrc", ROOT / "csrc" / "cuda")
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)


def nvcc():
    """The path of nvcc, or None."""
    return shutil.which("nvcc")


@cache
def nvcc_version():
    """What nvcc says of itself."""
    return subprocess.run([nvcc(), "--version"], capture_output=True, text=True, check=True).stdout


def included(path, found=None):
    """A source and every file of ours that it includes, directly or not."""
    found = {path: None} if found is None else found
    for name in INCLUDE.findall(path.read_text()):
        for folder in (path.parent, *INCLUDES):
            header = (folder / name).resolve()
            if header.is_file() and header not in found:
                found[header] = None
                included(header, found)
    return list(found)


def fingerprint(source, arch, flags):
    """A hash of everything that the PTX depends on."""
    digest = hashlib.sha256(repr((nvcc_version(), arch, flags)).encode())
    for path in included(source):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:24]


def compile_text(source, arch, extra=()):
    """The PTX of a CUDA source for an architecture such as "sm_80", compiled at most once."""
    source = Path(source).resolve()
    flags = (*FLAGS, *extra)
    CACHE.mkdir(parents=True, exist_ok=True)
    result = CACHE / f"{source.stem}-{arch}-{fingerprint(source, arch, flags)}.ptx"
    if result.exists():
        return result.read_text()
    with open(result.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not result.exists():
            run_nvcc(source, arch, flags, result)
    return result.read_text()


def run_nvcc(source, arch, flags, result):
    """Compile to a file of another name first, so that nobody sees half a result."""
    partial = result.with_suffix(f".{os.getpid()}.tmp")
    includes = [f"-I{folder}" for folder in INCLUDES]
    command = [nvcc(), *flags, f"-arch={arch}", *includes, "-o", str(partial), str(source)]
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{answer.stderr}")
    os.replace(partial, result)


@lru_cache(maxsize=64)
def _module(text):
    return Module(text)


def compile_ptx(source, arch, extra=()):
    """The Module of a CUDA source for an architecture; `extra` are further flags of nvcc."""
    return _module(compile_text(source, arch, tuple(extra)))
