"""The speed benchmarks: their shapes, options, files and tables. Nothing here asserts a time."""

import argparse
import copy
import dataclasses
import itertools
import os
import shlex
import subprocess
import sys

import pytest
import torch
import torchvision

from benchmarks import (
    checks,
    command_line,
    conv2d,
    denormals,
    goals,
    gpu_report,
    machine,
    malloc,
    movement,
    network,
    pool2d,
    products,
    report,
    results,
    runner,
    shapes,
    tiny,
)
from benchmarks.hollow import hollow
from benchmarks.networks import NETWORKS, walk
from benchmarks.results import Row, Run
from benchmarks.runner import Setting

ROW = Row(
    benchmark="conv2d",
    name="net 8->8 3x3 @9 (x1)",
    kind="3x3 stride 1",
    which="forward",
    dtype="float32",
    memory_format="contiguous",
    tf32="",
    threads=2,
    malloc="warm",
    batch=4,
    seconds=0.5,
    torch_seconds=2.0,
    work=1e9,
    unit="GFLOP/s",
    peak=4.0,
)
FACTS = dict(machine="a machine", versions="torch", command="a command", date="today", load="0.1")

BENCHMARKS = {
    conv2d: "resnet20 64->64",
    products: "resnet20 64->64",
    pool2d: "plain8 128 2x2/2",
    movement: "plain8 128 2x2/2",
    network: "lenet5",
    tiny: "layer 1",
    denormals: "ordinary",
}


def row(**changes):
    return dataclasses.replace(ROW, **changes)


