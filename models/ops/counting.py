"""How often numbers occur, without making a GPU wait."""

from __future__ import annotations

import torch
from torch import Tensor


def occurrences(numbers: Tensor, size: int) -> Tensor:
    """int64 [size], for int64 numbers 0..size-1 of any shape: ``bincount``, which reads its largest number on the host.

    A number beyond ``size - 1`` raises on a CPU.
    """
    flat = numbers.flatten()
    return torch.zeros(size, dtype=torch.int64, device=flat.device).scatter_add_(0, flat, torch.ones_like(flat))
