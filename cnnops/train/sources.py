"""The three datasets, each decoded once into bytes in memory."""

import os
import pickle
from collections.abc import Iterable
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy
import torch
from PIL import Image, ImageOps
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torchvision.datasets import CIFAR10
from torchvision.datasets.folder import IMG_EXTENSIONS

from .data import ImageData, Split
from .errors import TrainError
from .options import Options
from .progress import progress_bar


def load(options: Options) -> ImageData:
    """Reads the dataset that ``options`` names."""
    if options.dataset == "digits":
        return load_digits_split(options.image_size)
    if options.dataset == "cifar10":
        return load_cifar10(Path(options.data_dir), options.download, options.image_size)
    return load_folder(Path(options.data_dir), options.image_size)


def load_digits_split(size: int) -> ImageData:
    """scikit-learn's 1,797 8x8 digits; a stratified fifth, always the same, is held out."""
    digits = load_digits()
    # The stored grey levels are 0..16.
    pixels = (digits.images * (255 / 16)).round().astype(numpy.uint8)
    train_pixels, test_pixels, train_labels, test_labels = train_test_split(
        pixels, digits.target, test_size=0.2, stratify=digits.target, random_state=0
    )
    _require_memory(len(pixels), size)
    return ImageData(
        train=_split_of_arrays(train_pixels, train_labels, size, "digits"),
        test=_split_of_arrays(test_pixels, test_labels, size, "digits"),
        classes=tuple(str(name) for name in digits.target_names),
    )


def load_cifar10(folder: Path, download: bool, size: int) -> ImageData:
    """torchvision's CIFAR-10: 50,000 training and 10,000 test images."""
    try:
        train = CIFAR10(folder, train=True, download=download)
        test = CIFAR10(folder, train=False, download=download)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
        if download:
            reason = " ".join(str(error).split())
            raise TrainError(f"cannot download CIFAR-10 to {folder}: {reason}") from error
        raise TrainError(
            f"there is no complete CIFAR-10 in {folder}: give its --data-dir, or fetch it with "
            "--download"
        ) from error
    _require_memory(len(train) + len(test), size)
    return ImageData(
        train=_split_of_arrays(train.data, train.targets, size, "train"),
        test=_split_of_arrays(test.data, test.targets, size, "test"),
        classes=tuple(train.classes),
    )


def load_folder(folder: Path, size: int) -> ImageData:
    """Image files in ``train/<class>/`` and ``test/<class>/`` or ``val/<class>/``."""
    if not folder.is_dir():
        raise TrainError(f"--data-dir {folder} is not a folder")
    train_folder = _first_folder(folder, "train")
    test_folder = _first_folder(folder, "test", "val")
    train_files, test_files = _files_by_class(train_folder), _files_by_class(test_folder)
    _require_same_classes(train_folder, set(train_files), test_folder, set(test_files))
    _require_memory(
        sum(len(files) for by_class in (train_files, test_files) for files in by_class.values()),
        size,
    )
    return ImageData(
        train=_split_of_files(train_files, size, "train"),
        test=_split_of_files(test_files, size, "test"),
        classes=tuple(train_files),
    )


def _first_folder(folder: Path, *names: str) -> Path:
    for name in names:
        if (folder / name).is_dir():
            return folder / name
    raise TrainError(f"--data-dir {folder} has no folder {' or '.join(f'{n}/' for n in names)}")


def _files_by_class(folder: Path) -> dict[str, list[Path]]:
    """Image files of every class folder, all in alphabetic order; hidden folders are no classes."""
    classes = sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name[0] != ".")
    if len(classes) < 2:
        raise TrainError(f"{folder} needs a folder for each of two or more classes")
    files = {name: _image_files(folder / name) for name in classes}
    for name in classes:
        if not files[name]:
            raise TrainError(f"class folder {folder / name} holds no image file")
    return files


def _image_files(folder: Path) -> list[Path]:
    return sorted(
        Path(parent) / name
        for parent, _, names in os.walk(folder, followlinks=True)
        for name in names
        if name.lower().endswith(IMG_EXTENSIONS) and name[0] != "."
    )


def _require_same_classes(
    train_folder: Path, train: set[str], test_folder: Path, test: set[str]
) -> None:
    if train != test:
        name = min(train ^ test)
        has, lacks = (train_folder, test_folder) if name in train else (test_folder, train_folder)
        raise TrainError(f"class {name!r} is in {has} but not in {lacks}")


def _require_memory(count: int, size: int) -> None:
    """Stops before reading what would not fit: a byte a value, and half the memory is for them."""
    needed, available = count * 3 * size * size, _memory()
    if 2 * needed > available:
        raise TrainError(
            f"{count:,} images of {size}x{size} pixels need {needed / 2**30:.1f} GiB, more than "
            f"half of this machine's {available / 2**30:.1f} GiB: choose a smaller --image-size"
        )


def _memory() -> int:
    """Bytes of memory this process may use: the machine's, or less where its cgroup says so."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    cgroup = Path("/sys/fs/cgroup/memory.max")
    limit = cgroup.read_text().strip() if cgroup.exists() else "max"
    return machine if limit == "max" else min(machine, int(limit))


def _split_of_arrays(pixels: numpy.ndarray, labels: Iterable[int], size: int, title: str) -> Split:
    """From uint8 pixels (N, H, W) or (N, H, W, 3)."""
    pictures = (_fit(Image.fromarray(picture), size) for picture in pixels)
    channels = 1 if pixels.ndim == 3 else 3
    return Split(_stack(pictures, len(pixels), channels, size, title), torch.as_tensor(labels))


def _split_of_files(files: dict[str, list[Path]], size: int, title: str) -> Split:
    paths = [path for paths in files.values() for path in paths]
    labels = [label for label, paths in enumerate(files.values()) for _ in paths]
    with ThreadPool() as pool:
        pictures = pool.imap(lambda path: _read(path, size), paths, chunksize=64)
        images = _stack(pictures, len(paths), 3, size, title)
    return Split(images, torch.tensor(labels))


def _read(path: Path, size: int) -> Image.Image:
    try:
        with Image.open(path) as image:
            return _fit(image.convert("RGB"), size)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise TrainError(f"cannot read image {path}: {error}") from error


def _fit(image: Image.Image, size: int) -> Image.Image:
    """The centred square of the image, resized to ``size`` a side."""
    return ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)


def _stack(
    pictures: Iterable[Image.Image], count: int, channels: int, size: int, title: str
) -> torch.Tensor:
    """uint8 (count, channels, size, size)"""
    images = torch.empty(count, channels, size, size, dtype=torch.uint8)
    with progress_bar(f"reading {title}", count, "image") as bar:
        for image, picture in zip(images, pictures):
            pixels = torch.from_numpy(numpy.array(picture)).view(size, size, channels)
            image.copy_(pixels.permute(2, 0, 1))
            bar.update()
    return images
