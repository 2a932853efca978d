"""The trainer from end to end: results, repeatability, interruption, and every error message."""

import errno
import fcntl
import importlib.util
import io
import json
import os
import pickle
import resource
import shlex
import signal
import struct
import sys
import termios
import threading
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from cnnops.models import lenet5
from cnnops.train import cli, data, engine, errors, files, main, pictures, sources
from train_helpers import (
    call,
    start,
    stop_in_training,
    write_cifar10,
    write_image,
    write_image_tree,
)

RESULTS = {
    "metrics.json",
    "model.pt",
    "checkpoint.pt",
    "curves.png",
    "filters.png",
    "feature_maps.png",
}


@pytest.fixture
def train(capfd):
    """Calls the trainer in this process; returns its exit code and what it printed."""
    threads = torch.get_num_threads()
    poisoning = torch.utils.deterministic.fill_uninitialized_memory

    def call_main(*arguments):
        capfd.readouterr()
        try:
            code = main(["--threads", "1", *map(str, arguments)])
        except SystemExit as stop:
            code = stop.code
        out, err = capfd.readouterr()
        return SimpleNamespace(code=code, out=out, err=err)

    yield call_main
    torch.set_num_threads(threads)
    torch.utils.deterministic.fill_uninitialized_memory = poisoning


def read_metrics(folder):
    return json.loads((folder / "metrics.json").read_text())


def assert_fails(result, *sentence_parts, code=1):
    """One sentence on stderr that says what is wanted, and the exit code."""
    assert result.code == code, result
    assert result.err.startswith("error: ") and result.err.count("\n") == 1, result.err
    for part in sentence_parts:
        assert str(part) in result.err


def assert_same_model(folder, other):
    first, second = (torch.load(f / "model.pt", weights_only=True) for f in (folder, other))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


# The default run and its results.


@pytest.fixture(scope="module")
def default_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("default")
    code, out, err = call("--output", folder)
    assert code == 0, err
    return folder, out, err


def test_default_run_reads_digits_well(default_run):
    folder, out, err = default_run
    metrics = read_metrics(folder)
    assert metrics["test_accuracy"] >= 0.98
    assert out.splitlines()[-1].startswith(f"test accuracy {metrics['test_accuracy']:.2%}")
    assert str(folder) in out.splitlines()[-1]
    assert err == ""


def test_default_run_prints_a_table_of_aligned_columns(default_run):
    _, out, _ = default_run
    lines = out.splitlines()
    head = next(i for i, line in enumerate(lines) if line.split()[:1] == ["epoch"])
    rows = lines[head + 1 : -1]
    assert len(rows) == 30
    assert {len(row) for row in rows} == {len(lines[head])}


def test_metrics(default_run):
    metrics = read_metrics(default_run[0])
    assert set(metrics) == {
        *("test_accuracy", "train_seconds", "config", "versions", "machine", "epochs")
    }
    assert len(metrics["epochs"]) == 30
    for number, epoch in enumerate(metrics["epochs"], 1):
        assert epoch["epoch"] == number
        assert epoch["loss"] > 0 and epoch["seconds"] > 0
        assert 0 <= epoch["train_accuracy"] <= 1 and 0 <= epoch["test_accuracy"] <= 1
    assert metrics["test_accuracy"] == metrics["epochs"][-1]["test_accuracy"]
    seconds = sum(epoch["seconds"] for epoch in metrics["epochs"])
    assert metrics["train_seconds"] == pytest.approx(seconds)
    assert metrics["config"]["dataset"] == "digits" and metrics["config"]["model"] == "lenet5"
    assert metrics["config"]["data"]["train_images"] == 1437
    assert metrics["config"]["data"]["test_images"] == 360
    assert metrics["versions"]["torch"] == torch.__version__
    assert metrics["machine"]["threads"] == 1


def test_output_folder_holds_the_results_and_nothing_else(default_run):
    folder, _, _ = default_run
    assert {path.name for path in folder.iterdir()} == RESULTS
    for path in folder.glob("*.png"):
        with Image.open(path) as image:
            image.verify()
            assert image.format == "PNG" and min(image.size) > 200


