"""Compiles the CUDA sources for an architecture without a GPU and reads what became of them."""

import fcntl
import functools
import hashlib
import os
import re
import runpy
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from . import sass

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / "build" / "machine_code"

PACKAGES = {
    "nvcc": "nvidia-cuda-nvcc nvidia-cuda-cccl",
    "cuobjdump": "nvidia-cuda-cuobjdump",
    "nvdisasm": "nvidia-cuda-nvdisasm",
    "c++filt": None,
}


class MissingTools(Exception):
    """Says which tools are missing and how to get them."""


class CompilationFailed(Exception):
    """Holds what the compiler said."""


class Tools(NamedTuple):
    """Paths of the programs of a CUDA toolkit and of binutils."""

    nvcc: str
    cuobjdump: str
    nvdisasm: str
    demangler: str

    @property
    def version(self) -> str:
        return re.search(r"release \S+ (\S+)", _output(self.nvcc, "--version"))[1]


@functools.cache
def find_tools() -> Tools:
    """Looks in CUDA_HOME, on PATH, beside nvcc and among the installed Python packages."""
    found = {name: _find(name, _folders()) for name in PACKAGES}
    if found["nvcc"]:
        home = re.search(
            r"^#\$ TOP=(.*)$", _output(found["nvcc"], "--dryrun", "-x", "cu", os.devnull), re.M
        )
        beside = [Path(home[1].strip()) / "bin"] if home else []
        found = {name: path or _find(name, beside) for name, path in found.items()}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise MissingTools(_advice(missing))
    return Tools(*found.values())


def _folders() -> list[Path]:
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    path = map(Path, os.environ.get("PATH", "").split(os.pathsep))
    return [*([Path(home) / "bin"] if home else []), *path, *package_folders("bin")]


def package_folders(name: str) -> list[Path]:
    """Folders `name` of NVIDIA's Python packages."""
    return sorted(Path(sysconfig.get_path("purelib")).glob(f"nvidia/*/{name}"))


def _find(name: str, folders: list[Path]) -> str | None:
    return shutil.which(name, path=os.pathsep.join(map(str, folders)))


def _advice(missing: list[str]) -> str:
    packages = [PACKAGES[name] for name in missing if PACKAGES[name]]
    advice = f"pip install {' '.join(packages)}" if packages else "install binutils"
    return (
        f"{', '.join(missing)}: neither in CUDA_HOME, on PATH, beside nvcc nor among the installed "
        f"Python packages; {advice}"
    )


def _output(*command: str) -> str:
    """What a program prints, on both streams."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    finished = subprocess.run(command, text=True, **streams)
    if finished.returncode != 0:
        raise CompilationFailed(f"{' '.join(command)}:\n{finished.stdout}")
    return finished.stdout


class Kernel(NamedTuple):
    """What the compiler made of one kernel for one architecture."""

    name: str  # as in Launch
    source: str
    arch: int
    registers: int
    spill_stores: int  # bytes, as are all sizes here
    spill_loads: int
    stack: int
    shared: int  # static
    max_threads: int  # by __launch_bounds__; 0 without
    code: tuple[sass.Instruction, ...]

    @property
    def local_accesses(self) -> int:
        """Instructions that touch local memory, anywhere in the kernel."""
        return sum(sass.class_of(instruction) == "local" for instruction in self.code)


class Build(NamedTuple):
    """The kernels of one source for one architecture, and the compiler's warnings."""

    kernels: list[Kernel]
    warnings: list[str]


def flags() -> list[str]:
    """The flags of setup.py."""
    return _setup()["NVCC_FLAGS"]


def architectures() -> list[int]:
    """The architectures of setup.py: 75, 80, ..."""
    return [int(name.replace(".", "")) for name in _setup()["CUDA_ARCHITECTURES"]]


@functools.cache
def _setup() -> dict:
    return runpy.run_path(str(ROOT / "setup.py"))


def sources() -> list[Path]:
    return sorted((ROOT / "csrc" / "cuda").glob("*.cu"))


def build(source: Path, arch: int, cache: Path = CACHE) -> Build:
    """Compiles and disassembles a source, or takes the result of an earlier call."""
    tools = find_tools()
    stem = f"{source.stem}.sm_{arch}"
    folder = cache / f"{stem}.{_digest(source, tools)}"
    with _locked(cache, stem):
        if not folder.exists():
            for stale in filter(Path.is_dir, cache.glob(f"{stem}.*")):
                shutil.rmtree(stale)
            _compile(tools, source, arch, folder)
    return _read(source, arch, folder)


