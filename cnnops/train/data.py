"""Images in memory: the struct, and the path from stored bytes to a training batch."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class Split:
    """``images`` uint8 (N, C, H, W) in 0..255, ``labels`` int64 (N,)."""

    images: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class ImageData:
    train: Split
    test: Split
    classes: tuple[str, ...]

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(C, H, W)"""
        return tuple(self.train.images.shape[1:])

    def in_colour(self) -> "ImageData":
        """The same images with three channels: grey ones are repeated, without a copy."""

        def colour(split: Split) -> Split:
            return replace(split, images=split.images.expand(-1, 3, -1, -1))

        return replace(self, train=colour(self.train), test=colour(self.test))

    def describe(self) -> dict[str, Any]:
        """What identifies the data: equal for equal images and labels in equal order."""
        mean, std = channel_statistics(self.train.images)
        return dict(
            train_images=len(self.train),
            test_images=len(self.test),
            image_shape=list(self.image_shape),
            classes=list(self.classes),
            mean=mean.tolist(),
            std=std.tolist(),
            crc32=_checksum(self.train, self.test),
        )


def channel_statistics(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of every channel, float64 (C,), with bytes taken as 0..1."""
    levels = torch.arange(256, dtype=torch.float64) / 255
    counts = torch.stack([torch.bincount(c.flatten(), minlength=256) for c in images.unbind(1)])
    share = counts.double() / counts.sum(1, keepdim=True)
    mean = share @ levels
    variance = share @ levels**2 - mean**2
    # A constant channel has no spread; one grey level keeps the division meaningful.
    return mean, variance.clamp(min=1 / 255**2).sqrt()


def _checksum(*splits: Split) -> int:
    crc = 0
    for split in splits:
        for tensor in (split.images, split.labels):
            crc = zlib.crc32(tensor.contiguous().numpy(), crc)
    return crc


@dataclass(frozen=True)
class Normalizer:
    """Makes float images of zero mean and unit spread from bytes, where the model wants them."""

    mean: torch.Tensor
    std: torch.Tensor
    device: torch.device
    dtype: torch.dtype
    memory_format: torch.memory_format

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 (N, C, H, W) to float32 of the same shape (float64 if that is the dtype)."""
        precision = torch.promote_types(self.dtype, torch.float32)
        pixels = images.to(self.device).to(precision).div_(255)
        return pixels.sub_(self._per_channel(self.mean, precision)).div_(
            self._per_channel(self.std, precision)
        )

    def finish(self, images: torch.Tensor) -> torch.Tensor:
        return images.to(self.dtype).contiguous(memory_format=self.memory_format)

    def _per_channel(self, values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        return values.to(self.device, dtype)[:, None, None]


def shift(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Moves every image by its own random offset of up to an eighth of the side; zeros come in."""
    count, channels, height, width = images.shape
    reach = max(height, width) // 8
    padded = F.pad(images, (reach, reach, reach, reach))
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    down, right = torch.randint(2 * reach + 1, (2, count), generator=generator)
    return windows[torch.arange(count), :, down, right]


def mirror(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Mirrors a random half of the images, left to right."""
    chosen = torch.rand(len(images), generator=generator) < 0.5
    chosen = chosen.to(images.device)[:, None, None, None]
    return torch.where(chosen, images.flip(3), images)


AUGMENTATIONS = {"none": (), "shift": (shift,), "shift+flip": (shift, mirror)}


def training_batches(
    split: Split, batch_size: int, normalize: Normalizer, augment: str, generator: torch.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """One epoch: full batches in random order; what is left over waits for the next shuffle."""
    order = torch.randperm(len(split), generator=generator)
    for batch in order.split(batch_size)[: steps_per_epoch(split, batch_size)]:
        images = normalize(split.images[batch])
        for change in AUGMENTATIONS[augment]:
            images = change(images, generator)
        yield normalize.finish(images), split.labels[batch].to(normalize.device)


def steps_per_epoch(split: Split, batch_size: int) -> int:
    """Full batches in the split; a split smaller than one batch is one step."""
    return max(1, len(split) // batch_size)