def test_model_file_is_a_plain_state_dict_with_the_reported_accuracy(default_run):
    folder, _, _ = default_run
    config = read_metrics(folder)["config"]["data"]
    model = lenet5()
    model.load_state_dict(torch.load(folder / "model.pt", weights_only=True))
    test = sources.load_digits_split(32).test
    pixels = (test.images / 255 - config["mean"][0]) / config["std"][0]
    with torch.no_grad():
        right = (model(pixels).argmax(1) == test.labels).double().mean()
    assert float(right) == pytest.approx(read_metrics(folder)["test_accuracy"], abs=1.5 / 360)


def test_digits_split_is_stratified_and_fixed():
    first, second = sources.load_digits_split(32), sources.load_digits_split(32)
    assert len(first.train) == 1437 and len(first.test) == 360
    assert first.image_shape == (1, 32, 32)
    assert torch.equal(first.test.images, second.test.images)
    shares = torch.bincount(first.test.labels) / torch.bincount(first.train.labels)
    assert (shares - 0.25).abs().max() < 0.02


# Repeatability and interruption.


def test_same_seed_same_bits_and_other_seed_other_bits(train, tmp_path):
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        result = train("--epochs", 1, "--seed", seed, "--output", tmp_path / name)
        assert result.code == 0, result.err
    assert_same_model(tmp_path / "a", tmp_path / "b")
    with pytest.raises(AssertionError):
        assert_same_model(tmp_path / "a", tmp_path / "c")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted_run_resumes_bit_for_bit(train, tmp_path, signum):
    options = ("--epochs", 6, "--batch-size", 128)
    code, err = stop_in_training(signum, *options, "--output", tmp_path / "stopped")
    if signum == signal.SIGKILL:
        assert code == -signum
    else:
        assert code == 128 + signum
        assert err.startswith(f"interrupted by {signum.name} after ") and err.count("\n") == 1
        command = [sys.executable, "-m", "cnnops.train", "--resume", "--output"]
        assert err.endswith(f"continue with: {shlex.join([*command, str(tmp_path / 'stopped')])}\n")
    assert not (tmp_path / "stopped" / "metrics.json").exists()

    resumed = train("--resume", "--output", tmp_path / "stopped")
    assert resumed.code == 0, resumed.err
    straight = train(*options, "--output", tmp_path / "straight")
    assert straight.code == 0, straight.err
    assert_same_model(tmp_path / "stopped", tmp_path / "straight")
    stopped, whole = (read_metrics(tmp_path / name) for name in ("stopped", "straight"))
    for key in ("loss", "train_accuracy", "test_loss", "test_accuracy"):
        assert [e[key] for e in stopped["epochs"]] == [e[key] for e in whole["epochs"]]


def test_dropout_and_half_types_resume_bit_for_bit(train, tmp_path, monkeypatch):
    """A network with dropout in float16: random numbers and loss scale continue as well."""
    write_image_tree(tmp_path / "images")
    options = ("--dataset", "folder", "--data-dir", tmp_path / "images", "--model", "squeezenet1_1")
    options = (*options, "--epochs", 2, "--batch-size", 8, "--dtype", "float16", "--lr", 0.001)
    assert train(*options, "--output", tmp_path / "straight").code == 0

    whole_epoch = engine.Trainer.epoch

    def epoch_interrupted(trainer, number):
        if number == 2:
            raise errors.Interrupted(signal.SIGTERM)
        return whole_epoch(trainer, number)

    monkeypatch.setattr(engine.Trainer, "epoch", epoch_interrupted)
    assert train(*options, "--output", tmp_path / "stopped").code == 143
    monkeypatch.undo()
    assert train("--resume", "--output", tmp_path / "stopped").code == 0
    assert_same_model(tmp_path / "stopped", tmp_path / "straight")


def test_resume_of_a_finished_run_rewrites_its_results(train, tmp_path):
    assert train("--epochs", 1, "--output", tmp_path / "run").code == 0
    before = (tmp_path / "run" / "model.pt").read_bytes()
    (tmp_path / "run" / "model.pt").unlink()
    assert train("--resume", "--output", tmp_path / "run").code == 0
    assert (tmp_path / "run" / "model.pt").read_bytes() == before


