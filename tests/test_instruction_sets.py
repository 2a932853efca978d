"""The core of the suite again, on every other instruction set this machine can be forced to.

The set is chosen once, at load, so each runs in a process of its own.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cnnops import flags  # noqa: F401  (loads the operators)

HERE = Path(__file__).parent
CORE = [
    "test_worked_examples.py",
    "test_conv2d.py",
    "test_conv_transpose2d.py",
    "test_max_pool2d.py",
    "test_avg_pool2d.py",
    "test_lp_pool2d.py",
    "test_half_types.py",
    "test_properties.py",
    "test_reproducibility.py",
]
IN_USE = torch.ops.cnnops._cpu_capability()
OTHERS = [name for name in torch.ops.cnnops._cpu_capabilities() if name != IN_USE]


def run(arguments, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | environment,
        cwd=HERE.parent,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("capability", OTHERS)
@pytest.mark.parametrize("file", CORE)
def test_core(file, capability):
    result = run(
        ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", HERE / file],
        CNNOPS_CPU_CAPABILITY=capability,
        CNNOPS_TEST_DEVICES="cpu",
        CNNOPS_HYPOTHESIS_PROFILE="quick",
        OMP_NUM_THREADS=str(torch.get_num_threads()),
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("capability", torch.ops.cnnops._cpu_capabilities())
def test_the_forced_one_is_used(capability):
    result = run(
        ["-c", "import cnnops, torch; print(torch.ops.cnnops._cpu_capability())"],
        CNNOPS_CPU_CAPABILITY=capability,
    )
    assert result.stdout.strip() == capability, result.stderr


def test_portable_can_always_be_forced():
    assert "portable" in torch.ops.cnnops._cpu_capabilities()
    assert IN_USE in torch.ops.cnnops._cpu_capabilities()


def test_unknown_name_is_an_error():
    result = run(["-c", "import cnnops"], CNNOPS_CPU_CAPABILITY="mmx")
    assert result.returncode != 0
    message = result.stderr.strip().splitlines()[-1]
    assert "CNNOPS_CPU_CAPABILITY" in message
    assert "mmx" in message
    assert "portable" in message
