"""One network and its optimizer: an epoch of training, an evaluation, their state."""

import hashlib
import math
import time
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from .data import ImageData, Normalizer, steps_per_epoch, training_batches
from .errors import TrainError
from .options import DTYPES, Options
from .progress import progress_bar

MOMENTUM = 0.9
# Auxiliary classifiers count 0.3 in training (Szegedy et al. 2014, section 5).
AUXILIARY_WEIGHT = 0.3
# Share of the steps over which the learning rate rises.
WARM_UP = 0.2


@dataclass
class Score:
    """Running sums over the images of an epoch."""

    images: int = 0
    loss_sum: float = 0.0
    correct: int = 0

    def add(self, loss: float, logits: torch.Tensor, labels: torch.Tensor) -> None:
        self.images += len(labels)
        self.loss_sum += loss * len(labels)
        self.correct += int((logits.argmax(1) == labels).sum())

    @property
    def loss(self) -> float:
        return self.loss_sum / self.images

    @property
    def accuracy(self) -> float:
        return self.correct / self.images


class Trainer:
    """SGD with Nesterov momentum and a one-cycle learning rate on one network.

    Every random number of an epoch comes from the seed and the epoch's number alone, so an epoch
    repeated or resumed on the same machine with as many threads has the same bits.
    """

    def __init__(
        self, model: nn.Module, data: ImageData, description: dict[str, Any], options: Options
    ) -> None:
        self.options = options
        self.data = data
        self.dtype = DTYPES[options.dtype]
        layout = torch.channels_last if options.channels_last else torch.contiguous_format
        device = torch.device(options.device)
        precision = torch.promote_types(self.dtype, torch.float32)
        self.model = model.to(device=device, dtype=precision, memory_format=layout)
        self.normalize = Normalizer(
            torch.tensor(description["mean"]),
            torch.tensor(description["std"]),
            device,
            self.dtype,
            layout,
        )
        self.optimizer = torch.optim.SGD(
            _parameter_groups(model, options.weight_decay), momentum=MOMENTUM, nesterov=True
        )
        self.scaler = torch.amp.GradScaler(
            device.type, init_scale=1024, enabled=self.dtype == torch.float16
        )
        self.low_precision = _low_precision_names(model, self.dtype)

    def state_dict(self) -> dict[str, Any]:
        return dict(
            model=self.model.state_dict(),
            optimizer=self.optimizer.state_dict(),
            scaler=self.scaler.state_dict(),
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])

    def epoch(self, number: int) -> dict[str, Any]:
        """Trains on epoch ``number`` (from 1), evaluates, and tells what came of it."""
        generator = self._seed(number)
        start = time.perf_counter()
        train = self._train(number, generator)
        seconds = time.perf_counter() - start
        test = self.evaluate()
        if not math.isfinite(test.loss):
            self._diverged(test.loss, number)
        return dict(
            epoch=number,
            loss=train.loss,
            train_accuracy=train.accuracy,
            test_loss=test.loss,
            test_accuracy=test.accuracy,
            seconds=seconds,
            images_per_second=train.images / seconds,
        )

    def evaluate(self) -> Score:
        """Loss and accuracy on the test images, in evaluation mode."""
        score = Score()
        split, batch_size = self.data.test, self.options.batch_size
        for images, labels in zip(split.images.split(batch_size), split.labels.split(batch_size)):
            logits = _heads(self.predict(images))[0]
            labels = labels.to(logits.device)
            score.add(F.cross_entropy(logits, labels).item(), logits, labels)
        return score

    def forward(self, images: torch.Tensor) -> Any:
        """The network's output; with a half type, computed on copies of the float32 weights."""
        if not self.low_precision:
            return self.model(images)
        parameters = dict(self.model.named_parameters())
        copies = {name: parameters[name].to(self.dtype) for name in self.low_precision}
        return torch.func.functional_call(self.model, copies, (images,))

    def predict(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of uint8 images (N, C, H, W), in evaluation mode."""
        self.model.eval()
        with torch.no_grad():
            return self.forward(self.normalize.finish(self.normalize(images)))

    def _train(self, number: int, generator: torch.Generator) -> Score:
        self.model.train()
        score = Score()
        split, batch_size = self.data.train, self.options.batch_size
        steps = steps_per_epoch(split, batch_size)
        batches = training_batches(
            split, batch_size, self.normalize, self.options.augment, generator
        )
        title = f"epoch {number}/{self.options.epochs}"
        with progress_bar(title, steps * min(batch_size, len(split)), "image") as bar:
            for step, (images, labels) in enumerate(batches):
                self._set_learning_rate((number - 1) * steps + step, self.options.epochs * steps)
                loss, logits = self._step(images, labels)
                if not math.isfinite(loss):
                    self._diverged(loss, number)
                score.add(loss, logits, labels)
                bar.set_postfix(loss=f"{score.loss:.3f}", refresh=False)
                bar.update(len(labels))
        return score

    def _step(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[float, torch.Tensor]:
        """One step of the optimizer; returns the main classifier's loss and logits."""
        self.optimizer.zero_grad()
        logits, *auxiliary = _heads(self.forward(images))
        loss = F.cross_entropy(logits, labels)
        auxiliary_loss = sum(F.cross_entropy(output, labels) for output in auxiliary)
        self.scaler.scale(loss + AUXILIARY_WEIGHT * auxiliary_loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.item(), logits.detach()

    def _set_learning_rate(self, step: int, steps: int) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.lr * one_cycle(step, steps)

    def _seed(self, number: int) -> torch.Generator:
        """Seeds torch (for dropout) and a generator (for the batches) for this epoch."""
        digest = hashlib.sha256(f"{self.options.seed} {number}".encode()).digest()
        torch.manual_seed(int.from_bytes(digest[:4], "big"))
        return torch.Generator().manual_seed(int.from_bytes(digest[4:8], "big"))

    def _diverged(self, loss: float, number: int) -> None:
        raise TrainError(
            f"the loss became {loss} in epoch {number}: choose a smaller --lr than "
            f"{self.options.lr:g}"
        )


def one_cycle(step: int, steps: int) -> float:
    """Factor of the learning rate at ``step`` of ``steps``: up in a line, down along a cosine."""
    rise = max(1, round(WARM_UP * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step + 1 - rise) / (steps + 1 - rise)))


def _heads(output: Any) -> list[torch.Tensor]:
    """The logits, then those of auxiliary classifiers (GoogLeNet, Inception); at least float32."""
    heads = [output] if isinstance(output, torch.Tensor) else list(output)
    return [head.to(torch.promote_types(head.dtype, torch.float32)) for head in heads]


def _parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weights decay; biases and the scales of normalisation, which are vectors, do not."""
    parameters = list(model.parameters())
    return [
        dict(params=[p for p in parameters if p.dim() > 1], weight_decay=weight_decay),
        dict(params=[p for p in parameters if p.dim() <= 1], weight_decay=0.0),
    ]


def _low_precision_names(model: nn.Module, dtype: torch.dtype) -> list[str]:
    """Parameters to be copied to a half type: all but batch norm's, which torch wants float32."""
    if dtype not in (torch.bfloat16, torch.float16):
        return []
    return [
        f"{prefix}.{name}" if prefix else name
        for prefix, module in model.named_modules()
        if not isinstance(module, nn.modules.batchnorm._BatchNorm)
        for name, _ in module.named_parameters(recurse=False)
    ]