def test_new_run_keeps_the_one_that_was_there(train, tmp_path):
    folder = tmp_path / "run"
    for seed in (1, 2, 3):
        result = train("--epochs", 1, "--seed", seed, "--output", folder)
        assert result.code == 0, result.err
    assert str(folder / "previous") in result.out
    assert {path.name for path in folder.iterdir()} == RESULTS | {"previous"}
    assert {path.name for path in (folder / "previous").iterdir()} == RESULTS
    assert read_metrics(folder)["config"]["seed"] == 3
    assert read_metrics(folder / "previous")["config"]["seed"] == 2
    assert train("--resume", "--output", folder / "previous").code == 0


def test_run_without_an_epoch_leaves_the_previous_run_alone(train, tmp_path, monkeypatch):
    def interrupt(trainer, number):
        raise errors.Interrupted(signal.SIGINT)

    folder = tmp_path / "run"
    assert train("--epochs", 1, "--seed", 1, "--output", folder).code == 0
    monkeypatch.setattr(engine.Trainer, "epoch", interrupt)
    assert train("--epochs", 1, "--seed", 2, "--output", folder).code == 130
    monkeypatch.undo()
    result = train("--epochs", 1, "--seed", 3, "--output", folder)
    assert result.code == 0 and "previous" not in result.out
    assert read_metrics(folder)["config"]["seed"] == 3
    assert read_metrics(folder / "previous")["config"]["seed"] == 1


def handlers():
    return [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)]


def test_signals_raise_but_for_ignored_ones_and_handlers_come_back():
    first = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        before = handlers()
        with errors.raising_on_signals():
            signal.raise_signal(signal.SIGINT)
            with pytest.raises(errors.Interrupted):
                signal.raise_signal(signal.SIGTERM)
        assert handlers() == before
    finally:
        signal.signal(signal.SIGINT, first)


def test_signals_are_left_alone_outside_the_main_thread():
    def enter():
        with errors.raising_on_signals():
            seen.extend(handlers())

    seen = []
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == handlers()


def test_interruption_before_the_run_is_quiet(train, monkeypatch):
    def interrupt(argv):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "run", interrupt)
    result = train()
    assert (result.code, result.out, result.err) == (130, "", "")


