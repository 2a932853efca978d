"""convert and revert move modules between torch and cnnops and leave all else as it was."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, weight_norm

import cnnops
from cnnops.conversion import CNNOPS_MODULES, TWINS


class OwnConv(nn.Conv2d):
    def forward(self, input):
        return -super().forward(input)


class Nested(nn.Module):
    """Every supported module, one of them twice, among unsupported ones."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect"), nn.BatchNorm2d(8), nn.ReLU()
        )
        self.branches = nn.ModuleDict(
            {"max": nn.MaxPool2d(3, 2, 1), "avg": nn.AvgPool2d(3, 2, 1), "lp": nn.LPPool2d(2, 2)}
        )
        self.shared = nn.Conv2d(8, 8, 3, padding="same", groups=8)
        self.again = nn.Sequential(self.shared)
        self.own = OwnConv(8, 8, 1)
        self.up = nn.ConvTranspose2d(8, 4, 2, 2)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))

    def forward(self, input):
        out = self.stem(input)
        out = self.branches["max"](out) + self.branches["avg"](out) + self.branches["lp"](out)
        return self.head(self.up(self.own(self.again(self.shared(out)))))


INPUT_SHAPE = (2, 3, 12, 12)


def kinds(model):
    return {name: type(module) for name, module in model.named_modules()}


def gradients(model, input):
    model.zero_grad()
    torch.manual_seed(3)
    model(input).square().mean().backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def test_converts_what_is_supported_and_reverts_it():
    model = Nested()
    before = kinds(model)
    names, parameters = repr(model), dict(model.named_parameters())
    modules = list(model.modules())
    assert cnnops.convert(model) is model
    assert kinds(model) == {name: TWINS.get(kind, kind) for name, kind in before.items()}
    assert list(map(id, model.modules())) == list(map(id, modules))
    assert repr(model) == names
    assert all(p is parameters[name] for name, p in model.named_parameters())
    assert model.again[0] is model.shared
    assert cnnops.revert(model) is model
    assert kinds(model) == before


def test_is_idempotent():
    model = cnnops.convert(cnnops.convert(Nested()))
    converted = kinds(model)
    assert kinds(cnnops.convert(cnnops.revert(cnnops.revert(model)))) == converted


def test_results_and_gradients_stay(device):
    torch.manual_seed(0)
    model, input = Nested().double(), torch.randn(INPUT_SHAPE, dtype=torch.float64)
    model, input = model.to(device), input.to(device)
    output, expected = model(input), gradients(model, input)
    cnnops.convert(model)
    torch.testing.assert_close(model(input), output)
    torch.testing.assert_close(gradients(model, input), expected)


def test_the_model_itself():
    for original in (nn.Conv2d(3, 2, 3), nn.MaxPool2d(2)):
        kind = type(original)
        assert cnnops.convert(original) is original and type(original) is TWINS[kind]
        assert cnnops.revert(original) is original and type(original) is kind


def test_keeps_hooks_and_modes(device):
    model, heard = Nested().to(device), []
    conv = model.shared
    conv.register_forward_pre_hook(lambda *_: heard.append("pre"))
    conv.register_forward_hook(lambda *_: heard.append("forward"))
    conv.register_full_backward_hook(lambda *_: heard.append("backward"))
    conv.register_state_dict_post_hook(lambda *_: heard.append("state_dict"))
    conv.register_load_state_dict_post_hook(lambda *_: heard.append("load"))
    conv.eval()
    conv.weight.requires_grad_(False)
    for change in (cnnops.convert, cnnops.revert):
        heard.clear()
        change(model)
        assert not conv.training and model.training and not conv.weight.requires_grad
        model(torch.randn(INPUT_SHAPE, device=device)).sum().backward()
        model.load_state_dict(model.state_dict())
        assert (
            heard == ["pre", "forward"] * 2 + ["backward"] * 2 + ["state_dict"] * 2 + ["load"] * 2
        )


def test_state_dict_and_optimizer_stay():
    model = Nested()
    state = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    cnnops.convert(model)
    assert list(model.state_dict()) == list(state)
    assert all(torch.equal(model.state_dict()[name], state[name]) for name in state)
    model(torch.randn(INPUT_SHAPE)).sum().backward()
    optimizer.step()
    assert not torch.equal(model.stem[0].weight, state["stem.0.weight"])
    Nested().load_state_dict(model.state_dict())
    model.load_state_dict(state)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_converted_models_duplicate(duplicate, device):
    model = cnnops.convert(Nested().to(device)).eval()
    again = duplicate(model)
    assert kinds(again) == kinds(model)
    input = torch.randn(INPUT_SHAPE, device=device)
    assert torch.equal(again(input), model(input))
    assert not any(isinstance(m, CNNOPS_MODULES) for m in cnnops.revert(again).modules())
    assert isinstance(model.shared, cnnops.Conv2d)


def test_revert_gives_torch_modules_for_our_own():
    model = nn.Sequential(
        cnnops.Conv2d(3, 4, 3, padding="same"), cnnops.AvgPool2d(2), cnnops.LPPool2d(2, 2)
    )
    expected = model(torch.ones(1, 3, 12, 12))
    cnnops.revert(model)
    assert [type(m) for m in model] == [nn.Conv2d, nn.AvgPool2d, nn.LPPool2d]
    torch.testing.assert_close(model(torch.ones(1, 3, 12, 12)), expected)


@pytest.mark.parametrize(
    "module",
    [
        cnnops.L2Pool2d(2),
        cnnops.Conv2d(3, 4, 3, padding="full"),
        cnnops.Conv2d(3, 4, 3, padding="same", stride=2),
    ],
)
def test_revert_keeps_what_torch_does_not_have(module):
    kind = type(module)
    cnnops.revert(module)
    assert type(module) is kind


