"""What the trainer's tests share: calls of the trainer, and small datasets on disk."""

import hashlib
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy
from PIL import Image

CIFAR10_CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)

# One thread, so that runs in different processes have the same bits whatever the kernels.
COMMAND = [sys.executable, "-m", "cnnops.train", "--threads", "1"]


def start(*arguments, **options):
    """Starts the trainer as its own process."""
    environment = dict(os.environ, OMP_NUM_THREADS="1")
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        text=True,
        env=environment,
        **(dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE) | options),
    )


def call(*arguments, **options):
    """Runs the trainer as its own process; returns exit code, stdout and stderr."""
    process = start(*arguments, **options)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def heed_signals():
    """What runs in the background of a shell inherits that interrupts are ignored; undo that."""
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_DFL)


def stop_in_training(signum, *arguments):
    """Starts the trainer and signals it once the first epoch is in its table."""
    process = start(*arguments, preexec_fn=heed_signals)
    for line in process.stdout:
        if line.split("/")[0].strip() == "1":
            break
    process.send_signal(signum)
    _, err = process.communicate(timeout=60)
    return process.returncode, err


def write_image(path, seed, size=(40, 36)):
    """A noisy picture, (width, height); its mean grey level depends on the seed's parity."""
    generator = numpy.random.default_rng(seed)
    pixels = generator.integers(0, 128, (size[1], size[0], 3)) + 127 * (seed % 2)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(numpy.uint8)).save(path)


def write_image_tree(folder, classes=("dark", "light"), train=8, test=4, test_name="test"):
    """An image folder with ``train`` and ``test`` images of each class, PNG and JPEG mixed."""
    for split, count in (("train", train), (test_name, test)):
        for label, name in enumerate(classes):
            for i in range(count):
                extension = ("png", "jpg", "JPEG")[i % 3]
                write_image(Path(folder) / split / name / f"{i}.{extension}", 2 * i + label)


def write_cifar10(folder, images_per_batch=20):
    """CIFAR-10 in its genuine on-disk format but tiny; returns the md5 sums of its files."""
    batches = Path(folder) / "cifar-10-batches-py"
    batches.mkdir(parents=True)
    generator = numpy.random.default_rng(0)
    contents = {"batches.meta": {"label_names": CIFAR10_CLASSES, "num_vis": 3072}}
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        contents[name] = {
            "batch_label": name,
            "labels": [i % 10 for i in range(images_per_batch)],
            # One image a row: 1,024 red, then green, then blue values.
            "data": generator.integers(0, 256, (images_per_batch, 3072), dtype=numpy.uint8),
            "filenames": [f"{i}.png" for i in range(images_per_batch)],
        }
    sums = {}
    for name, content in contents.items():
        encoded = pickle.dumps(content)
        (batches / name).write_bytes(encoded)
        sums[name] = hashlib.md5(encoded).hexdigest()
    return sums
