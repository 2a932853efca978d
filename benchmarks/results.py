"""What a benchmark measured, as a JSON file: facts of the machine, and a row for each timing."""

import dataclasses
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One pass of one case, timed on both sides."""

    benchmark: str
    name: str
    kind: str  # that goals are set for
    which: str  # the pass
    dtype: str
    memory_format: str
    tf32: str  # "on", "off", or "" where it has no meaning
    threads: int
    malloc: str
    batch: int
    seconds: float
    torch_seconds: float
    work: float  # floating-point operations, or bytes that have to move
    unit: str  # of the rate: "GFLOP/s" or "GB/s"
    peak: float  # of this machine, in that unit

    @property
    def ratio(self) -> float:
        """How many times as fast as torch cnnops is."""
        return self.torch_seconds / self.seconds

    @property
    def rate(self) -> float:
        return self.work / self.seconds / 1e9

    @property
    def fraction(self) -> float:
        """Of the peak; above 1 where fewer operations or cached bytes do."""
        return self.rate / self.peak

    @property
    def case(self) -> tuple:
        """What is the same in two runs that can be compared."""
        return (
            *(self.benchmark, self.name, self.which, self.dtype, self.memory_format),
            *(self.tf32, self.threads, self.malloc, self.batch),
        )

    @property
    def setting(self) -> str:
        """All that is not in the name, the pass or the format, for titles."""
        parts = [self.dtype]
        if self.tf32:
            parts.append(f"TF32 {self.tf32}")
        if self.threads:
            parts.append(f"{self.threads} thread{'s' if self.threads > 1 else ''}")
            parts.append(f"{self.malloc} malloc")
        return ", ".join(parts)


@dataclass(frozen=True)
class Run:
    """The rows of one command and the facts of its machine."""

    facts: dict[str, str]
    rows: list[Row]

    def save(self, path: Path) -> None:
        """One line a row, so that two versions of the file can be told apart by eye."""
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = ",\n".join(json.dumps(dataclasses.asdict(row)) for row in self.rows)
        facts = json.dumps(self.facts, indent=1)
        path.write_text(f'{{"facts": {facts},\n"rows": [\n{rows}\n]}}\n')


def load(path: Path) -> Run:
    """Reads what Run.save wrote; SystemExit says what is wrong with another file."""
    try:
        content = json.loads(path.read_text())
        return Run(content["facts"], [Row(**row) for row in content["rows"]])
    except OSError as error:
        raise SystemExit(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise SystemExit(f"{path}: is no result of these benchmarks") from None


def geometric_mean(ratios: Iterable[float]) -> float:
    logarithms = [math.log(ratio) for ratio in ratios]
    return math.exp(sum(logarithms) / len(logarithms))
