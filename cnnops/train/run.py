"""The story of a run: read, build, train epoch by epoch, write the results."""

import shlex
import sys
from pathlib import Path
from typing import Any

from . import checkpoint, machine, networks, pictures, report, sources
from .data import ImageData
from .engine import Trainer
from .errors import Interrupted, TrainError
from .files import make_folder, replace_file, save_tensors, set_aside
from .options import Options, validate

FILES = (
    "metrics.json",
    checkpoint.FILE_NAME,
    "model.pt",
    "curves.png",
    "filters.png",
    "feature_maps.png",
)


def train(given: dict[str, Any], resume: bool) -> None:
    """Does the run that the options ``given`` ask for and writes its folder."""
    options, resumed = checkpoint.open_run(given, resume)
    validate(options)
    machine.prepare(options)
    networks.require_known(options.model)
    data = _load(options)
    description = data.describe()
    trainer = Trainer(networks.build(options, data), data, description, options)
    epochs = _start(options, trainer, description, resumed)
    versions, place = machine.versions(), machine.describe(options)
    print(report.opening(options, trainer.model, data, versions, place), flush=True)
    try:
        _train_epochs(options, trainer, description, epochs)
        _write_results(options, trainer, description, epochs, versions, place)
    except Interrupted as stop:
        command = [sys.executable, "-m", "cnnops.train", "--resume", "--output", options.output]
        stop.advice = (
            f" after {len(epochs)} of {options.epochs} epochs; continue with: {shlex.join(command)}"
        )
        raise
    print(report.closing(options, epochs), flush=True)


def _load(options: Options) -> ImageData:
    data = sources.load(options)
    if networks.wants_colour(options.model) and data.image_shape[0] == 1:
        return data.in_colour()
    return data


def _start(
    options: Options, trainer: Trainer, data: dict[str, Any], resumed: dict[str, Any] | None
) -> list[dict[str, Any]]:
    """Puts the run's state into ``trainer`` and its folder; returns the epochs already done."""
    if resumed is not None:
        if resumed["data"] != data:
            raise TrainError(f"the images are not those with which {options.output} was begun")
        trainer.load_state_dict(resumed["trainer"])
        return resumed["epochs"]
    folder = Path(options.output)
    make_folder(folder)
    _keep_earlier_run(folder)
    checkpoint.save(options, data, trainer.state_dict(), [])
    return []


def _keep_earlier_run(folder: Path) -> None:
    """Moves the run in ``folder`` to previous/; one that completed no epoch is not worth it."""
    found = {name for name in FILES if (folder / name).exists()}
    if found <= {checkpoint.FILE_NAME} and not checkpoint.has_epochs(folder):
        return
    set_aside(folder, FILES)
    print(f"the run that was in {folder} is now in {folder / 'previous'}")


def _train_epochs(
    options: Options, trainer: Trainer, data: dict[str, Any], epochs: list[dict[str, Any]]
) -> None:
    print(report.TABLE_HEAD, flush=True)
    for epoch in epochs:
        print(report.table_row(epoch, options.epochs), flush=True)
    for number in range(len(epochs) + 1, options.epochs + 1):
        epoch = trainer.epoch(number)
        checkpoint.save(options, data, trainer.state_dict(), [*epochs, epoch])
        epochs.append(epoch)
        print(report.table_row(epoch, options.epochs), flush=True)


def _write_results(
    options: Options,
    trainer: Trainer,
    data: dict[str, Any],
    epochs: list[dict[str, Any]],
    versions: dict[str, Any],
    place: dict[str, Any],
) -> None:
    """The pictures come last: where metrics.json stands, every figure and the model are there."""
    folder = Path(options.output)
    state = {name: value.cpu() for name, value in trainer.model.state_dict().items()}
    save_tensors(folder / "model.pt", state)
    replace_file(folder / "metrics.json", report.metrics(options, data, epochs, versions, place))
    title = report.title(options)
    replace_file(folder / "curves.png", pictures.curves(epochs, title))
    replace_file(folder / "filters.png", pictures.filters(trainer.model, title))
    replace_file(folder / "feature_maps.png", pictures.feature_maps(trainer, title))
