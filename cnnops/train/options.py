"""The command line and the defaults of every dataset and model."""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import nn

from .. import conversion
from ..models import lenet5, plain8, resnet20
from .data import AUGMENTATIONS
from .errors import TrainError

DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in conversion.DTYPES}


@dataclass(frozen=True)
class DatasetDefaults:
    model: str
    epochs: int
    batch_size: int
    augment: str


@dataclass(frozen=True)
class OwnModel:
    """A network of ``cnnops.models``, built from channels and classes, and its learning rate."""

    build: Callable[[int, int], nn.Module]
    lr: float


DATASETS = {
    "digits": DatasetDefaults("lenet5", epochs=30, batch_size=32, augment="shift"),
    "cifar10": DatasetDefaults("resnet20", epochs=10, batch_size=128, augment="shift+flip"),
    "folder": DatasetDefaults("resnet20", epochs=10, batch_size=128, augment="shift+flip"),
}
OWN_MODELS = {
    "lenet5": OwnModel(lenet5, lr=0.05),
    "resnet20": OwnModel(resnet20, lr=0.1),
    "plain8": OwnModel(plain8, lr=0.1),
}
LR_OTHERS = 0.02
WEIGHT_DECAY = 5e-4
# A thread that the system refuses ends the process without a message of ours.
MOST_THREADS = 1024


@dataclass(frozen=True)
class Options:
    """One run, every option decided; what each means stands in the help texts of :func:`parse`."""

    dataset: str
    data_dir: str | None
    download: bool
    model: str
    image_size: int
    augment: str
    epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    device: str
    dtype: str
    channels_last: bool
    ops: str
    threads: int
    seed: int
    output: str


# Options that may differ between the start of a run and its resumption.
MOVABLE = ("data_dir", "download", "threads", "output")


def flag(name: str) -> str:
    """The command line's spelling of an option's name."""
    return "--" + name.replace("_", "-")


def decide(given: dict[str, Any]) -> Options:
    """Completes the options ``given`` on the command line with the defaults."""
    dataset = given.get("dataset", "digits")
    by_dataset = DATASETS[dataset]
    model = given.get("model", by_dataset.model)
    defaults = dict(
        dataset=dataset,
        data_dir="data" if dataset == "cifar10" else None,
        download=False,
        model=model,
        image_size=32,
        augment=by_dataset.augment,
        epochs=by_dataset.epochs,
        batch_size=by_dataset.batch_size,
        lr=OWN_MODELS[model].lr if model in OWN_MODELS else LR_OTHERS,
        weight_decay=WEIGHT_DECAY,
        device="cpu",
        dtype="float32",
        channels_last=False,
        ops="cnnops",
        threads=torch.get_num_threads(),
        seed=0,
        output=f"runs/{dataset}-{model}",
    )
    return Options(**(defaults | given))


def parse(argv: list[str] | None) -> tuple[dict[str, Any], bool]:
    """Reads the command line: the options that were given, and whether to resume."""
    parser = _Parser(
        prog="python -m cnnops.train",
        description="Train an image classifier on cnnops' convolution and pooling kernels.",
        argument_default=argparse.SUPPRESS,
    )
    _add_data_options(parser)
    _add_training_options(parser)
    _add_machine_options(parser)
    _add_output_options(parser)
    given = vars(parser.parse_args(argv))
    resume = given.pop("resume", False)
    return given, resume


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, without the usage block before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message} (see --help)\n")


def _add_data_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("data")
    group.add_argument(
        "--dataset",
        choices=list(DATASETS),
        help="digits: scikit-learn's 1,797 handwritten digits, a fifth held out (default); "
        "cifar10: torchvision's CIFAR-10; folder: image files in train/<class>/ and "
        "test/<class>/ (or val/<class>/) of --data-dir",
    )
    group.add_argument(
        "--data-dir",
        metavar="DIR",
        help="where the data are: needed for folder; for cifar10 the folder that holds or gets "
        "cifar-10-batches-py (default: data)",
    )
    group.add_argument("--download", action="store_true", help="fetch CIFAR-10 into --data-dir")
    group.add_argument(
        "--image-size",
        type=_whole(1),
        metavar="PIXELS",
        help="every image is cut to its centred square and resized to this side once, when it is "
        "read, and is held in memory as bytes (default: 32)",
    )
    group.add_argument(
        "--augment",
        choices=list(AUGMENTATIONS),
        help="shift training images by up to an eighth of their side, and mirror half of them "
        "(default: shift for digits, shift+flip otherwise)",
    )


