"""The three pictures of a run, each returned as the bytes of a PNG file."""

import io
import math
from collections.abc import Callable, Iterable
from itertools import zip_longest
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import nn

from .engine import Trainer

TRAIN_COLOUR, TEST_COLOUR = "#0072b2", "#d55e00"
DOTS_PER_INCH = 130
# Shown at most: filters, layers, maps a layer, and maps side by side.
FILTERS, LAYERS, MAPS, COLUMNS = 64, 3, 16, 8


def curves(epochs: list[dict[str, Any]], title: str) -> bytes:
    """Loss and accuracy of both splits over the epochs."""
    figure = _figure(10, 4, f"{title}: test accuracy {epochs[-1]['test_accuracy']:.2%}")
    left, right = figure.subplots(1, 2)
    numbers = [epoch["epoch"] for epoch in epochs]

    def draw(axes: Axes, key: str, factor: float, colour: str, label: str) -> None:
        values = [factor * epoch[key] for epoch in epochs]
        axes.plot(numbers, values, "o-", color=colour, markersize=4, label=label)

    draw(left, "loss", 1, TRAIN_COLOUR, "training")
    draw(left, "test_loss", 1, TEST_COLOUR, "test")
    draw(right, "train_accuracy", 100, TRAIN_COLOUR, "training")
    draw(right, "test_accuracy", 100, TEST_COLOUR, "test")
    left.set_ylabel("cross entropy, nats an image")
    right.set_ylabel("accuracy, %")
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.set_xlim(0.5, len(epochs) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    return _png(figure)


def filters(model: nn.Module, title: str) -> bytes:
    """The first convolution's filters: in colour for three channels, else their channel mean."""
    layers = _convolutions(model)
    if not layers:
        return _sentence(title, "the network has no convolution")
    name, layer = layers[0]
    weight = layer.weight.detach().float().cpu()
    count, channels, height, width = weight.shape
    shown = weight[:FILTERS]
    rows, columns = _grid(len(shown))
    numbers = _shown_of("filters", len(shown), count)
    figure = _figure(
        0.9 * columns + 1.2,
        0.9 * rows + 0.7,
        f"{title}\n{numbers} of {name}, {channels}x{height}x{width}",
    )
    panels = figure.subplots(rows, columns, squeeze=False).flat
    limit = max(float(shown.abs().max()), 1e-12)
    if channels == 3:
        _draw_images(panels, (shown.permute(0, 2, 3, 1) / limit + 1) / 2)
    else:
        means = shown.mean(1)
        _draw_images(panels, means, cmap="RdBu_r", vmin=-limit, vmax=limit)
        axes = list(figure.axes)
        figure.colorbar(axes[0].images[0], ax=axes, label="weight")
    return _png(figure)


def feature_maps(trainer: Trainer, title: str) -> bytes:
    """A test image and what the first convolutions make of it."""
    split, classes = trainer.data.test, trainer.data.classes
    maps, predicted = _maps_of(trainer, split.images[:1])
    if not maps:
        return _sentence(title, "no convolution gives maps of more than one pixel")
    rows = [math.ceil(min(MAPS, len(layer)) / COLUMNS) for layer in maps.values()]
    heights = [0.45 + count for count in rows]
    figure = _figure(12, 0.5 + max(2.5, sum(heights)), f"{title}: feature maps of one test image")
    left, right = figure.subfigures(1, 2, width_ratios=[1, 3.6])
    picture = split.images[0].permute(1, 2, 0)
    panel = left.subplots()
    _draw_images([panel], [picture], cmap="gray")
    truth, guess = classes[int(split.labels[0])], classes[predicted]
    panel.set_title(f"input\ntrue class: {truth}\npredicted: {guess}", fontsize=10)
    bands = right.subfigures(len(maps), 1, squeeze=False, height_ratios=heights).flat
    for band, count, (name, layer) in zip(bands, rows, maps.items()):
        numbers = _shown_of("maps", min(MAPS, len(layer)), len(layer))
        band.suptitle(f"{numbers} of {name}, {layer.shape[1]}x{layer.shape[2]}", fontsize=10)
        _draw_images(band.subplots(count, COLUMNS, squeeze=False).flat, layer[:MAPS])
    return _png(figure)


def _maps_of(trainer: Trainer, images: torch.Tensor) -> tuple[dict[str, torch.Tensor], int]:
    """What the first convolutions give, (C, H, W) by layer name, and the predicted class.

    Layers whose maps are single pixels are passed over.
    """
    maps: dict[str, torch.Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
            if output[0, 0].numel() > 1 and len(maps) < LAYERS:
                # A copy: the activation that follows may overwrite the output.
                maps[name] = output[0].float().cpu().clone()

        return hook

    layers = _convolutions(trainer.model)
    handles = [layer.register_forward_hook(keep(name)) for name, layer in layers]
    logits = trainer.predict(images)
    for handle in handles:
        handle.remove()
    return maps, int(logits.argmax())


def _convolutions(model: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(name, m) for name, m in model.named_modules() if isinstance(m, nn.Conv2d)]


def _grid(count: int) -> tuple[int, int]:
    """Rows and columns for ``count`` panels, wider than high."""
    columns = min(count, max(COLUMNS, math.ceil(math.sqrt(1.6 * count))))
    return math.ceil(count / columns), columns


def _shown_of(what: str, shown: int, count: int) -> str:
    return f"the first {shown} of {count} {what}" if shown < count else f"the {count} {what}"


def _draw_images(panels: Iterable[Axes], images: Iterable[torch.Tensor], **colours: Any) -> None:
    """One image a panel; panels left over vanish."""
    for axes, image in zip_longest(panels, images):
        axes.set_axis_off()
        if image is not None:
            axes.imshow(image.numpy(), **colours)


def _figure(width: float, height: float, title: str) -> Figure:
    """Sizes in inches."""
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="compressed")
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.06)
    figure.suptitle(title, fontsize=11)
    return figure


def _sentence(title: str, text: str) -> bytes:
    """What stands in place of a picture that there is nothing for."""
    figure = _figure(6, 2, title)
    figure.text(0.5, 0.4, text, ha="center", va="center")
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()
