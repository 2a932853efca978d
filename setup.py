"""Builds the two compiled modules of cnnops.

`cnnops._build_info` states the facts of the build and is free of torch, so that it can be imported
beside any torch; `cnnops._C` holds the operators, which torch.ops.load_library loads, and the usual
way of a call to them.
"""

import os
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
from glob import glob
from typing import NamedTuple

from setuptools import Extension, setup

try:
    import pybind11
    import torch
except ModuleNotFoundError as missing:
    raise SystemExit(
        f"cnnops: the build needs {missing.name}; run pip install torch 'setuptools>=77' ninja "
        "pybind11, then pip install --no-build-isolation ."
    ) from None

VERSION = runpy.run_path("cnnops/version.py")["__version__"]

CXX_FLAGS = [
    *("-std=c++20", "-O3", "-g0", "-fvisibility=hidden", "-Wall", "-Wextra"),
    *("-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"),
]
NVCC_FLAGS = ["-std=c++20", "-O3", "-Xcompiler=-fvisibility=hidden,-Wall,-Wextra"]

# One entry per GPU generation; the newest also as PTX, for GPUs that come after it.
CUDA_ARCHITECTURES = ("7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0")


class Toolkit(NamedTuple):
    """A CUDA toolkit to build with."""

    home: str  # the folder that holds bin/, include/ and lib64/
    version: str  # "13.0"
    architectures: str  # as in TORCH_CUDA_ARCH_LIST: "8.0 9.0+PTX"


class UnusableToolkit(Exception):
    """Says why CUDA cannot be compiled here."""


def choose_toolkit(setting: str | None, torch_cuda: str | None) -> Toolkit | None:
    """Returns the toolkit to build with, or None for a build without CUDA.

    setting is CNNOPS_CUDA ("1" demands CUDA, "0" leaves it out, None takes what is there) and
    torch_cuda is torch.version.cuda.
    """
    if setting not in (None, "0", "1"):
        raise SystemExit(f"cnnops: CNNOPS_CUDA must be 0, 1 or unset, got {setting!r}")
    if setting == "0":
        return None
    try:
        return find_toolkit(torch_cuda)
    except UnusableToolkit as reason:
        if setting == "1":
            raise SystemExit(f"cnnops: CNNOPS_CUDA=1 asks for CUDA, but {reason}") from None
        print(f"cnnops: building without CUDA, since {reason}", file=sys.stderr)
        return None


def find_toolkit(torch_cuda: str | None) -> Toolkit:
    """Finds an nvcc (in CUDA_HOME, else on PATH) whose code can run beside torch's CUDA."""
    if torch_cuda is None:
        raise UnusableToolkit(f"torch {torch.__version__} is built without CUDA")
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    nvcc = shutil.which("nvcc", path=os.path.join(home, "bin") if home else None)
    if nvcc is None:
        raise UnusableToolkit(f"there is no nvcc {f'in {home}/bin' if home else 'on PATH'}")

    release = re.search(r"release (\d+\.\d+)", query(nvcc, "--version"))
    if release is None:
        raise UnusableToolkit(f"{nvcc} --version names no release")
    version = release[1]
    if version.split(".")[0] != torch_cuda.split(".")[0]:
        raise UnusableToolkit(f"{nvcc} is CUDA {version} and torch is built with CUDA {torch_cuda}")
    return Toolkit(home or toolkit_home(nvcc), version, architectures(nvcc))