def _add_training_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training")
    group.add_argument(
        "--model",
        metavar="NAME",
        help=f"{', '.join(OWN_MODELS)}, or any classifier of torchvision.models by name, "
        "untrained (default: lenet5 for digits, resnet20 otherwise)",
    )
    group.add_argument(
        "--epochs", type=_whole(1), help="passes over the training images (default: 30 or 10)"
    )
    group.add_argument(
        "--batch-size", type=_whole(1), metavar="N", help="images a step (default: 32 or 128)"
    )
    group.add_argument(
        "--lr",
        type=_real(0.0),
        help="highest learning rate of the one-cycle schedule; SGD with Nesterov momentum 0.9 "
        "(default: by model)",
    )
    group.add_argument(
        "--weight-decay",
        type=_real(0.0),
        metavar="X",
        help=f"for weights, not for biases and batch norm (default: {WEIGHT_DECAY:g})",
    )
    group.add_argument(
        "--seed", type=_whole(0), help="decides every random number of the run (default: 0)"
    )


def _add_machine_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("machine")
    group.add_argument(
        "--ops",
        choices=["cnnops", "torch"],
        help="whose convolution and pooling kernels to run (default: cnnops)",
    )
    group.add_argument("--device", help="cpu, cuda or cuda:<n> (default: cpu)")
    group.add_argument(
        "--dtype",
        choices=list(DTYPES),
        help="type of weights and activations in forward and backward; with a half type the "
        "optimizer, batch norm and the loss stay float32 (default: float32)",
    )
    group.add_argument(
        "--channels-last", action="store_true", help="lay images and activations out as NHWC"
    )
    group.add_argument(
        "--threads",
        type=_whole(1, MOST_THREADS),
        metavar="N",
        help=f"CPU threads, at most {MOST_THREADS} (default: torch's choice)",
    )


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "output",
        "A new run in a folder that holds another moves that one's files to previous/ there, which "
        "keeps one earlier run; a run that completed no epoch is overwritten instead.",
    )
    group.add_argument(
        "--output",
        metavar="DIR",
        help="folder for metrics.json, model.pt, checkpoint.pt, curves.png, filters.png and "
        "feature_maps.png (default: runs/<dataset>-<model>)",
    )
    group.add_argument(
        "--resume",
        action="store_true",
        help="continue the run in --output with its own options; on the same machine with the "
        "same --threads, bit for bit as if it had not been interrupted",
    )


def _whole(lowest: int, highest: int = 2**31 - 1) -> Callable[[str], int]:
    def whole(text: str) -> int:
        number = int(text) if text.isdecimal() else -1
        if not lowest <= number <= highest:
            raise argparse.ArgumentTypeError(
                f"expected a whole number from {lowest} to {highest}, got {text!r}"
            )
        return number

    return whole


def _real(lowest: float) -> Callable[[str], float]:
    def real(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not lowest <= number < math.inf:
            raise argparse.ArgumentTypeError(f"expected a number >= {lowest:g}, got {text!r}")
        return number

    return real


def validate(options: Options) -> None:
    """Refuses options that do not go together."""
    if options.dataset == "folder" and options.data_dir is None:
        raise TrainError(
            "--dataset folder needs --data-dir, the folder that holds train/ and test/"
        )
    if options.dataset == "digits" and options.data_dir is not None:
        raise TrainError("--data-dir is for cifar10 and folder; the digits come with scikit-learn")
    if options.download and options.dataset != "cifar10":
        raise TrainError("--download is for --dataset cifar10")
