"""The checkpoint of a run, and its resumption."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from .errors import TrainError
from .files import save_tensors
from .options import MOVABLE, Options, decide, flag

FILE_NAME = "checkpoint.pt"
_FORMAT = "cnnops.train checkpoint 1"


def save(options: Options, data: dict[str, Any], trainer: dict[str, Any], epochs: list) -> None:
    """Writes the state after the epochs told of in ``epochs``; ``data`` describes the images."""
    content = dict(
        format=_FORMAT, options=asdict(options), data=data, trainer=trainer, epochs=epochs
    )
    save_tensors(Path(options.output) / FILE_NAME, content)


def load(path: Path) -> dict[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise TrainError(f"there is no run to resume: {path} does not exist") from error
    except Exception as error:
        raise TrainError(f"{path} is not a readable checkpoint") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise TrainError(f"{path} is not a checkpoint of this version of cnnops.train")
    return content


def has_epochs(folder: Path) -> bool:
    """Whether the checkpoint in ``folder`` holds a completed epoch, or cannot be read for one."""
    if not (folder / FILE_NAME).exists():
        return False
    try:
        return bool(load(folder / FILE_NAME)["epochs"])
    except TrainError:
        return True


def open_run(given: dict[str, Any], resume: bool) -> tuple[Options, dict[str, Any] | None]:
    """The options of the run to do and, when it is resumed, its checkpoint."""
    options = decide(given)
    if not resume:
        return options, None
    checkpoint = load(Path(options.output) / FILE_NAME)
    return _resumed_options(given, options.output, checkpoint), checkpoint


def _resumed_options(given: dict[str, Any], output: str, checkpoint: dict[str, Any]) -> Options:
    """The run's own options; ``given`` may move it but not change it."""
    saved = checkpoint["options"]
    moved = {name: value for name, value in given.items() if name in MOVABLE}
    changes = [
        f"{flag(name)} was {saved[name]} and is now {value}"
        for name, value in given.items()
        if name not in MOVABLE and saved[name] != value
    ]
    if changes:
        raise TrainError(f"--resume continues a run with its own options: {', '.join(changes)}")
    return Options(**(saved | moved | dict(output=output)))
