"""What a run tells: the lines on stdout and metrics.json."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from .data import ImageData
from .options import Options

TABLE_HEAD = "  epoch     loss   train    test  images/s  seconds"


def title(options: Options) -> str:
    """The run in a few words: the model and the data, a folder by its name."""
    data = options.dataset
    if data == "folder":
        data = Path(options.data_dir).resolve().name
    return f"{options.model} on {data}"


def opening(
    options: Options, model: nn.Module, data: ImageData, versions: dict, machine: dict
) -> str:
    parameters = sum(p.numel() for p in model.parameters())
    shape = "x".join(str(extent) for extent in data.image_shape)
    layout = "NHWC" if options.channels_last else "NCHW"
    return "\n".join(
        [
            f"{title(options)}: {parameters:,} parameters, {len(data.train):,} training and "
            f"{len(data.test):,} test images, {shape}, {len(data.classes)} classes",
            f"cnnops {versions['cnnops']}, torch {versions['torch']}; ops {options.ops} on "
            f"{options.device} ({machine['cpu_capability']}, threads {machine['threads']}), "
            f"{options.dtype}, {layout}, seed {options.seed}",
        ]
    )


def table_row(epoch: dict[str, Any], epochs: int) -> str:
    return (
        f"{epoch['epoch']:3d}/{epochs:<3d} {epoch['loss']:8.4f} {epoch['train_accuracy']:7.2%} "
        f"{epoch['test_accuracy']:7.2%} {epoch['images_per_second']:9,.0f} {epoch['seconds']:8.1f}"
    )


def closing(options: Options, epochs: list[dict[str, Any]]) -> str:
    seconds = sum(epoch["seconds"] for epoch in epochs)
    return (
        f"test accuracy {epochs[-1]['test_accuracy']:.2%} (epochs {len(epochs)}, training "
        f"{seconds:,.1f} s); results in {options.output}"
    )


def metrics(
    options: Options,
    data: dict[str, Any],
    epochs: list[dict[str, Any]],
    versions: dict[str, Any],
    machine: dict[str, Any],
) -> bytes:
    """metrics.json: accuracies are shares of one; seconds are those of the training passes,
    without evaluation; losses are means over an epoch's images, in training as they were met, and
    leave auxiliary classifiers out."""
    content = dict(
        test_accuracy=epochs[-1]["test_accuracy"],
        train_seconds=sum(epoch["seconds"] for epoch in epochs),
        config=asdict(options) | dict(data=data),
        versions=versions,
        machine=machine,
        epochs=epochs,
    )
    return (json.dumps(content, indent=2) + "\n").encode()
