"""One case of an oracle fixture: its arrays by group and name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

Results = dict[str, Any]
"""What an adapter returns: "out.Y" and "grad.Y.X" (and "formula.Y") to arrays, as the fixture calls them."""


@dataclass
class Case:
    """One case of a fixture: every key ``cN.GROUP.NAME`` as ``case.GROUP[NAME]`` (README of the oracles)."""

    groups: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __getattr__(self, group: str) -> dict[str, Any]:
        """Groups are ``inputs``, ``par``, ``aux``, ``out``, ``grad``, ``out64``, ``grad64``, ``err``, ``formula``."""
        if group.startswith("_"):
            raise AttributeError(group)
        return self.groups.get("in" if group == "inputs" else group, {})

    def stream(self, *names: str) -> Iterator[tuple[Any, ...]]:
        """The numbered inputs ``name00``, ``name01``, ... of several names, together."""
        for i in range(int(self.par["n_images"])):
            yield tuple(self.inputs[f"{name}{i:02d}"] for name in names)

    def tensor(self, name: str, dtype: torch.dtype) -> torch.Tensor:
        """A float input as a leaf that records gradients."""
        return torch.tensor(self.inputs[name], dtype=dtype, requires_grad=True)


def read_case(path: Path, index: int) -> Case:
    """Read one case; scalars become Python numbers."""
    case = Case()
    with np.load(path) as arrays:
        for key in arrays.files:
            head, _, rest = key.partition(".")
            if head == f"c{index}":
                group, _, name = rest.partition(".")
                value = arrays[key]
                case.groups.setdefault(group, {})[name] = value.item() if value.ndim == 0 else value
    return case
