"""From the keys of the fixtures of ToCo and DuPL to calls of production functions, and back."""

from __future__ import annotations

from collections.abc import Callable

import torch
from oracle_case import Case, Results

TOCO: dict[str, Callable[[Case, torch.dtype], Results]] = {}
