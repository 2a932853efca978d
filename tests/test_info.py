"""python -m cnnops.info."""

import json
import subprocess
import sys

import torch

from cnnops import _build_info
from cnnops import info as info_module


def test_info_agrees_with_the_build_and_the_operators():
    facts = info_module.info()
    assert facts["versions"]["torch"] == facts["build"]["torch"] == torch.__version__
    assert facts["versions"]["cnnops"] == _build_info.version
    assert facts["cpu"]["capability"] in facts["cpu"]["available"]
    assert facts["cpu"]["threads"] == torch.get_num_threads()
    assert facts["conv2d_algorithms"] == torch.ops.cnnops._conv2d_algorithms()
    assert (facts["cuda"] is None) == (_build_info.cuda_version is None)


def test_a_machine_without_gpu_has_no_cuda_devices_and_says_why():
    cuda = info_module.cuda()
    if cuda is not None:
        assert bool(cuda["devices"]) == (cuda["problem"] == "")
        assert cuda["architectures"] == list(_build_info.cuda_architectures)


def test_text_has_a_line_for_each_fact(capsys):
    info_module.main([])
    lines = capsys.readouterr().out.splitlines()
    assert f"versions torch       {torch.__version__}" in lines
    assert any(line.startswith("cpu capability") for line in lines)
    assert any(line.startswith("conv2d_algorithms") for line in lines)


def test_json_from_the_command_line(tmp_path):
    command = [sys.executable, "-m", "cnnops.info", "--json"]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    facts = json.loads(printed.stdout)
    assert facts["build"] == info_module.info()["build"]
