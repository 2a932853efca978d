"""How setup.py decides about CUDA, what an sdist holds, and how the compiled modules load."""

import importlib.util
import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import torch

from cnnops import _build_info, _library

ROOT = Path(__file__).resolve().parents[1]


def run_python(code, cwd, **environment):
    """Runs code in a fresh interpreter and returns the finished process."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


def last_line(text):
    return text.strip().splitlines()[-1]


# The choice of a CUDA toolkit.


@pytest.fixture
def choose_toolkit(monkeypatch):
    """setup.py's choose_toolkit, on a machine where nothing of CUDA is installed."""
    monkeypatch.chdir(ROOT)
    for name in ("CUDA_HOME", "CUDA_PATH", "TORCH_CUDA_ARCH_LIST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "")
    return runpy.run_path("setup.py")["choose_toolkit"]


@pytest.fixture
def nvcc(tmp_path):
    """An nvcc of CUDA 13.0 that is only a wrapper: its toolkit lies elsewhere."""
    path = tmp_path / "bin" / "nvcc"
    path.parent.mkdir()
    path.write_text(
        "#!/bin/sh\n"
        'case "$1" in\n'
        '--version) echo "Cuda compilation tools, release 13.0, V13.0.88";;\n'
        '--dryrun) echo "#$ TOP=/toolkit/bin/.." >&2;;\n'
        '--list-gpu-arch) echo "compute_75"; echo "compute_90"; echo "compute_91";;\n'
        "esac\n"
    )
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("setting", ["", "2", "on"])
def test_unknown_setting_is_an_error(choose_toolkit, setting):
    with pytest.raises(SystemExit, match=f"CNNOPS_CUDA must be 0, 1 or unset, got '{setting}'"):
        choose_toolkit(setting, "13.0")


def test_zero_leaves_cuda_out(choose_toolkit, nvcc, monkeypatch):
    monkeypatch.setenv("PATH", str(nvcc.parent))
    assert choose_toolkit("0", "13.0") is None


@pytest.mark.parametrize("setting", [None, "1"])
def test_toolkit_behind_a_wrapper_is_found(choose_toolkit, nvcc, monkeypatch, setting):
    monkeypatch.setenv("PATH", str(nvcc.parent))
    assert choose_toolkit(setting, "13.0") == ("/toolkit", "13.0", "7.5 9.0+PTX")


def test_cuda_home_goes_before_the_path(choose_toolkit, nvcc, monkeypatch):
    home = str(nvcc.parents[1])
    monkeypatch.setenv("CUDA_HOME", home)
    assert choose_toolkit("1", "13.0").home == home


def test_architectures_can_be_chosen(choose_toolkit, nvcc, monkeypatch):
    monkeypatch.setenv("PATH", str(nvcc.parent))
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "8.0;9.0+PTX")
    assert choose_toolkit("1", "13.0").architectures == "8.0 9.0+PTX"


def torch_without_cuda(nvcc, monkeypatch):
    return None, f"torch {re.escape(torch.__version__)} is built without CUDA"


def no_nvcc_on_the_path(nvcc, monkeypatch):
    return "13.0", "there is no nvcc on PATH"


def no_nvcc_in_cuda_home(nvcc, monkeypatch):
    monkeypatch.setenv("PATH", str(nvcc.parent))
    monkeypatch.setenv("CUDA_HOME", "/nowhere")
    return "13.0", "there is no nvcc in /nowhere/bin"


def nvcc_of_another_cuda(nvcc, monkeypatch):
    monkeypatch.setenv("PATH", str(nvcc.parent))
    return "12.8", "nvcc is CUDA 13.0 and torch is built with CUDA 12.8"


def nvcc_that_fails(nvcc, monkeypatch):
    monkeypatch.setenv("PATH", str(nvcc.parent))
    nvcc.write_text("#!/bin/sh\nexit 3\n")
    return "13.0", "nvcc does not run"