@pytest.fixture(autouse=True)
def same_threads():
    """The benchmarks set the number of threads."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def quick(monkeypatch):
    """Peaks that take no time."""
    monkeypatch.setattr(runner, "measure_peak", lambda dtype, device: machine.Peak(1.0, 1.0))


# Shapes.


def test_layers_of_vgg19_are_those_of_the_paper():
    names = [shape.name for shape in shapes.conv_shapes() if shape.name.startswith("vgg19")]
    assert names == [
        "vgg19 3->64 3x3 @224 (x1)",
        "vgg19 64->64 3x3 @224 (x1)",
        "vgg19 64->128 3x3 @112 (x1)",
        "vgg19 128->128 3x3 @112 (x1)",
        "vgg19 128->256 3x3 @56 (x1)",
        "vgg19 256->256 3x3 @56 (x3)",
        "vgg19 256->512 3x3 @28 (x1)",
        "vgg19 512->512 3x3 @28 (x3)",
        "vgg19 512->512 3x3 @14 (x4)",
    ]


def multiplicity(shape):
    return int(shape.name.rsplit("(x", 1)[1].rstrip(")"))


def test_every_layer_of_the_networks_is_counted_once():
    layers = [layer for net in NETWORKS.values() for layer in walk(net)]
    convs = [layer for layer in layers if isinstance(layer.module, torch.nn.Conv2d)]
    extra = ("lenet5 on CIFAR", "GoogLeNet's paper", "mobilenet_v2")
    counted = [s for s in shapes.conv_shapes() if not s.name.startswith(extra)]
    assert sum(map(multiplicity, counted)) == len(convs)
    assert sum(map(multiplicity, shapes.pool_shapes())) == len(layers) - len(convs)


@pytest.mark.parametrize("find", [shapes.conv_shapes, shapes.pool_shapes])
def test_shapes_have_names_of_their_own_and_the_largest_batch_within_the_limits(find):
    found = find()
    assert len({shape.name for shape in found}) == len(found)
    for shape in found:
        assert 1 <= shape.batch <= shapes.MOST_IMAGES
        assert shapes.sized(shape) == shape
        work = shape.flops_of_image / shapes.MOST_FLOPS, shape.bytes_of_image / shapes.MOST_BYTES
        assert shape.batch == 1 or shape.batch * max(work) <= 1
        assert shape.batch == shapes.MOST_IMAGES or 2 * shape.batch * max(work) > 1


def test_sizes_of_outputs_are_those_of_the_layers():
    for layer in walk(NETWORKS["googlenet"]):
        make = shapes.conv_shape if isinstance(layer.module, torch.nn.Conv2d) else shapes._with_pool
        shape = make("googlenet", layer)
        assert shape.output_size == layer.output_size[2] == layer.output_size[3]


def test_sizes_of_pools_are_torchs():
    for size, kernel, stride, padding in itertools.product(
        range(4, 9), (2, 3), range(1, 5), (0, 1)
    ):
        for ceil_mode in (False, True):
            shape = shapes.PoolShape("", 1, 1, size, kernel, stride, padding, ceil_mode)
            x = torch.empty(1, size, size, device="meta")
            pooled = torch.nn.functional.max_pool2d(x, *shape[4:7], ceil_mode=ceil_mode)
            assert shape.output_size == pooled.shape[1], shape


def test_flops_are_those_that_torch_counts():
    from torch.utils.flop_counter import FlopCounterMode

    net = NETWORKS["alexnet"]
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        torchvision.models.alexnet().features(torch.empty(1, 3, 224, 224))
    assert network.convolution_flops(net) == counter.get_total_flops()
    of_layers = sum(
        shapes.conv_shape("alexnet", layer).flops_of_image
        for layer in walk(net)
        if isinstance(layer.module, torch.nn.Conv2d)
    )
    assert of_layers == counter.get_total_flops()


def test_least_flops_of_a_step():
    """LeNet-5: all convolutions are 5x5, the first has no input gradient."""
    first, second, third = 6 * 28**2 * 25, 16 * 10**2 * 6 * 25, 120 * 16 * 25
    expected = 2 * (2 * first + 3 * second + 3 * third) * 64 / 400
    assert network.least_flops_of_step(NETWORKS["lenet5"]) == pytest.approx(expected)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_hollow_network_gives_zeros_of_the_same_sizes_and_formats(memory_format):
    layers = [
        torch.nn.Conv2d(3, 8, 3, stride=2, padding=1),
        torch.nn.MaxPool2d(3, 2, ceil_mode=True),
        torch.nn.Conv2d(8, 4, 5, bias=False),
        torch.nn.AvgPool2d(2),
    ]
    real = torch.nn.Sequential(*layers).to(memory_format=memory_format)
    zeros = hollow(copy.deepcopy(real))
    seen = {real: [], zeros: []}
    images = torch.rand(2, 3, 32, 32).to(memory_format=memory_format).requires_grad_()
    for net, found in seen.items():
        x = images
        for layer in net:
            x = layer(x)
            found.append(x)
        found += torch.autograd.grad(x.sum(), [images, *net.parameters()])
    assert len(seen[real]) == len(seen[zeros])
    for expected, found in zip(seen[real], seen[zeros], strict=True):
        assert found.shape == expected.shape and found.stride() == expected.stride()
        assert expected.any() and not found.any()


def test_every_case_has_a_goal_and_every_goal_has_cases():
    of_cases = {(shape.kind, which) for shape in shapes.conv_shapes() for which in conv2d.PASSES}
    pools = pool2d.problems(shapes.pool_shapes())
    of_cases |= {(problem.kind, which) for problem in pools for which in pool2d.PASSES}
    of_cases |= {(problem.kind, which) for problem in tiny.problems(1) for which in tiny.PASSES}
    of_cases |= {("network", "step")}
    assert of_cases == {(goal.kind, goal.which) for goal in goals.GOALS}


# Options.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--passes", "sideways"], "invalid choice: 'sideways'"),
        (["--dtypes", "int8"], "invalid choice: 'int8'"),
        (["--threads", "0"], "must be at least 1, got 0"),
        (["--tf32", "on"], "--tf32 is for --device cuda"),
        (["--device", "tpu"], "--device must be cpu, cuda or cuda:<n>, got 'tpu'"),
        (["--device", "cuda", "--threads", "1"], "--threads and --malloc are for --device cpu"),
        (
            ["--device", "cuda", "--tf32", "on", "--dtypes", "float16"],
            "--tf32 is for --dtypes float32",
        ),
    ],
)
def test_impossible_options_are_refused(arguments, message, capsys):
    with pytest.raises(SystemExit):
        command_line.parse("", conv2d.PASSES, arguments)
    assert message in capsys.readouterr().err


def test_lists_take_several_values():
    text = "--threads 1 2 --dtypes bfloat16 float16 --passes forward --filter a 'b c'"
    options = command_line.parse("", conv2d.PASSES, shlex.split(text))
    assert (options.threads, options.dtypes) == ([1, 2], ["bfloat16", "float16"])
    assert (options.passes, options.filter) == (["forward"], ["a", "b c"])
    assert options.formats == ["contiguous", "channels_last"]


def test_filter_looks_at_names_and_kinds():
    shape = next(shape for shape in shapes.conv_shapes() if shape.kind == "depthwise 3x3")
    for texts, expected in ([], True), (["vgg", "mobilenet"], True), (["3x3 stride"], False):
        assert runner.chosen(argparse.Namespace(filter=texts), shape) == expected
    assert runner.chosen(argparse.Namespace(filter=["depthwise"]), shape)


def test_a_filter_that_nothing_passes_is_an_error():
    with pytest.raises(SystemExit, match="--filter: no case of conv2d holds nonsense"):
        conv2d.main(["--filter", "nonsense"])


@pytest.mark.parametrize("wanted", ["warm", "default"])
def test_malloc_starts_the_process_again_with_its_environment(wanted):
    other = {"warm": "default", "default": "warm"}[wanted]
    code = (
        "from benchmarks import malloc; "
        f"malloc.ensure({wanted!r}); print(malloc.setting(), malloc.setting())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=malloc.environment(other),
        cwd=report.__file__.rsplit("/", 2)[0],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == [wanted, wanted]


def test_environments_differ_in_malloc_alone():
    warm, default = malloc.environment("warm"), malloc.environment("default")
    assert warm == default | malloc.WARM
    assert default.items() <= os.environ.items()


# Verification.


def test_a_wrong_result_is_refused():
    expected = torch.ones(4, dtype=torch.float64)
    allowed = checks.tolerance(torch.float32)
    checks.require_close("case", torch.ones(4), expected, allowed)
    for wrong in (torch.tensor([1, 1, 1, 1.01]), torch.full((4,), torch.nan)):
        with pytest.raises(SystemExit, match="case: the worst error is"):
            checks.require_close("case", wrong, expected, allowed)
    with pytest.raises(SystemExit, match=r"expected the shape \(4,\), got \(1,\)"):
        checks.require_close("case", torch.ones(1), expected, allowed)


def _scaled(functions, x, s):
    pooled = functions.max_pool2d(x, s.kernel, s.stride)
    return pooled * 1.001 if functions is pool2d.ours else pooled


def test_cases_notice_a_wrong_kernel(monkeypatch):
    setting = Setting("float32", "contiguous")
    shape = shapes.ConvShape("conv", 1, 4, 4, 6, 3, padding=1, has_bias=True)
    for which in conv2d.PASSES:
        case = conv2d.Case(shape, setting)
        case.verify(which)
        ours = getattr(case, which)
        monkeypatch.setattr(case, which, lambda ours=ours: _with_an_error(ours()))
        with pytest.raises(SystemExit, match=f"conv {which}: the worst error"):
            case.verify(which)
    window = shapes.PoolShape("pool", 1, 4, 6, 2, 2)
    problem = pool2d.Problem("pool", "", pool2d.Operator(_scaled), window)
    for which in pool2d.PASSES:
        with pytest.raises(SystemExit, match=f"pool {which}: the worst error"):
            pool2d.Case(problem, setting).verify(which)


def _with_an_error(result):
    if isinstance(result, tuple):
        return result[0], _with_an_error(result[1])
    result.flatten()[-1] += 0.1
    return result


# Runs.


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda module: module.__name__)
def test_a_run_from_options_to_files(benchmark, tmp_path, quick, capsys):
    saved, picture = tmp_path / "saved.json", tmp_path / "picture.png"
    arguments = [
        *("--filter", BENCHMARKS[benchmark], "--batch", "1", "--seconds", "0", "--threads", "1"),
        *("--save", str(saved)),
    ]
    run = benchmark.main(arguments)
    assert run.rows and results.load(saved) == run
    assert {row.which for row in run.rows} == set(
        benchmark.PASSES if hasattr(benchmark, "PASSES") else conv2d.PASSES
    )
    assert {row.memory_format for row in run.rows} == {"contiguous", "channels_last"}
    assert all(row.batch == 1 and row.seconds > 0 and row.work > 0 for row in run.rows)
    assert run.facts["machine"] in capsys.readouterr().out
    again = [*arguments, "--compare", str(saved), "--plot", str(picture)]
    benchmark.main(again)
    printed = capsys.readouterr().out
    assert "before" in printed and "change" in printed and f"{run.rows[0].ratio:.2f}" in printed
    assert picture.stat().st_size > 10_000


def test_half_types_and_threads_have_columns(quick, capsys):
    text = "--filter 'resnet20 64' --passes forward --dtypes float32 bfloat16 --threads 1 2"
    run = conv2d.main(shlex.split(f"{text} --seconds 0 --batch 1"))
    header = next(line for line in capsys.readouterr().out.splitlines() if "ratio" in line)
    assert "dtype" in header and "threads" in header
    assert {(row.dtype, row.threads) for row in run.rows} == {
        (dtype, threads) for dtype in ("float32", "bfloat16") for threads in (1, 2)
    }


def test_pictures_of_several_settings_have_their_names(tmp_path):
    from benchmarks.plot import plot

    rows = [row(threads=1), row(threads=2), row(threads=2, memory_format="channels_last")]
    written = plot(Run(FACTS, rows), tmp_path / "picture.png")
    assert [path.name for path in written] == [
        "picture-float32-1-thread-warm-malloc.png",
        "picture-float32-2-threads-warm-malloc.png",
    ]


def test_peak_of_this_machine():
    peak = machine.measure_peak(torch.float32, "cpu")
    assert peak.gflops > 0 and peak.gbytes > 0


def test_multiply_adds_count_those_of_all_threads():
    for dtype in (torch.float32, torch.float64):
        torch.set_num_threads(1)
        alone = torch.ops.cnnops._multiply_adds(dtype, 100)
        torch.set_num_threads(2)
        assert torch.ops.cnnops._multiply_adds(dtype, 100) == 2 * alone > 0
    with pytest.raises(RuntimeError, match="dtype must be float32 or float64, got"):
        torch.ops.cnnops._multiply_adds(torch.bfloat16, 1)
    with pytest.raises(RuntimeError, match="rounds must be at least 0, got -1"):
        torch.ops.cnnops._multiply_adds(torch.float32, -1)


# Files.


def test_results_survive_their_file(tmp_path):
    run = Run(FACTS, [row(), row(which="input_grad")])
    path = tmp_path / "new" / "results.json"
    run.save(path)
    assert results.load(path) == run
    assert len(path.read_text().splitlines()) == 11


def test_a_file_that_is_no_result_is_named(tmp_path):
    path = tmp_path / "other.json"
    with pytest.raises(SystemExit, match="other.json: No such file"):
        results.load(path)
    for text in ("{", "[]", '{"facts": {}, "rows": [{}]}'):
        path.write_text(text)
        with pytest.raises(SystemExit, match="other.json: is no result of these benchmarks"):
            results.load(path)


def test_figures_of_a_row():
    assert (ROW.ratio, ROW.rate, ROW.fraction) == (4.0, 2.0, 0.5)
    assert ROW.setting == "float32, 2 threads, warm malloc"
    assert row(threads=0, tf32="on").setting == "float32, TF32 on"


# Goals.


def cells(page, start):
    line = next(line for line in page.splitlines() if line.startswith(f"| {start}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_goals_are_held_against_means_and_worst_cases():
    rows = [
        row(name="a", torch_seconds=1.0),
        row(name="b", torch_seconds=4.0),
        row(name="a", memory_format="channels_last", torch_seconds=2.0),
    ]
    assert cells(goals.page(rows), "3x3 stride 1, forward") == [
        *("3x3 stride 1, forward", "2", "4.00", "3.0", "4.00", "3.3", "2.00", "1.8"),
        *("a, contiguous", "yes"),
    ]
    rows.append(row(name="c", memory_format="channels_last", torch_seconds=0.25))
    assert cells(goals.page(rows), "3x3 stride 1, forward")[4:] == [
        *("1.41", "3.3", "0.50", "1.8", "c, channels_last"),
        "**no**: channels_last mean, 1 of 4 cases",
    ]
    assert "1 of 4 cases are slower" in goals.page(rows)
    high_mean = [row(torch_seconds=20.0), row(name="b", torch_seconds=0.8)]
    assert cells(goals.page(high_mean), "3x3 stride 1, forward")[-1] == "**no**: 1 of 2 cases"
    assert "c forward channels_last 0.50" in goals.page(rows)


def test_steps_without_cnnops_are_no_cases():
    steps = [
        row(kind="network", which=which, seconds=4.0) for which in ("step", "hollow", "products")
    ]
    assert "1 of 1 cases are slower" in goals.page(steps)


def test_what_is_left_where_a_goal_is_missed():
    assert "What is left" not in goals.page([row()])
    page = goals.page([row(torch_seconds=1.0), row(kind="1x1", which="input_grad")])
    missed = page[page.index("What is left") :]
    # Of 4 GFLOP/s cnnops reaches 2 and torch 1; the scheme needs a fourth of the multiplications.
    assert cells(missed, "3x3 stride 1, forward") == [
        *("3x3 stride 1, forward", "50%", "25%", "16.0", "-", "-", "-", "1 of 1"),
    ]
    assert "1x1" not in missed


@pytest.mark.parametrize("benchmark", goals.BARE)
def test_the_limit_by_bare_work_is_that_of_torch_over_it(benchmark):
    # The convolution takes 0.5 s here, 2 s in torch; the bare work takes 0.4 s of 0.5 s.
    alone = row(benchmark=benchmark, torch_seconds=0.4)
    page = goals.page([row(), row(name="other"), alone])
    part = page[page.index("What the bare work takes") :]
    assert cells(part, "3x3 stride 1, forward")[1:] == ["80%", "5.00", "-", "-"]
    assert cells(page, "3x3 stride 1, forward")[1:3] == ["2", "4.00"]
    assert "What the bare work" not in goals.page([row(), row(name="other")])


def test_a_missed_goal_is_bound_where_every_limit_lies_below_it():
    # Torch takes 2 s; the bare products would reach a ratio of 2.5, below the goal of 3.
    slow = row(seconds=1.0)
    products_alone = row(benchmark="products", seconds=1.0, torch_seconds=0.8)
    assert cells(goals.page([slow]), "3x3 stride 1, forward")[-1] == "**no**: NCHW mean"
    assert cells(goals.page([slow, products_alone]), "3x3 stride 1, forward")[-1] == "bound"
    # The mean of another format is not.
    open_case = row(memory_format="channels_last", seconds=1.0)
    page = goals.page([slow, products_alone, open_case])
    assert cells(page, "3x3 stride 1, forward")[-1] == "**no**: channels_last mean"


def test_bare_work_that_a_case_exceeds_is_no_limit():
    slow = row(seconds=1.0)
    for torch_seconds, status in [(1.04, "bound"), (1.2, "**no**: NCHW mean")]:
        products_alone = row(benchmark="products", seconds=1.0, torch_seconds=torch_seconds)
        page = goals.page([slow, products_alone])
        assert cells(page, "3x3 stride 1, forward")[-1] == status


def test_a_network_is_bound_by_its_rest_and_its_products():
    step = row(kind="network", which="step", seconds=2.0, torch_seconds=3.0)
    no = "**no**: NCHW mean, 1 of 1 cases"
    for seconds, status in [(2.0, "bound"), (1.0, no), (3.0, no)]:
        limit = row(kind="network", which="products", seconds=seconds, torch_seconds=3.0)
        assert cells(goals.page([step, limit]), "network, step")[-1] == status


# Two images of 8 x 8 results, of 16 x 16 with a stride; tiles of 4 x 4 are 4 of an image.
@pytest.mark.parametrize("which", products.PASSES)
@pytest.mark.parametrize(
    "channels, kernel, stride, count, multiplications",
    [
        (8, 1, 1, 1, 2 * 64 * 8 * 9),
        (8, 3, 1, 36, 36 * 2 * 4 * 8 * 9),
        (8, 5, 1, 64, 64 * 2 * 4 * 8 * 9),
        (8, 3, 2, 81, 81 * 2 * 4 * 8 * 9),
        (3, 3, 1, 1, 2 * 64 * 27 * 9),
    ],
)
def test_bare_products_are_those_of_the_best_algorithm(
    channels, kernel, stride, count, multiplications, which
):
    shape = shapes.ConvShape("", 2, channels, 9, 8 * stride, kernel, stride, kernel // 2)
    product = products.bare_products(shape, Setting("float32", "contiguous"))[which]
    left, right = product.args
    assert left.shape[:-2] == right.shape[:-2] == (() if count == 1 else (count,))
    assert product().numel() * left.shape[-1] == multiplications


@pytest.mark.parametrize("name, values", [("max", 0), ("average", 0), ("L2", 1)])
def test_bare_movement_is_that_of_every_operand_and_result(name, values):
    shape = shapes.PoolShape("", 2, 3, 8, 2, 2)
    problem = next(p for p in pool2d.problems([shape]) if p.name.startswith(name))
    case = movement.Case(problem, Setting("float32", "channels_last"))
    input, output = (2, 3, 8, 8), (2, 3, 4, 4)
    sizes = {
        which: [[tuple(tensor.shape) for tensor in tensors] for tensors in bare]
        for which, bare in case.bare_work.items()
    }
    backward = [[output, *[input, output][: 2 * values]], [input]]
    assert sizes["forward"] == [[input], [output]]
    assert sizes["backward"] == backward
    assert sizes["training"] == [[input, *backward[0]], [output, *backward[1]]]
    for which, bare in case.bare_work.items():
        moved = sum(tensor.nbytes for tensors in bare for tensor in tensors)
        assert moved == case.work(which)


def test_a_depthwise_convolution_has_bare_movement():
    shape = shapes.ConvShape("", 2, 8, 8, 6, 3, 2, 1, groups=8)
    case = products.Case(shape, Setting("float32", "contiguous"))
    for which in products.PASSES:
        moved = sum(t.nbytes for tensors in case.bare_work[which] for t in tensors)
        assert moved == case.work(which)


def test_a_peak_that_caches_exceed_is_no_limit():
    cached = row(kind="depthwise 3x3", unit="GB/s", torch_seconds=0.6, peak=1.0)
    assert cells(goals.page([cached]), "depthwise 3x3, forward")[-1] == "**no**: NCHW mean"
    slow = dataclasses.replace(cached, peak=2.1)
    assert cells(goals.page([slow]), "depthwise 3x3, forward")[-1] == "bound"


def test_products_of_a_network_are_those_of_its_passes_but_the_gradient_of_the_images():
    problem = next(p for p in network.problems(2) if p.name == "lenet5")
    case = network.Case(problem, Setting("float32", "contiguous"))
    rows = [call.args[0].shape[-2] for call in case.products]
    # 28 x 28, 10 x 10 and 1 x 1 results of two images; 6, 16 and 120 channels.
    assert rows == [2 * 784, 6, 2 * 100, 2 * 100, 16, 2, 2, 120]
    case.step_of_products()


def test_goals_of_half_types_are_their_own():
    page = goals.page([row(dtype="bfloat16")])
    assert cells(page, "3x3 stride 1, forward")[3] == "8.0"
    assert goals.page([row(dtype="float64")]) == ""


def test_settings_have_tables_of_their_own():
    page = goals.page([row(), row(threads=1), row(malloc="default")])
    assert [line for line in page.splitlines() if line.startswith("###")] == [
        "### float32, 2 threads, warm malloc",
        "### float32, 1 thread, warm malloc",
        "### float32, 2 threads, default malloc",
    ]


def test_slow_downs_by_denormals():
    rows = [
        row(benchmark="denormals", kind="ordinary inputs"),
        row(benchmark="denormals", kind="denormal inputs", seconds=1.0, torch_seconds=6.0),
    ]
    assert denormals.slow_downs(rows) == [(rows[1], 2.0, 3.0)]
    assert cells(goals.page(rows), "forward, contiguous")[1:] == ["2.00", "3.00"]


def test_denormal_inputs_are_denormal():
    problem = next(p for p in denormals.problems(1) if p.kind == "denormal inputs")
    case = denormals.Case(problem, Setting("float32", "channels_last"))
    smallest = torch.finfo(torch.float32).smallest_normal
    for which, name in (
        ("forward", "input"),
        ("weight_grad", "input"),
        ("input_grad", "grad_output"),
    ):
        timed = case.sides(which)[0].__self__
        assert 0 < getattr(timed, name).abs().max() < smallest
        assert getattr(timed, name).stride() == getattr(case.ordinary, name).stride()
        assert timed.weight.abs().max() > smallest


def test_goals_from_the_command_line(tmp_path, capsys):
    Run(FACTS, [ROW]).save(tmp_path / "results.json")
    goals.main([str(tmp_path / "results.json"), "--output", str(tmp_path / "goals.md")])
    assert "3x3 stride 1, forward" in capsys.readouterr().out
    assert (tmp_path / "goals.md").read_text().startswith("### float32, 2 threads, warm malloc\n")


# The report.


def test_options_of_the_parts_are_known(monkeypatch, tmp_path):
    ran = []
    limits = []

    def succeed(command, env):
        ran.append(command)
        limits.append(env.get(command_line.ONEDNN_LIMIT))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.delenv(command_line.ONEDNN_LIMIT, raising=False)
    monkeypatch.setattr(report.subprocess, "run", succeed)
    monkeypatch.setattr(command_line.malloc, "ensure", lambda wanted: None)
    for name in report.PARTS:
        assert report.run_part(name, tmp_path, 0.1)
        module = {m.__name__: m for m in BENCHMARKS}[ran[-1][2]]
        passes = module.PASSES if module is not denormals else conv2d.PASSES
        options = command_line.parse("", passes, ran[-1][3:])
        assert options.save == tmp_path / f"{name}.json"
        assert limits[-1] == report.PARTS[name].onednn_limit


def test_a_command_shows_the_limit_of_onednn(monkeypatch):
    monkeypatch.setattr(command_line.sys, "argv", ["benchmarks/conv2d.py", "--threads", "2"])
    monkeypatch.setenv(command_line.ONEDNN_LIMIT, "AVX2")
    expected = "ONEDNN_MAX_CPU_ISA=AVX2 python -m benchmarks.conv2d --threads 2"
    assert command_line.command() == expected


def test_section_of_the_page_is_replaced(tmp_path):
    folder = tmp_path / "speed"
    Run(FACTS, [ROW]).save(folder / "conv2d-warm.json")
    of_network = dict(benchmark="network", name="lenet5", kind="network")
    steps = [
        row(**of_network, which="step"),
        row(**of_network, which="hollow", seconds=0.25, work=25e9, peak=100.0),
        row(**of_network, which="products", seconds=0.75, torch_seconds=1.5),
        row(**of_network, which="step", memory_format="channels_last"),
    ]
    Run(FACTS, steps).save(folder / "network-warm.json")
    (folder / "conv2d-warm.png").touch()
    page = tmp_path / "results.md"
    page.write_text("# Results\n\n## First\n\nfirst\n\n## Speed against torch\n\nold\n\n## Last\n")
    for _ in range(2):
        report.main(["--output", str(tmp_path), "--parts"])
        text = page.read_text()
        assert text.startswith("# Results\n\n## First\n\nfirst\n\n## Speed against torch\n\nRatio")
        assert text.endswith("![conv2d-warm](speed/conv2d-warm.png)\n\n## Last\n")
        assert text.count("## Speed against torch") == 1 and "old" not in text
        setting = "float32, 2 threads, warm malloc | 4 | 500.0 | 2000.0 | 4.00 |"
        assert f"| lenet5, contiguous, {setting} 250.0 | 4.00 | 2.00 |" in text
        assert f"| lenet5, channels_last, {setting} - | - | - |" in text


def test_a_part_that_fails_leaves_no_old_results_and_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(
        report.subprocess, "run", lambda command, env: subprocess.CompletedProcess(command, 1)
    )
    old = tmp_path / "speed" / "conv2d-warm.json"
    Run(FACTS, [ROW]).save(old)
    with pytest.raises(SystemExit, match="failed: conv2d-warm$"):
        report.main(["--output", str(tmp_path), "--parts", "conv2d-warm"])
    assert not old.exists()


def test_a_page_without_the_section_gets_it():
    assert (
        report.replace_section("# Results\n", "## New\n\ntext\n") == "# Results\n\n## New\n\ntext\n"
    )


def test_options_of_the_report_of_a_gpu_are_known(monkeypatch):
    """Up to the point where a GPU is needed."""
    monkeypatch.setattr(command_line.torch.cuda, "is_available", lambda: False)
    for step in gpu_report.benchmarks():
        module = {m.__name__: m for m in BENCHMARKS}[step.command[2]]
        with pytest.raises(SystemExit) as error:
            module.main(step.command[3:])
        assert error.value.code == 2