def test_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "file"
    files.replace_file(path, b"old")

    def full_disk(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(errors.TrainError, match=f"cannot write {path}: No space left on device"):
        files.replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_progress_bar_is_for_terminals_only(tmp_path):
    leader, follower = os.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
    process = start("--epochs", 1, "--output", tmp_path / "run", stderr=follower)
    os.close(follower)
    shown = io.BytesIO()
    try:
        while piece := os.read(leader, 65536):
            shown.write(piece)
    except OSError:
        pass  # Linux reports the end of a terminal as an error.
    out = process.communicate(timeout=60)[0]
    assert process.returncode == 0
    assert b"epoch 1/1" in shown.getvalue() and b"images/s" in shown.getvalue()
    assert b"loss=" in shown.getvalue()
    assert "\r" not in out


# Options.


@pytest.mark.parametrize(
    "arguments",
    [
        ("--ops", "torch"),
        ("--channels-last",),
        ("--dtype", "float64"),
        ("--dtype", "bfloat16"),
        ("--dtype", "float16"),
        ("--augment", "none"),
    ],
    ids=" ".join,
)
def test_one_epoch_learns(train, tmp_path, arguments):
    result = train("--epochs", 2, *arguments, "--output", tmp_path / "run")
    assert result.code == 0, result.err
    assert read_metrics(tmp_path / "run")["test_accuracy"] > 0.6


@pytest.mark.parametrize("arguments", [(), ("--channels-last",)], ids=["NCHW", "NHWC"])
def test_ops_cnnops_and_torch_start_alike_and_stay_near(train, tmp_path, arguments):
    losses = {}
    for ops in ("cnnops", "torch"):
        folder = tmp_path / ops
        assert train("--epochs", 1, "--ops", ops, *arguments, "--output", folder).code == 0
        losses[ops] = read_metrics(folder)["epochs"][0]["loss"]
    assert losses["cnnops"] == pytest.approx(losses["torch"], rel=1e-3)


@pytest.mark.parametrize("model", ["resnet20", "plain8", "googlenet"])
@pytest.mark.parametrize("test_name", ["test", "val"])
def test_folder(train, tmp_path, model, test_name):
    """Also a network with auxiliary classifiers, and images that are not square."""
    write_image_tree(tmp_path / "images", test_name=test_name)
    options = ("--dataset", "folder", "--data-dir", tmp_path / "images", "--model", model)
    result = train(*options, "--epochs", 1, "--batch-size", 8, "--output", tmp_path / "run")
    assert result.code == 0, result.err
    assert read_metrics(tmp_path / "run")["config"]["data"]["classes"] == ["dark", "light"]
    assert {path.name for path in (tmp_path / "run").iterdir()} == RESULTS


def test_pictures_that_have_nothing_to_show(train, tmp_path):
    """Every map is one pixel, or there is no convolution: the files are there all the same."""
    options = ("--model", "resnet20", "--image-size", 1, "--epochs", 1, "--batch-size", 512)
    result = train(*options, "--output", tmp_path / "run")
    assert result.code == 0, result.err
    assert {path.name for path in (tmp_path / "run").iterdir()} == RESULTS
    with Image.open(io.BytesIO(pictures.filters(torch.nn.Linear(2, 2), "linear"))) as image:
        image.verify()


def test_figures_outlive_a_picture_that_fails(train, tmp_path, monkeypatch):
    def fail(epochs, title):
        raise ZeroDivisionError

    monkeypatch.setattr(pictures, "curves", fail)
    with pytest.raises(ZeroDivisionError):
        train("--epochs", 1, "--batch-size", 512, "--output", tmp_path / "run")
    assert len(read_metrics(tmp_path / "run")["epochs"]) == 1


def test_grey_images_are_repeated_for_networks_that_take_colour(train, tmp_path):
    options = ("--model", "squeezenet1_1", "--epochs", 1, "--batch-size", 256)
    result = train(*options, "--lr", 0.001, "--output", tmp_path / "run")
    assert result.code == 0, result.err
    assert read_metrics(tmp_path / "run")["config"]["data"]["image_shape"] == [3, 32, 32]


def test_cifar10_in_its_genuine_format(train, tmp_path, monkeypatch):
    sums = write_cifar10(tmp_path / "data")
    stored = [(name, sums[name]) for name in sums]
    monkeypatch.setattr(sources.CIFAR10, "train_list", [s for s in stored if "data" in s[0]])
    monkeypatch.setattr(sources.CIFAR10, "test_list", [s for s in stored if "test" in s[0]])
    meta = dict(sources.CIFAR10.meta, md5=sums["batches.meta"])
    monkeypatch.setattr(sources.CIFAR10, "meta", meta)
    loaded = sources.load_cifar10(tmp_path / "data", download=False, size=32)
    assert loaded.image_shape == (3, 32, 32) and loaded.classes[3] == "cat"
    batch = pickle.loads((tmp_path / "data/cifar-10-batches-py/data_batch_1").read_bytes())
    assert torch.equal(loaded.train.images[0].flatten(), torch.from_numpy(batch["data"][0]))

    options = ("--dataset", "cifar10", "--data-dir", tmp_path / "data", "--download")
    result = train(*options, "--epochs", 1, "--batch-size", 50, "--output", tmp_path / "run")
    assert result.code == 0, result.err
    assert read_metrics(tmp_path / "run")["config"]["data"]["train_images"] == 100


# The parts.


def test_shift_moves_every_image_by_up_to_an_eighth():
    images = torch.arange(1.0, 1 + 64 * 16 * 16).view(64, 1, 16, 16)
    moved = data.shift(images, torch.Generator().manual_seed(0))
    offsets = set()
    for before, after in zip(images[:, 0], moved[:, 0]):
        padded = torch.nn.functional.pad(before, (2, 2, 2, 2))
        windows = padded.unfold(0, 16, 1).unfold(1, 16, 1)
        (place,) = (windows == after).all(-1).all(-1).nonzero().tolist()
        offsets.add(tuple(place))
    assert {row for row, _ in offsets} == {column for _, column in offsets} == set(range(5))


def test_mirror_turns_half_of_the_images():
    images = torch.rand(1000, 1, 2, 3)
    mirrored = data.mirror(images, torch.Generator().manual_seed(0))
    turned = (mirrored == images.flip(3)).all(3).all(2).all(1)
    assert 450 < int(turned.sum()) < 550
    assert torch.equal(mirrored[~turned], images[~turned])


def test_normalizer_gives_zero_mean_and_unit_spread():
    images = torch.randint(256, (50, 3, 8, 8), dtype=torch.uint8)
    mean, std = data.channel_statistics(images)
    normalize = data.Normalizer(
        mean, std, torch.device("cpu"), torch.float64, torch.contiguous_format
    )
    pixels = normalize(images)
    assert pixels.mean((0, 2, 3)).abs().max() < 1e-12
    assert (pixels.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-12


def test_epoch_takes_full_batches_of_different_images():
    images = torch.zeros(10, 1, 1, 1, dtype=torch.uint8)
    split = data.Split(images, torch.arange(10))
    normalize = data.Normalizer(
        torch.zeros(1), torch.ones(1), torch.device("cpu"), torch.float32, torch.contiguous_format
    )
    for batch_size, sizes in ((4, [4, 4]), (10, [10]), (16, [10])):
        batches = data.training_batches(split, batch_size, normalize, "none", torch.Generator())
        labels = [labels for _, labels in batches]
        assert [len(batch) for batch in labels] == sizes
        assert len(torch.cat(labels).unique()) == sum(sizes)


def test_one_cycle_rises_to_one_and_falls_towards_zero():
    factors = [engine.one_cycle(step, 100) for step in range(100)]
    assert max(factors) == factors[19] == 1
    assert factors[:20] == sorted(factors[:20])
    assert factors[19:] == sorted(factors[19:], reverse=True)
    assert 0 < factors[-1] < 0.01
    assert engine.one_cycle(0, 1) == 1


# Errors.


def test_missing_packages_are_named(train, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert_fails(train(), "torchvision, tqdm, scikit-learn, matplotlib", "cnnops[train]")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("--epochs", 0), ("--epochs", "whole number from 1", "'0'")),
        (("--batch-size", "many"), ("--batch-size", "'many'")),
        (("--threads", 1025), ("--threads", "from 1 to 1024", "'1025'")),
        (("--lr", "nan"), ("--lr", "'nan'")),
        (("--dataset", "imagenet"), ("--dataset", "'imagenet'", "folder")),
        (("--dtype", "int8"), ("--dtype", "'int8'", "bfloat16")),
        (("--colour",), ("--colour",)),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
def test_wrong_option(train, arguments, parts):
    assert_fails(train(*arguments), *parts, code=2)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("--model", "resnet2"), ("'resnet2'", "resnet20")),
        (("--model", "nothing-like-it"), ("'nothing-like-it'", "lenet5")),
        (("--device", "tpu"), ("--device", "'tpu'")),
        (("--device", "cpu:3"), ("cpu, cuda or cuda:<n>", "'cpu:3'")),
        (("--device", "cuda:"), ("cpu, cuda or cuda:<n>", "'cuda:'")),
        (("--dataset", "folder"), ("--data-dir", "train/")),
        (("--dataset", "folder", "--data-dir", "/nowhere"), ("--data-dir /nowhere",)),
        (("--dataset", "cifar10", "--data-dir", "/nowhere"), ("/nowhere", "--download")),
        (("--data-dir", "/nowhere"), ("--data-dir", "digits")),
        (("--download",), ("--download", "cifar10")),
        (("--image-size", 20), ("lenet5", "20x20", "--image-size")),
        (("--image-size", 200000), ("GiB", "--image-size")),
        (("--model", "vit_b_16"), ("vit_b_16", "32x32", "224")),
        (("--model", "resnet18", "--batch-size", 1), ("batches of 1 ", "--batch-size")),
        (("--resume", "--output", "/nowhere/run"), ("/nowhere/run/checkpoint.pt",)),
        (("--output", "/proc/nowhere"), ("cannot create folder /proc/nowhere",)),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
def test_run_that_cannot_be(train, arguments, parts):
    assert_fails(train(*arguments), *parts)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_that_is_not_there(train):
    assert_fails(train("--device", "cuda", "--ops", "torch"), "--device cuda", "no usable CUDA")


def test_cuda_without_kernels(train, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr("cnnops.train.machine.has_kernels", lambda device: device == "cpu")
    assert_fails(train("--device", "cuda"), "no CUDA kernels", "--ops torch")
    assert_fails(train("--device", "cuda:3"), "--device cuda:3", "1 CUDA devices")


def test_download_that_fails(train, tmp_path, monkeypatch):
    def no_network(*arguments, **options):
        raise OSError("no route to host")

    monkeypatch.setattr(sources, "CIFAR10", no_network)
    options = ("--dataset", "cifar10", "--download", "--data-dir", tmp_path)
    assert_fails(train(*options), "cannot download CIFAR-10", "no route to host")


@pytest.mark.parametrize(
    ("spoil", "parts"),
    [
        (lambda f: (f / "train/dark/1.jpg").write_bytes(b"x"), ("cannot read image", "1.jpg")),
        (lambda f: truncate(f / "test/light/0.png"), ("cannot read image", "test/light/0.png")),
        (lambda f: (f / "train/empty").mkdir(), ("class folder", "train/empty", "no image")),
        (lambda f: write_image(f / "train/red/0.png", 0), ("'red'", "train", "not in", "test")),
        (lambda f: write_image(f / "test/blue/0.png", 0), ("'blue'", "test", "not in", "train")),
        (lambda f: (f / "test").rename(f / "exam"), ("test/ or val/",)),
        (lambda f: (f / "train").rename(f / "exam"), ("train/",)),
        (lambda f: (f / "train/dark").rename(f / "dark"), ("train", "two or more classes")),
    ],
    ids=["garbage", "truncated", "empty", "train-only", "test-only", "no-test", "no-train", "one"],
)
def test_folder_that_is_wrong(train, tmp_path, spoil, parts):
    write_image_tree(tmp_path / "images")
    spoil(tmp_path / "images")
    options = ("--dataset", "folder", "--data-dir", tmp_path / "images")
    assert_fails(train(*options, "--output", tmp_path / "run"), *parts)
    assert not (tmp_path / "run").exists()


def truncate(path):
    path.write_bytes(path.read_bytes()[:1000])


def test_diverged_loss(train, tmp_path):
    options = ("--model", "plain8", "--lr", 1e9, "--epochs", 1, "--output", tmp_path / "run")
    assert_fails(train(*options), "loss became", "epoch 1", "--lr")
    assert (tmp_path / "run" / "checkpoint.pt").exists()


def test_full_disk(tmp_path):
    """A limit on the size of files stands in for a disk without room."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    result = call("--epochs", 1, "--output", tmp_path / "run", preexec_fn=limit)
    result = SimpleNamespace(code=result[0], out=result[1], err=result[2])
    assert_fails(result, "cannot write", tmp_path / "run" / "checkpoint.pt", "too large")
    assert list((tmp_path / "run").iterdir()) == []


def test_bad_checkpoint(train, tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    assert_fails(train("--resume", "--output", tmp_path), "checkpoint.pt is not a readable")
    torch.save({"weights": 1}, tmp_path / "checkpoint.pt")
    assert_fails(train("--resume", "--output", tmp_path), "checkpoint.pt is not a checkpoint of")


def test_resume_with_other_options_or_images(train, tmp_path):
    write_image_tree(tmp_path / "images")
    options = ("--dataset", "folder", "--data-dir", tmp_path / "images", "--model", "lenet5")
    options = (*options, "--output", tmp_path / "run")
    assert train(*options, "--epochs", 1, "--batch-size", 8).code == 0
    resume = ("--resume", "--output", tmp_path / "run")
    assert_fails(train(*resume, "--lr", 3), "--lr was 0.05 and is now 3.0")
    write_image(tmp_path / "images/train/dark/1.jpg", 99)
    assert_fails(train(*resume), "images are not those")
    (tmp_path / "images").rename(tmp_path / "moved")
    assert_fails(train(*resume), "is not a folder")
    write_image_tree(tmp_path / "moved")
    assert train(*resume, "--data-dir", tmp_path / "moved").code == 0
