"""From the keys of the fixtures of SEPL and other uses of mask proposals to calls of production functions, and back."""

from __future__ import annotations

from collections.abc import Callable

import torch
from oracle_case import Case, Results

PROPOSALS: dict[str, Callable[[Case, torch.dtype], Results]] = {}
