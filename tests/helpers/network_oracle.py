"""Published networks as files of outputs: weights by formula, inputs, what the original code answered.

The folders are named by the environment variables NETWORKS (default ../shared/networks) and MODERN_NETWORKS (default
../shared/modern/networks); their READMEs have the format.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

FOLDER = Path(os.environ.get("NETWORKS", "../shared/networks"))
MODERN = Path(os.environ.get("MODERN_NETWORKS", "../shared/modern/networks"))
GOLDEN, FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


@dataclass
class NetworkOracle:
    """One network: ``name`` as its file, without the ending ``_white``."""

    name: str

    @cached_property
    def file(self) -> Any:
        file = f"{self.name}_white.npz"
        return np.load((FOLDER if (FOLDER / file).exists() else MODERN) / file, allow_pickle=False)

    @cached_property
    def meta(self) -> dict[str, Any]:
        meta: dict[str, Any] = json.loads(str(self.file["meta"]))
        return meta

    @property
    def inputs(self) -> list[str]:
        return list(self.meta["inputs"])

    def image(self, key: str) -> Tensor:
        """float32 RGB [N,3,H,W] in [0,1]: what the input was before it was normalised."""
        pixels = self.file[f"image_u8/{key}"].transpose(0, 3, 1, 2)
        return torch.from_numpy(pixels.astype(np.float32) / np.float32(255))

    def normalised(self, key: str) -> Tensor:
        """float32 RGB [N,3,H,W] as the original network got it (blue first there, where weights are from Caffe)."""
        given = torch.from_numpy(self.file[f"input/{key}"])[: len(self.file[f"image_u8/{key}"])]
        return given.flip(1) if self.meta["input_normalisation"].endswith("bgr") else given

    def outputs(self, key: str) -> dict[str, tuple[npt.NDArray[np.float32], list[int], float, bool]]:
        """Name -> (values, stride of each axis, absolute tolerance, whether it counts)."""
        stated = self.meta["inputs"][key]["outputs"]
        return {
            name: (self.file[f"out/{key}/{name}"], one["stride"], one["suggested_atol"], one.get("gate", True))
            for name, one in stated.items()
        }

    def entries(self) -> dict[str, Tensor]:
        """The state dict that the rule "white" gives, checked against the file's sums."""
        fields = ("entry_names", "entry_shapes", "entry_kinds", "entry_alias_of")
        names, shapes, kinds, aliases = (json.loads(str(self.file[field])) for field in fields)
        factor = float(self.file["global_factor"])
        state: dict[str, Tensor] = {}
        for row, (name, shape, kind, alias) in enumerate(zip(names, shapes, kinds, aliases, strict=True)):
            if alias and alias != name:
                state[name] = state[alias]
                continue
            values = _values(name.split("::")[-1], shape, kind, factor)
            if kind != "constant":
                found = values.astype(np.float64)
                sums = [found.sum(), (found**2).sum(), found.flat[0], found.flat[-1]] if found.size else [0, 0, 0, 0]
                np.testing.assert_allclose(sums, self.file["fill_check"][row], rtol=1e-6, atol=1e-4, err_msg=name)
            state[name] = torch.from_numpy(values.reshape(shape))
        return state


def available(*folders: Path) -> list[str]:
    """Names of the networks in ``folders``, or in both."""
    files = (path for folder in folders or (FOLDER, MODERN) for path in folder.glob("*_white.npz"))
    return sorted({path.name.removesuffix("_white.npz") for path in files})


def uniform(name: str, count: int) -> npt.NDArray[np.float64]:
    """``count`` numbers in [-1,1) of the SplitMix64 stream that the entry's name seeds."""
    seed = np.uint64(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))
    with np.errstate(over="ignore"):
        z = seed + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(GOLDEN)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(FIRST)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(SECOND)
        z ^= z >> np.uint64(31)
    numbers: npt.NDArray[np.float64] = (z >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1
    return numbers


def _values(name: str, shape: list[int], kind: str, factor: float) -> npt.NDArray[Any]:
    count = int(np.prod(shape))
    if kind in ("num_batches_tracked", "constant"):
        return np.zeros(count, np.int64 if kind != "constant" else np.float32)
    u = uniform(name, count)
    fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 1
    values = {
        "weight": lambda: factor * np.sqrt(6 / fan_in) * u,
        "bias": lambda: 0.1 * u,
        "norm_weight": lambda: 1 + 0.2 * u,
        "norm_bias": lambda: 0.1 * u,
        "running_mean": lambda: 0.1 * u,
        "running_var": lambda: 1 + 0.4 * u,
        "embedding": lambda: u,
        "layer_scale": lambda: 1 + 0.2 * u,
    }[kind]()
    return values.astype(np.float32)
