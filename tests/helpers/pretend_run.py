"""Trainings on the pretend GPU. ``python -m tests.helpers.pretend_run`` writes the golden counts of reads again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from models.doors import resolve
from models.method import Method
from models.methods import ADD_ONS
from models.settings import TrainSettings
from models.structures import IGNORE, UNLABELLED, Batch
from stages.train import train
from tests.helpers.pages import AT_ONCE, CLASSES, TRAINED, build
from tests.helpers.pretend_gpu import PretendGpu
from tests.helpers.pretend_tensor import CUDA, ROOT, held

GOLDEN = ROOT / "tests/golden/host_round_trips.json"
READS_OF_THE_LOOP = "stages/train.py _Meter.sums"
"""Where the loop reads losses, at a row of the history: no part of a step."""
SETTINGS = TrainSettings(steps=2, lr=0.01, log_every=2, ema=0.9, clip_norm=1.0)
TRAININGS: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    **{name: (name, AT_ONCE.get(name, {}), ()) for name in TRAINED},
    "one_stage": ("one_stage", {"pretrain": 0.0}, ()),
    "classifier, one label": ("classifier", {"labels": "single"}, ()),
    "rcm_mam, queue": ("rcm_mam", {"queue": 2}, ()),
    "seam + ppc + hfpl": ("seam", {}, ("ppc", "hfpl")),
    "segmenter, balanced": ("segmenter", {"balanced": True, "also_scales": [0.5]}, ()),
    "spml, parts": ("spml", {"preset": "parts", "memory": 0, "anchors": 200}, ()),
    "spml, frozen": ("spml", {"frozen": True}, ()),
}
"""Name -> page, its options and add-ons."""


class PretendRuntime:
    """The ``stages.train.Runtime`` of one process on the pretend GPU."""

    device, world_size, global_rank = CUDA, 1, 0

    def __init__(self, gpu: PretendGpu) -> None:
        self.gpu = gpu
        self.strategy = SimpleNamespace(precision=SimpleNamespace(state_dict=dict, load_state_dict=lambda state: None))

    def setup_module(self, module: nn.Module) -> nn.Module:
        return self.gpu.move(module)

    def setup_optimizers(self, *optimizers: torch.optim.Optimizer) -> Any:
        return optimizers[0]

    def backward(self, tensor: Tensor) -> None:
        tensor.backward()  # type: ignore[no-untyped-call]

    def no_backward_sync(self, module: Any, enabled: bool) -> Any:
        return nullcontext()

    def clip_gradients(self, module: Any, optimizer: Any, *, max_norm: float, error_if_nonfinite: bool) -> Any:
        """Torch's own asks C++ for the device of a gradient, to which it is the CPU."""
        gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
        length = torch.stack([gradient.norm() for gradient in gradients]).norm()
        for gradient in gradients:
            gradient.mul_((max_norm / (length + 1e-6)).clamp(max=1))
        return length

    def all_reduce(self, data: Tensor, *, reduce_op: str) -> Tensor:
        return data


class CpuRuntime(PretendRuntime):
    """The same without a GPU."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        super().__init__(PretendGpu())

    def setup_module(self, module: nn.Module) -> nn.Module:
        return module


class Same:
    """A loader of one and the same batch, on the CPU."""

    steps_per_epoch = 5

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def batches(self, start: int, stop: int) -> Generator[Batch, None, None]:
        for _ in range(start, stop):
            yield self.batch


@dataclass(frozen=True)
class Trained:
    """What two steps of a training leave.

    Attributes:
        history: the rows.
        tensors: parameters and buffers, on the CPU.
        trips: "place: operation" -> reads by the host in the second step.
    """

    history: list[dict[str, float]]
    tensors: dict[str, Tensor]
    trips: dict[str, int]


def made_batch(side: int = 48) -> Batch:
    """Two images of noise with classes, seeds (some unlabelled, some void) and regions, on the CPU."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, side, side, generator=generator)
    seeds = torch.randint(0, CLASSES + 1, (2, side, side), generator=generator)
    seeds[:, :8], seeds[:, 8:16] = UNLABELLED, IGNORE
    regions = (torch.arange(side * side).view(side, side) // (4 * side)).repeat(2, 1, 1)
    return Batch(image, torch.tensor([[True, False, True], [False, True, False]]), seeds, ("a", "b"), regions)


def built(training: str) -> Method:
    """The page of one of ``TRAININGS``, with its add-ons around it."""
    name, options, add_ons = TRAININGS[training]
    method = build(name, **options)
    for add_on in add_ons:
        method = resolve(ADD_ONS, add_on, "add-on")(method)
    return method


def batch_for(training: str) -> Batch:
    """One that the page can learn from."""
    batch = made_batch()
    single = TRAININGS[training][1].get("labels") == "single"
    return replace(batch, tags=torch.tensor([[False, False, True], [True, False, False]])) if single else batch


def trained_on_cpu(training: str) -> Trained:
    method = built(training)
    result = train(method, Same(batch_for(training)), CpuRuntime(), SETTINGS, seed=1)
    return Trained(result.history, method.state_dict(), {})


def trained_on_gpu(training: str) -> Trained:
    """The same on the pretend GPU."""
    method, source = built(training), Same(batch_for(training))
    after: list[Counter[tuple[str, str]]] = []
    with PretendGpu() as gpu:
        runtime = PretendRuntime(gpu)
        result = train(method, source, runtime, SETTINGS, seed=1, on_step=lambda *_: after.append(Counter(gpu.trips)))
        tensors = {name: held(value) for name, value in method.state_dict().items()}
    trips = {f"{place}: {operation}": count for (place, operation), count in sorted((after[1] - after[0]).items())}
    return Trained(result.history, tensors, trips)


def golden_trips(trips: dict[str, int]) -> dict[str, int]:
    """Those of the step alone."""
    return {name: count for name, count in trips.items() if not name.startswith(READS_OF_THE_LOOP)}


if __name__ == "__main__":
    found = {training: golden_trips(trained_on_gpu(training).trips) for training in TRAININGS}
    GOLDEN.write_text(json.dumps(found, indent=1) + "\n")
