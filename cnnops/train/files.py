"""Whole files or none: everything the trainer writes goes through :func:`replace_file`."""

import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from .errors import TrainError


def make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainError(f"cannot create folder {folder}: {error.strerror}") from error


def set_aside(folder: Path, names: Iterable[str]) -> None:
    """Moves the named files to ``previous/`` in ``folder``, so that it holds them and no others
    of these names."""
    previous = folder / "previous"
    make_folder(previous)
    for name in names:
        (previous / name).unlink(missing_ok=True)
        if (folder / name).exists():
            os.replace(folder / name, previous / name)


def replace_file(path: Path, content: bytes | memoryview) -> None:
    """Writes ``path`` so that, whatever happens, it holds the old or the new content in full.

    The content goes to a neighbour first, is forced to the disk and then takes the file's name.
    """
    neighbour = path.with_name(f".{path.name}.partial")
    try:
        try:
            with open(neighbour, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(neighbour, path)
        except BaseException:
            neighbour.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise TrainError(f"cannot write {path}: {error.strerror}") from error


def save_tensors(path: Path, content: Any) -> None:
    """Writes what ``torch.load(path, weights_only=True)`` reads back."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    replace_file(path, buffer.getbuffer())