def test_strided_valid_padding_reverts():
    assert type(cnnops.revert(cnnops.Conv2d(3, 4, 3, padding="valid", stride=2))) is nn.Conv2d


def forward_replaced():
    module = nn.MaxPool2d(2)
    module.forward = lambda input: input
    return module


@pytest.mark.parametrize(
    "module",
    [
        OwnConv(3, 4, 3),
        nn.LazyConv2d(4, 3),
        nn.Conv2d(3, 4, 3, dtype=torch.complex64),
        nn.Conv1d(3, 4, 3),
        nn.ConvTranspose1d(3, 4, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.AdaptiveMaxPool2d(1),
        nn.FractionalMaxPool2d(2, 1),
        nn.MaxUnpool2d(2),
        parametrizations.weight_norm(nn.Conv2d(3, 4, 3)),
        forward_replaced(),
    ],
    ids=lambda module: type(module).__name__,
)
def test_unsupported_modules_stay(module):
    kind = type(module)
    assert type(cnnops.convert(module)) is kind


def test_lazy_modules_convert_once_they_have_parameters():
    module = nn.LazyConv2d(4, 3)
    module(torch.zeros(1, 3, 5, 5))
    assert type(cnnops.convert(module)) is cnnops.Conv2d


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_weights_computed_by_a_hook():
    module = weight_norm(nn.Conv2d(3, 4, 3))
    input = torch.randn(1, 3, 6, 6)
    expected = module(input)
    assert type(cnnops.convert(module)) is cnnops.Conv2d
    torch.testing.assert_close(module(input), expected)


def test_parametrizing_a_converted_module():
    module = cnnops.convert(nn.Conv2d(3, 4, 3))
    input = torch.randn(1, 3, 6, 6)
    expected = module(input)
    parametrizations.weight_norm(module)
    assert isinstance(cnnops.revert(module), cnnops.Conv2d)
    torch.testing.assert_close(module(input), expected)
    nn.utils.parametrize.remove_parametrizations(module, "weight")
    assert type(cnnops.revert(module)) is nn.Conv2d


def test_device_without_kernels(monkeypatch):
    """Meta stands for such a device; modules without parameters are on none."""
    monkeypatch.setattr("cnnops.conversion.has_kernels", lambda device: device == "cpu")
    model = nn.Sequential(nn.Conv2d(3, 4, 3, device="meta"), nn.Conv2d(4, 4, 3), nn.MaxPool2d(2))
    cnnops.convert(model)
    assert [type(m) for m in model] == [nn.Conv2d, cnnops.Conv2d, cnnops.MaxPool2d]
    assert cnnops.explain(model).layers[0].note == "cnnops has no kernels for meta yet"


def test_meta_models_convert():
    module = cnnops.convert(nn.Conv2d(3, 4, 3, device="meta"))
    assert type(module) is cnnops.Conv2d
    assert module(torch.zeros(1, 3, 6, 6, device="meta")).shape == (1, 4, 4, 4)


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_a_frozen_trace_stays():
    traced = torch.jit.trace(nn.Conv2d(3, 4, 3), torch.zeros(1, 3, 6, 6))
    assert cnnops.convert(traced) is traced


def test_symbolic_trace():
    torch.manual_seed(0)
    model = cnnops.convert(
        nn.Sequential(
            nn.Conv2d(3, 4, 3, padding="same"),
            nn.MaxPool2d(2, 1),
            nn.AvgPool2d(2, 1),
            nn.LPPool2d(2, 2, 1),
            nn.ConvTranspose2d(4, 2, 2, stride=2),
            cnnops.L2Pool2d(2),
        )
    )
    traced = torch.fx.symbolic_trace(model)
    targets = [node.target for node in traced.graph.nodes if node.op == "call_function"]
    names = ("conv2d", "max_pool2d", "avg_pool2d", "lp_pool2d", "conv_transpose2d", "l2_pool2d")
    assert targets == [getattr(cnnops.functional, name) for name in names]
    input = torch.randn(2, 3, 8, 8)
    assert torch.equal(traced(input), model(input))


def test_feature_extraction():
    models = pytest.importorskip("torchvision.models")
    from torchvision.models.feature_extraction import create_feature_extractor

    torch.manual_seed(0)
    model, input = models.resnet18(num_classes=10).eval(), torch.randn(1, 3, 64, 64)
    nodes = ["layer1", "layer4", "fc"]
    expected = create_feature_extractor(model, nodes)(input)
    actual = create_feature_extractor(cnnops.convert(model), nodes)(input)
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("function", [cnnops.convert, cnnops.revert])
def test_no_module(function):
    text = f"{function.__name__}: model must be a torch.nn.Module, got list"
    with pytest.raises(TypeError, match=text):
        function([nn.Conv2d(3, 4, 3)])


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_torchvision(name):
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    model = getattr(models, name)(num_classes=10).eval()
    state = copy.deepcopy(model.state_dict())
    input = torch.randn(2, 3, 64, 64)
    before, output, expected = kinds(model), model(input), gradients(model, input)
    cnnops.convert(model)
    layers = {name for name, kind in before.items() if kind in TWINS}
    assert layers == {n for n, m in model.named_modules() if isinstance(m, CNNOPS_MODULES)}
    torch.testing.assert_close(model(input), output, atol=1e-4, rtol=1e-4)
    actual = gradients(model, input)
    for key, gradient in expected.items():
        error = (actual[key] - gradient).abs().max()
        assert error <= 1e-4 * gradient.abs().max() + 1e-7, key
    cnnops.revert(model)
    assert kinds(model) == before
    assert all(torch.equal(model.state_dict()[key], value) for key, value in state.items())
