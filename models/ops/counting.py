"""How often numbers occur and where a mask is true, without making a GPU wait."""

from __future__ import annotations

import torch
from torch import Tensor


def occurrences(numbers: Tensor, size: int) -> Tensor:
    """int64 [size], for int64 numbers 0..size-1 of any shape: ``bincount``, which reads its largest number on the host.

    A number beyond ``size - 1`` raises on a CPU.
    """
    flat = numbers.flatten()
    return torch.zeros(size, dtype=torch.int64, device=flat.device).scatter_add_(0, flat, torch.ones_like(flat))


def places(mask: Tensor, count: int) -> Tensor:
    """int64 [count], ascending: where the flattened bool ``mask`` of any shape is true.

    ``nonzero`` asks the device how many these are; here the host knows it. With another ``count`` than there are, the
    result means nothing.
    """
    return torch.searchsorted(mask.flatten().cumsum(0), torch.arange(1, count + 1, device=mask.device))
