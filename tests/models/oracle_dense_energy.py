"""From the keys of the fixtures of the dense-energy loss to calls of production functions, and back."""

from __future__ import annotations

from collections.abc import Callable

import torch
from oracle_case import Case, Results

DENSE_ENERGY: dict[str, Callable[[Case, torch.dtype], Results]] = {}
