"""Tensors of a TorchScript archive, without running what is in it.

Such a file holds compiled code beside the weights. Neither that code nor anything that its pickle names is executed:
the pickle may build modules, which become plain bags of attributes here, and tensors over the file's raw numbers.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.errors import DataError
from pipeline.storage.plain_pickle import PlainUnpickler

STORED = {
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "ByteStorage": torch.uint8,
    "CharStorage": torch.int8,
    "ShortStorage": torch.int16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
    "BoolStorage": torch.bool,
}
"""Kinds of raw numbers, by the names of torch's classes."""
CONSTANTS = "constants.pkl"
"""A member that every TorchScript archive has, and no other file of torch."""

MOST_MODULES, LONGEST_PATH = 100_000, 1000
"""In a network: OpenAI's largest CLIP has less than 1000 modules."""


class _Module:
    """A compiled module: its parameters, buffers and submodules are attributes."""


def is_torchscript(path: Path) -> bool:
    """Whether a file is such an archive."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith(f"/{CONSTANTS}") for name in archive.namelist())


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """All tensors of the archive, under the names of a state dict.

    Raises:
        DataError: the pickle names anything but modules and tensors, or a tensor does not fit its numbers.
    """
    with zipfile.ZipFile(path) as archive:
        (pickled,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        root = _Reader(archive, pickled, path).load()
        return _tensors(root)


class _Reader(PlainUnpickler):
    """Builds nothing but modules, tensors and plain containers."""

    def __init__(self, archive: zipfile.ZipFile, name: str, path: Path) -> None:
        super().__init__(io.BytesIO(archive.read(name)))
        self.archive, self.folder, self.path = archive, name.removesuffix(".pkl"), path
        self.numbers: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__"):
            return type(name, (_Module,), {})  # a class of this file's, whatever it writes there
        known = {
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch._utils", "_rebuild_parameter"): _parameter,
            ("collections", "OrderedDict"): _no_hooks,
            **{("torch.jit._pickle", f"build_{kind}list"): list for kind in ("int", "double", "bool", "tensor")},
            **{("torch", storage): dtype for storage, dtype in STORED.items()},
        }
        if (module, name) not in known:
            raise DataError(
                f"{self.path} names {module}.{name}, which is neither a module nor a tensor, and is refused. "
                "Remedy: where you trust its source, save its tensors alone: "
                "torch.save(torch.jit.load(FILE).state_dict(), NEW)."
            )
        return known[module, name]

    def persistent_load(self, pid: Any) -> Tensor:
        _, dtype, key, *_ = pid
        if not isinstance(key, str):
            raise ValueError(f"numbers under a name of type {type(key).__name__}")
        if key not in self.numbers:
            numbers = bytearray(self.archive.read(f"{self.folder}/{key}"))
            self.numbers[key] = torch.frombuffer(numbers, dtype=dtype) if numbers else torch.empty(0, dtype=dtype)
        return self.numbers[key]


def _tensor(numbers: Tensor, offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
    """A tensor over raw numbers; torch refuses one that would reach beyond them, and this one that repeats them."""
    if math.prod(size) > numbers.numel():
        raise ValueError(f"a tensor of shape {list(size)} over {numbers.numel()} numbers")
    return numbers.as_strided(tuple(size), tuple(stride), offset)


def _no_hooks() -> OrderedDict[str, Any]:
    """Of a tensor's hooks; there are never any in a file."""
    return OrderedDict()


def _parameter(data: Tensor, *_: Any) -> Tensor:
    return data


def _tensors(root: Any) -> dict[str, Tensor]:
    """The tensors of a module and of those in it, by their path; they share memory where the file lets them.

    Raises:
        ValueError: too many modules, as where each of a few holds the one before it several times.
    """
    tensors, modules = {}, [(root, "")]
    for module, prefix in modules:  # grows meanwhile
        if len(modules) > MOST_MODULES or len(prefix) > LONGEST_PATH:
            raise ValueError("modules within modules without end")
        for name, value in vars(module).items():
            if isinstance(value, Tensor):
                tensors[prefix + name] = value
            elif isinstance(value, _Module):
                modules.append((value, f"{prefix}{name}."))
    return tensors
