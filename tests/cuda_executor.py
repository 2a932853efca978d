"""Runs launch plans of the CUDA kernels in the PTX interpreter, on copies of CPU tensors."""

import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from ptx import Device, compile_ptx

KERNELS = Path(__file__).parent.parent / "csrc" / "cuda"
# Compute capabilities whose kernels differ, or copy in another way.
TARGETS = {75: "sm_75", 80: "sm_80", 90: "sm_90"}
CAPABILITIES = list(TARGETS)

needs_nvcc = pytest.mark.skipif(
    shutil.which("nvcc") is None, reason="nvcc is not on PATH: the kernels cannot be compiled"
)


@cache
def kernel_named(name, capability):
    """The compiled kernel a launch names, from the source file that instantiates it."""
    instance = f"&{name}".replace(" ", "")
    for source in sorted(KERNELS.glob("*.cu")):
        text = "".join(source.read_text().split())
        if any(instance + end in text for end in ",>"):
            return compile_ptx(source, TARGETS[capability]).kernel(name)
    raise LookupError(f"no file of csrc/cuda instantiates {name}")


class Gpu:
    """The memory of one simulated GPU, and the launches that ran on it."""

    def __init__(self, capability, order="lockstep", seed=0):
        self.capability = capability
        self.order = order
        self.seed = seed
        self.device = Device()
        self.stats = []

    def upload(self, name, tensor):
        """Copies the memory of a tensor; returns the address of its first element."""
        bytes_ = _storage_bytes(tensor)
        buffer = self.device.buffer(name, bytes_)
        return buffer.address + tensor.storage_offset() * tensor.element_size()

    def allocate(self, name, tensor):
        """Uninitialised memory for a dense tensor."""
        return self.device.buffer(name, tensor.numel() * tensor.element_size(), writable=True)

    def run(self, plan):
        """Runs plan(workspace address), a LaunchList, with a workspace of the size it asks for."""
        workspace_bytes = plan(0)[3]
        workspace = 0
        if workspace_bytes:
            workspace = self.device.buffer("workspace", workspace_bytes, writable=True).address
        kernels, sizes, parameters, _ = plan(workspace)
        for i, name in enumerate(kernels):
            blocks, threads, shared_bytes = sizes[3 * i : 3 * i + 3]
            self.stats.append(
                self.device.launch(
                    kernel_named(name, self.capability),
                    grid=(blocks, 1, 1),
                    block=threads,
                    shared_bytes=shared_bytes,
                    arguments=parameters[i].numpy().tobytes(),
                    order=self.order,
                    seed=self.seed,
                )
            )


def _storage_bytes(tensor):
    return torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage()).numpy()


def download(buffer, like):
    """The wholly written contents of a buffer as a tensor with the layout of `like`."""
    assert buffer.unwritten() == 0, f"{buffer.unwritten()} bytes of the result were not written"
    result = torch.empty_strided(like.size(), like.stride(), dtype=like.dtype)
    _storage_bytes(result)[:] = buffer.array(np.uint8)
    return result


def conv2d_pass(
    gpu,
    which,
    case,
    tensors,
    memory_format=torch.contiguous_format,
    allow_tf32=False,
    addresses=(),
):
    """Runs one pass of a ConvCase; tensors are input, weight, bias and grad_output.

    The result is in memory_format, what a pass reads as it is. addresses names those of the first
    tensors that are in the memory of the GPU already.
    """
    views = {
        "input": tensors["input"],
        "weight": tensors["weight"],
        "output": tensors["grad_output"],
    }
    role = {"forward": "output", "input_grad": "input", "weight_grad": "weight"}[which]
    dense = torch.contiguous_format if role == "weight" else memory_format
    views[role] = torch.empty(views[role].shape, dtype=views[role].dtype, memory_format=dense)
    result = gpu.allocate("result", views[role])
    places = dict(zip(views, addresses)) | {role: result.address}
    for name, view in views.items():
        if name not in places:
            places[name] = gpu.upload(name, view)
    bias = gpu.upload("bias", tensors["bias"]) if which == "forward" else 0

    def plan(workspace):
        return torch.ops.cnnops._cuda_conv2d_launches(
            which,
            *views.values(),
            [*(places[name] for name in views), bias],
            *case.options,
            allow_tf32,
            gpu.capability,
            workspace,
        )

    gpu.run(plan)
    return download(result, views[role])


def bias_grad(gpu, grad_output):
    """Runs conv2d_bias_grad."""
    result = torch.empty(grad_output.size(1), dtype=grad_output.dtype)
    buffer = gpu.allocate("result", result)
    addresses = [gpu.upload("grad_output", grad_output), buffer.address]

    def plan(workspace):
        return torch.ops.cnnops._cuda_bias_grad_launches(grad_output, addresses, workspace)

    gpu.run(plan)
    return download(buffer, result)