@pytest.mark.parametrize(
    "situation",
    [
        torch_without_cuda,
        no_nvcc_on_the_path,
        no_nvcc_in_cuda_home,
        nvcc_of_another_cuda,
        nvcc_that_fails,
    ],
)
def test_unusable_toolkit(choose_toolkit, nvcc, monkeypatch, capsys, situation):
    torch_cuda, reason = situation(nvcc, monkeypatch)
    with pytest.raises(SystemExit, match=f"CNNOPS_CUDA=1 asks for CUDA, but .*{reason}"):
        choose_toolkit("1", torch_cuda)
    assert choose_toolkit(None, torch_cuda) is None
    assert re.search(f"building without CUDA, since .*{reason}", capsys.readouterr().err)


# The source distribution.


def test_sdist_holds_what_a_build_needs(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for folder in ("cnnops", "csrc", "tests"):
        ignored = shutil.ignore_patterns("*.so", "__pycache__")
        shutil.copytree(ROOT / folder, source / folder, ignore=ignored)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, source)
    code = f"from setuptools.build_meta import build_sdist; build_sdist({str(tmp_path)!r})"
    built = run_python(code, source, CNNOPS_CUDA="0")
    assert built.returncode == 0, built.stderr

    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        packed = {name.partition("/")[2] for name in tar.getnames()}
    needed = {"setup.py", "pyproject.toml", "README.md", "LICENSE"}
    for folder in ("cnnops", "csrc", "tests"):
        files = (path for path in (source / folder).rglob("*") if path.is_file())
        needed |= {str(path.relative_to(source)) for path in files}
    assert needed <= packed


# Loading.


def test_build_info_states_this_build():
    assert _build_info.torch_version == torch.__version__
    assert re.fullmatch(r"C\+\+2\d", _build_info.cxx_standard)
    assert (_build_info.cuda_version is None) == (_build_info.cuda_architectures == ())


def test_build_info_is_free_of_torch():
    code = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("_build_info", {_build_info.__file__!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(module.torch_version)
assert "torch" not in sys.modules and "libtorch" not in open("/proc/self/maps").read()
"""
    finished = run_python(code, ROOT)
    assert finished.stdout.strip() == torch.__version__, finished.stderr


def test_another_torch_is_refused_before_the_operators_load(tmp_path):
    code = """
import torch
torch.__version__ = "2.9.0+other"
torch.ops.load_library = lambda path: print("loaded")
import cnnops
"""
    finished = run_python(code, tmp_path)
    assert finished.returncode == 1 and finished.stdout == ""
    assert last_line(finished.stderr) == (
        f"ImportError: cnnops was built against torch {_build_info.torch_version}, found torch "
        "2.9.0+other; rebuild it with: pip install --no-build-isolation --force-reinstall "
        "--no-deps ."
    )


def test_a_package_that_is_not_built_says_so(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ImportError, match="cnnops in .*cnnops is not built; build it with: pip"):
        _library.check_torch_version()


def test_unknown_cpu_capability_is_refused_at_import(tmp_path):
    finished = run_python("import cnnops", tmp_path, CNNOPS_CPU_CAPABILITY="sse9")
    assert finished.returncode == 1
    message = last_line(finished.stderr)
    for name in ("CNNOPS_CPU_CAPABILITY", "sse9", "portable"):
        assert name in message


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
def test_operators_use_the_openmp_runtime_of_torch(tmp_path):
    code = """
import torch
def runtimes():
    lines = open("/proc/self/maps").read().splitlines()
    return {line.split()[-1] for line in lines if "libgomp" in line or "libomp" in line}
with_torch_alone = runtimes()
import cnnops
image = torch.ones(8, 16, 32, 32)
torch.ops.cnnops.avg_pool2d(image, [2, 2], [2, 2], [0, 0], False, True, None)
assert runtimes() == with_torch_alone, runtimes()
"""
    finished = run_python(code, tmp_path)
    assert finished.returncode == 0, finished.stderr
