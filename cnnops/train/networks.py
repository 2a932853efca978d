"""Networks by name: cnnops' own and torchvision's classifiers."""

import copy
import difflib
import warnings

import torch
import torchvision
from torch import nn

import cnnops

from .data import ImageData
from .errors import TrainError
from .options import OWN_MODELS, Options


def require_known(name: str) -> None:
    known = [*OWN_MODELS, *torchvision.models.list_models(module=torchvision.models)]
    if name in known:
        return
    near = difflib.get_close_matches(name, known, n=3) or [*OWN_MODELS, "resnet18"]
    raise TrainError(
        f"there is no model {name!r} (near it: {', '.join(near)}); --model takes "
        f"{', '.join(OWN_MODELS)} or a classifier of torchvision.models"
    )


def wants_colour(name: str) -> bool:
    """torchvision's classifiers take three channels, cnnops' own take what the images have."""
    return name not in OWN_MODELS


def build(options: Options, data: ImageData) -> nn.Module:
    """The network of ``options``, freshly initialised from the seed, on the chosen kernels."""
    torch.manual_seed(options.seed)
    classes = len(data.classes)
    if options.model in OWN_MODELS:
        model = OWN_MODELS[options.model].build(data.image_shape[0], classes)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            model = torchvision.models.get_model(options.model, weights=None, num_classes=classes)
    _require_fitting(model, options, data)
    return cnnops.convert(model) if options.ops == "cnnops" else cnnops.revert(model)


def _require_fitting(model: nn.Module, options: Options, data: ImageData) -> None:
    """Tries one training step's forward pass on a copy, so that a misfit is told before work."""
    trial = cnnops.revert(copy.deepcopy(model))
    images = torch.zeros(min(2, options.batch_size), *data.image_shape)
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            trial(images)
    except (RuntimeError, ValueError, AssertionError) as error:
        size = options.image_size
        raise TrainError(
            f"{options.model} does not take batches of {options.batch_size} images of "
            f"{size}x{size} pixels ({error}): choose another --image-size or --batch-size"
        ) from error
