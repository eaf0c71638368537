"""From the keys of the fixtures of WeCLIP and ExCEL to calls of production functions, and back."""

from __future__ import annotations

from collections.abc import Callable

import torch
from oracle_case import Case, Results

WECLIP: dict[str, Callable[[Case, torch.dtype], Results]] = {}
