"""torch.compile takes the operators whole: no graph break, static and dynamic shapes."""

import pytest
import torch

import cnnops
from cases import data

functional = cnnops.functional


def network(x, w, b):
    x = functional.conv2d(x, w, b, stride=1, padding=1)
    x = functional.max_pool2d(x, 3, 2, 1)
    x = functional.avg_pool2d(x, 2, 1)
    return functional.l2_pool2d(x, 2, 2)


@pytest.mark.parametrize("dynamic", [False, True])
def test_forward_and_gradients(dynamic, device):
    torch._dynamo.reset()
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    w, b = (data(*s).to(device).requires_grad_() for s in ((4, 3, 3, 3), (4,)))
    for size in ((2, 3, 12, 14), (3, 3, 15, 13)):
        x = data(*size).to(device).requires_grad_()
        outputs = [f(x, w, b) for f in (network, compiled)]
        torch.testing.assert_close(*outputs, rtol=0, atol=0)
        gradients = [torch.autograd.grad(y.square().sum(), (x, w, b)) for y in outputs]
        torch.testing.assert_close(*gradients, rtol=0, atol=0)


def test_transposed_convolution(device):
    torch._dynamo.reset()
    compiled = torch.compile(functional.conv_transpose2d, backend="aot_eager", fullgraph=True)
    x, w = data(2, 3, 5, 5).to(device), data(3, 4, 3, 3).to(device)
    torch.testing.assert_close(
        compiled(x, w, stride=2), functional.conv_transpose2d(x, w, stride=2), rtol=0, atol=0
    )