def _digest(source: Path, tools: Tools) -> str:
    """Of the source, every header that it reaches by quotes, the compiler and its flags."""
    digest = hashlib.sha256(" ".join([tools.version, *flags()]).encode())
    for path in sorted(_reached(source)):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _reached(path: Path) -> set[Path]:
    found, waiting = set(), [path.resolve()]
    while waiting:
        path = waiting.pop()
        if path in found or not path.exists():
            continue
        found.add(path)
        included = re.findall(r'^\s*#\s*include\s*"([^"]+)"', path.read_text(), re.M)
        waiting.extend((path.parent / name).resolve() for name in included)
    return found


@contextmanager
def _locked(cache: Path, stem: str) -> Iterator[None]:
    """One process at a time compiles a source; the others wait for its result."""
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / f"{stem}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _compile(tools: Tools, source: Path, arch: int, folder: Path) -> None:
    """Fills `folder`, at once and whole."""
    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    cubin = str(unfinished / "cubin")
    command = [tools.nvcc, "-cubin", f"-arch=sm_{arch}", *flags(), "-Xptxas=-v"]
    log = _output(*command, "-o", cubin, str(source))
    (unfinished / "log").write_text(log)
    (unfinished / "sass").write_text(_output(tools.nvdisasm, "-c", cubin))
    (unfinished / "elf").write_text(_attributes(_output(tools.cuobjdump, "-elf", cubin)))
    names = "\n".join(_COMPILING.findall(log))
    demangled = subprocess.run(
        [tools.demangler], input=names, text=True, capture_output=True, check=True
    )
    (unfinished / "names").write_text(demangled.stdout)
    unfinished.rename(folder)


_COMPILING = re.compile(r"Compiling entry function '(\w+)'")
_INFO_SECTION = re.compile(r"^\.nv\.info\.(\w+)$")


def _attributes(dump: str) -> str:
    """The lines of cuobjdump -elf that tell of launch bounds, and of which kernel's."""
    lines, kept = dump.splitlines(), []
    for line, _, value in zip(lines, lines[1:], lines[2:]):
        if _INFO_SECTION.match(line):
            kept.append(line)
        elif "EIATTR_MAX_THREADS" in line:
            kept.append(value.strip())
    return "\n".join(kept)


def _read(source: Path, arch: int, folder: Path) -> Build:
    log = (folder / "log").read_text()
    code = sass.parse((folder / "sass").read_text())
    threads = _max_threads((folder / "elf").read_text())
    names = dict(zip(_COMPILING.findall(log), (folder / "names").read_text().splitlines()))
    kernels = []
    for text in log.split("Compiling entry function")[1:]:
        mangled = text.split("'")[1]
        kernels.append(
            Kernel(
                plain_name(names[mangled]),
                source.stem,
                arch,
                *_resources(text),
                threads.get(mangled, 0),
                tuple(code[mangled]),
            )
        )
    warnings = [line for line in log.splitlines() if re.search(r"warning\s*[#:]", line)]
    return Build(sorted(kernels, key=lambda kernel: kernel.name), warnings)


def _max_threads(attributes: str) -> dict[str, int]:
    """Threads of a block by mangled name, from lines .nv.info.NAME and "Value: 0x80 0x1 0x1"."""
    threads, name = {}, ""
    for line in attributes.splitlines():
        if section := _INFO_SECTION.match(line):
            name = section[1]
        else:
            x, y, z = (int(word, 16) for word in line.split()[1:4])
            threads[name] = x * y * z
    return threads


_RESOURCES = {
    "registers": r"Used (\d+) registers",
    "spill_stores": r"(\d+) bytes spill stores",
    "spill_loads": r"(\d+) bytes spill loads",
    "stack": r"(\d+) bytes stack frame",
    "shared": r"(\d+) bytes smem",
}


def _resources(text: str) -> list[int]:
    """Numbers from ptxas -v; it leaves out those that are zero."""
    matches = (re.search(pattern, text) for pattern in _RESOURCES.values())
    return [int(match[1]) if match else 0 for match in matches]


def plain_name(demangled: str) -> str:
    """A kernel as plans spell it: without return type, namespaces and parameters."""
    name = demangled.strip().removeprefix("void ")
    depth = 0
    for index in range(len(name) - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(name[index], 0)
        if depth == 0 and name[index] == "(":
            name = name[:index]
            break
    for noise in ("cnnops::", "cuda::", "(anonymous namespace)::"):
        name = name.replace(noise, "")
    while "> >" in name:
        name = name.replace("> >", ">>")
    return name
