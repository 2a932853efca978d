"""cnnops' own networks, and torchvision's through convert: both against the same on torch."""

import copy
import warnings

import pytest
import torch
import torchvision
from torch import nn

import cnnops
from cnnops import models
from cnnops.conversion import CNNOPS_MODULES, TWINS

OWN = {"lenet5": (1, 61_706), "resnet20": (3, 269_722), "plain8": (3, 436_458)}
# Side of the smallest square image that leaves every layer of the network something to do.
TORCHVISION = {"alexnet": 64, "vgg19": 64, "googlenet": 64, "resnet152": 64}

# Largest error allowed to an output and to a parameter's gradient, as a share of the largest
# magnitude in the same tensor. In float32 rounding errors, those of Winograd algorithms most of
# all, decide on which side of zero a few of a deep network's millions of rectifiers stand, which
# shows in the gradients of all layers before them; float64 has no such luck and shows that both
# networks compute the same function.
TOLERANCES = {torch.float32: (1e-4, 1e-1), torch.float64: (1e-9, 1e-9)}


def build(name, num_classes=10):
    torch.manual_seed(0)
    if name in OWN:
        return getattr(models, name)(OWN[name][0], num_classes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return getattr(torchvision.models, name)(weights=None, num_classes=num_classes)


def without_dropout(model):
    """Training mode in all but dropout, whose random numbers are not the kernels' business."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    return model


def run(model, input):
    """Every output, auxiliary ones included, and the gradient of every parameter under it."""
    model.zero_grad()
    outputs = model(input)
    outputs = [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)
    torch.manual_seed(1)
    sum((output * torch.randn_like(output)).sum() for output in outputs).backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return dict(enumerate(output.detach() for output in outputs)), gradients


def assert_near(actual, expected):
    """Both as :func:`run` returns them."""
    for part in (0, 1):
        assert actual[part].keys() == expected[part].keys()
        for name, value in expected[part].items():
            error = (actual[part][name] - value).abs().max()
            assert error <= TOLERANCES[value.dtype][part] * value.abs().max(), name


def kernels(model):
    """How many modules run on cnnops, and how many could but do not."""
    modules = list(model.modules())
    ours = sum(isinstance(module, CNNOPS_MODULES) for module in modules)
    return ours, sum(type(module) in TWINS for module in modules)


@pytest.mark.parametrize("name", OWN)
def test_own_network_is_made_of_own_modules(name):
    channels, parameters = OWN[name]
    model = build(name)
    assert kernels(model)[0] > 0 and kernels(model)[1] == 0
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert model(torch.randn(2, channels, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_own_network_equals_itself_on_torch(name, memory_format, device):
    model = build(name).to(device, memory_format=memory_format)
    input = torch.randn(4, OWN[name][0], 32, 32).to(device, memory_format=memory_format)
    state = copy.deepcopy(model.state_dict())
    actual = run(model, input)
    model.load_state_dict(state)
    cnnops.revert(model)
    assert kernels(model)[0] == 0
    assert_near(actual, run(model, input))


@pytest.mark.parametrize("name", OWN)
def test_own_network_takes_other_channels_and_classes(name):
    model = getattr(models, name)(in_channels=2, num_classes=7)
    assert model(torch.randn(3, 2, 32, 32)).shape == (3, 7)


def test_lenet5_has_the_layers_of_the_paper():
    model = models.lenet5()
    shapes = {}
    for name, module in model.named_children():
        module.register_forward_hook(
            lambda module, inputs, output, name=name: shapes.update({name: tuple(output.shape[1:])})
        )
    model(torch.zeros(1, 1, 32, 32))
    assert shapes == dict(
        c1=(6, 28, 28), s2=(6, 14, 14), c3=(16, 10, 10), s4=(16, 5, 5), c5=(120, 1, 1), f6=(84,),
        output=(10,),
    )  # fmt: skip
    sizes = {
        name: sum(p.numel() for p in module.parameters()) for name, module in model.named_children()
    }
    assert sizes == dict(c1=156, s2=0, c3=2_416, s4=0, c5=48_120, f6=10_164, output=850)


@pytest.mark.parametrize("shape", [(1, 1, 28, 28), (1, 32, 32)])
def test_lenet5_names_the_shape_it_expects(shape):
    with pytest.raises(ValueError, match=r"input expected shape \(N, C, 32, 32\), got"):
        models.lenet5()(torch.zeros(shape))


@pytest.mark.parametrize("name", ["resnet20", "plain8"])
@pytest.mark.parametrize("size", [8, 33, 48])
def test_cifar_networks_take_other_sizes(name, size):
    assert build(name)(torch.randn(2, 3, size, size)).shape == (2, 10)


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_network_equals_torch(name, device):
    size = TORCHVISION[name]
    model = build(name).to(device).eval()
    input = torch.randn(2, 3, size, size).to(device)
    expected = run(model, input)
    cnnops.convert(model)
    assert kernels(model)[0] > 0 and kernels(model)[1] == 0
    assert_near(run(model, input), expected)


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_network_in_training_equals_torch(name, device):
    """Batch statistics, and GoogLeNet's auxiliary classifiers."""
    size = TORCHVISION[name]
    model = without_dropout(build(name).to(device).double())
    input = torch.randn(2, 3, size, size, dtype=torch.float64).to(device)
    state = copy.deepcopy(model.state_dict())
    expected = run(model, input)
    model.load_state_dict(state)
    actual = run(cnnops.convert(model), input)
    assert actual[1].keys() == dict(model.named_parameters()).keys()
    assert_near(actual, expected)


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_state_dicts_load_both_ways(name):
    """From torch's network into the converted one and back, names and values unchanged."""
    model, converted = build(name), cnnops.convert(build(name))
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(2)
    converted.load_state_dict(model.state_dict(), strict=True)
    state = converted.state_dict()
    assert list(state) == list(model.state_dict())
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
    model.load_state_dict(state, strict=True)
    pairs = zip(model.state_dict().values(), converted.state_dict().values())
    assert all(torch.equal(first, second) for first, second in pairs)


def test_transfer_learning_trains_only_the_new_head(device):
    """A frozen ResNet-18 with a new head, converted: one step moves the head and nothing else."""
    torch.manual_seed(0)
    model = torchvision.models.resnet18(weights=None)
    for p in model.parameters():
        p.requires_grad_(False)
    model.fc = nn.Linear(model.fc.in_features, 5)
    cnnops.convert(model.to(device)).eval()
    before = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=1e-3)
    input, labels = torch.randn(4, 3, 64, 64).to(device), torch.arange(4).to(device)
    loss = nn.functional.cross_entropy(model(input), labels)
    loss.backward()
    optimizer.step()
    moved = {name for name, value in model.state_dict().items() if not value.equal(before[name])}
    assert moved == {"fc.weight", "fc.bias"}
    assert nn.functional.cross_entropy(model(input), labels) < loss
