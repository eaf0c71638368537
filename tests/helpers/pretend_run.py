"""Trainings on the pretend GPU: what stands in for Lightning Fabric, and for a loader."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from models.structures import Batch
from tests.helpers.pretend_gpu import PretendGpu
from tests.helpers.pretend_tensor import CUDA


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

    def clip_gradients(self, module: Any, optimizer: Any, *, max_norm: float) -> Any:
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
