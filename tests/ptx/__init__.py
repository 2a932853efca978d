"""An interpreter of PTX, the assembly that nvcc emits: runs kernels, catches mistakes, counts.

module = compile_ptx(Path("csrc/cuda/x.cu"), "sm_80")
device = Device()
x = device.buffer("x", array)
y = device.buffer("y", 4096, writable=True)
stats = device.launch(module.kernel("f"), grid=8, block=128, arguments=...)
"""

from .compiler import compile_ptx, nvcc
from .device import Device
from .fault import KINDS, Fault
from .module import Module