def query(nvcc: str, *arguments: str) -> str:
    """Runs nvcc and returns what it prints."""
    try:
        return subprocess.run(
            [nvcc, *arguments],
            check=True,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise UnusableToolkit(f"{nvcc} does not run: {error}") from None


def toolkit_home(nvcc: str) -> str:
    """Asks nvcc where its toolkit is, since the nvcc on PATH may be a link or a wrapper script."""
    top = re.search(r"^#\$ TOP=(.*)$", query(nvcc, "--dryrun", "-x", "cu", os.devnull), re.M)
    if top is None:
        raise UnusableToolkit(f"{nvcc} does not tell its toolkit's folder; set CUDA_HOME")
    return os.path.realpath(top[1].strip())


def architectures(nvcc: str) -> str:
    """TORCH_CUDA_ARCH_LIST, or those of CUDA_ARCHITECTURES that this nvcc knows."""
    chosen = os.environ.get("TORCH_CUDA_ARCH_LIST")
    if chosen:
        return chosen.replace(";", " ")
    known = query(nvcc, "--list-gpu-arch").replace("compute_", "").split()
    usable = [a for a in CUDA_ARCHITECTURES if a.replace(".", "") in known]
    if not usable:
        raise UnusableToolkit(f"{nvcc} compiles for none of {', '.join(CUDA_ARCHITECTURES)}")
    return " ".join(usable) + "+PTX"


def build_info_extension(toolkit: Toolkit | None) -> Extension:
    facts = {"VERSION": VERSION, "TORCH_VERSION": torch.__version__, "FLAGS": " ".join(CXX_FLAGS)}
    if toolkit:
        facts |= {"CUDA_VERSION": toolkit.version, "CUDA_ARCHITECTURES": toolkit.architectures}
    macros = [f'-DCNNOPS_{name}="{fact}"' for name, fact in facts.items()]
    return Extension(
        "cnnops._build_info",
        ["csrc/build_info.cpp"],
        include_dirs=[pybind11.get_include()],
        extra_compile_args=CXX_FLAGS + macros,
        language="c++",
    )


def operators_extension(toolkit: Toolkit | None) -> Extension:
    from torch.utils.cpp_extension import CppExtension, CUDAExtension, include_paths

    # The plans of the CUDA kernels are plain C++: tests and reports read them without CUDA, too.
    folders = ("csrc", "csrc/cpu", "csrc/cuda/plan")
    sources = {file for folder in folders for file in glob(f"{folder}/*.cpp")}
    sources = sorted(sources - {"csrc/build_info.cpp"})
    # Compiled with OpenMP (at::parallel_for is inline) but not linked with it: the symbols resolve
    # to the OpenMP runtime that torch itself has loaded, so there is never a second thread pool.
    # Named as system headers, torch's own give no warnings.
    torch_headers = [f"-isystem{path}" for path in include_paths()]
    flags = {"cxx": [*torch_headers, *CXX_FLAGS, "-fopenmp"], "nvcc": NVCC_FLAGS}
    if toolkit is None:
        return CppExtension("cnnops._C", sources, extra_compile_args=flags)
    sources += sorted(glob("csrc/cuda/*.cpp") + glob("csrc/cuda/*.cu"))
    return CUDAExtension("cnnops._C", sources, extra_compile_args=flags)


def build_command() -> type:
    from torch.utils.cpp_extension import BuildExtension

    class BuildInCheckout(BuildExtension):
        """Keeps objects in the checkout, apart for each torch, also for an editable install."""

        def finalize_options(self) -> None:
            self.build_temp = f"build/{sys.implementation.cache_tag}-torch{torch.__version__}"
            # Dates say nothing about flags and torch: ninja decides, which knows every object's
            # headers and command line.
            self.force = True
            super().finalize_options()

    return BuildInCheckout


def main() -> None:
    toolkit = choose_toolkit(os.environ.get("CNNOPS_CUDA"), torch.version.cuda)
    if toolkit:  # torch.utils.cpp_extension reads these when it is imported
        os.environ |= {"CUDA_HOME": toolkit.home, "TORCH_CUDA_ARCH_LIST": toolkit.architectures}
    # The ninja of this environment counts also where the environment is not activated.
    os.environ["PATH"] = sysconfig.get_path("scripts") + os.pathsep + os.environ.get("PATH", "")
    setup(
        version=VERSION,
        ext_modules=[build_info_extension(toolkit), operators_extension(toolkit)],
        cmdclass={"build_ext": build_command()},
    )


if __name__ == "__main__":
    main()
