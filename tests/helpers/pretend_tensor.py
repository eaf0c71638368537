"""Tensors and generators that say ``cuda:0`` and hold the CPU's, for ``tests.helpers.pretend_gpu``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import resolve_name

CUDA = torch.device("cuda:0")
ROOT = Path(__file__).parents[2]


class MixingError(RuntimeError):
    """An operation on tensors of two devices; the message names where it was and where the plain one was made."""


class PretendTensor(Tensor):
    """Says ``cuda:0``, and holds a CPU tensor that has its values."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> PretendTensor:
        with torch.inference_mode(False):  # a view of a parameter is a usual tensor, there too
            made: PretendTensor = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
                cls,
                held.shape,
                strides=held.stride(),
                storage_offset=held.storage_offset(),
                dtype=held.dtype,
                layout=held.layout,
                device="cpu",
            )
        made.held = held
        return made

    device = property(lambda self: CUDA)  # type: ignore[assignment]
    is_cuda = property(lambda self: True)  # type: ignore[assignment]
    is_cpu = property(lambda self: False)  # type: ignore[assignment]
    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError(f"{func}: a pretend tensor outside of its `with PretendGpu()`.")

    def __deepcopy__(self, memo: dict[int, Any]) -> PretendTensor:
        if id(self) not in memo:
            copied = PretendTensor(self.held.clone())
            memo[id(self)] = nn.Parameter(copied, self.requires_grad) if self._is_parameter() else copied
        return memo[id(self)]  # type: ignore[no-any-return]

    def _is_parameter(self) -> bool:
        return getattr(self, "_is_param", False)

    def __repr__(self, **kwargs: Any) -> str:
        return f"PretendTensor({self.held!r}, device='{CUDA}')"


PlainGenerator = torch.Generator


class PretendGenerator(PlainGenerator):
    """A generator on ``cuda:0`` that draws the CPU's numbers."""

    def __new__(cls, device: Any = "cpu") -> Any:
        return super().__new__(cls if is_cuda(device) else PlainGenerator, "cpu")

    device = property(lambda self: CUDA)  # type: ignore[assignment]


def is_cuda(device: Any) -> bool:
    """Whether ``device``, in any form that torch takes, is a GPU."""
    return isinstance(device, int) or torch.device(device).type == "cuda"


def place(lines: bool = True) -> str:
    """ "file:line function" of the innermost call from the project's code, these helpers left out."""
    inside = innermost(sys._getframe(1))
    if inside is None:
        return "?"
    path, frame = inside
    line = f":{frame.f_lineno}" if lines else ""
    return f"{path}{line} {frame.f_code.co_qualname.split('.<locals>')[0]}"


def innermost(frame: FrameType | None) -> tuple[str, FrameType] | None:
    """The innermost frame of the project's code from ``frame`` outwards, with its file's path in the repository."""
    while frame is not None:
        path = _in_project(frame.f_code.co_filename)
        if path is not None:
            return path, frame
        frame = frame.f_back
    return None


@cache
def _in_project(file: str) -> str | None:
    """The file's path in the repository, or None for one of others or of these helpers."""
    path = Path(file)
    helper = path.name.startswith(("pretend_", "on_device"))
    inside = path.is_relative_to(ROOT) and not helper and ".venv" not in path.parts
    return str(path.relative_to(ROOT)) if inside else None


@cache
def name_of(func: Any) -> str:
    """As "torch.Tensor.item"."""
    return resolve_name(func) or ""


def is_method(func: Any) -> bool:
    return name_of(func).startswith("torch.Tensor.")


def leaves_of(tree: Any) -> Iterator[Any]:
    """What lists, tuples and dicts hold in the end."""
    if isinstance(tree, list | tuple):
        for branch in tree:
            yield from leaves_of(branch)
    elif isinstance(tree, dict):
        yield from leaves_of(list(tree.values()))
    else:
        yield tree


def mapped(change: Callable[[Any], Any], tree: Any) -> Any:
    """The same lists, tuples and dicts of changed leaves."""
    if isinstance(tree, list | tuple):
        branches = [mapped(change, branch) for branch in tree]
        return branches if isinstance(tree, list) else tuple(branches)
    if isinstance(tree, dict):
        return {key: mapped(change, branch) for key, branch in tree.items()}
    return change(tree)


def held(leaf: Any) -> Any:
    return leaf.held if isinstance(leaf, PretendTensor) else leaf


def pretended(leaf: Any) -> Any:
    if not isinstance(leaf, Tensor) or isinstance(leaf, PretendTensor):
        return leaf
    made = PretendTensor(leaf.detach())
    return made.requires_grad_() if leaf.requires_grad else made


def marked(result: Any, name: str) -> Any:
    """Note on a plain tensor where it was made, for the message of a mixing."""
    plain = isinstance(result, Tensor) and not isinstance(result, PretendTensor)
    if plain and result.ndim and not hasattr(result, "made_at"):
        result.made_at = f"{name} at {place()}"
    return result


def classes_given(args: Any, kwargs: Any) -> bool:
    return len(args) > 1 or "num_classes" in kwargs


def check_generator(generator: Any, on_gpu: bool) -> None:
    if generator is not None and isinstance(generator, PretendGenerator) != on_gpu:
        raise MixingError(f"{place()}: expected a generator on {CUDA if on_gpu else 'cpu'}, found another.")


def check_devices(func: Callable[..., Any], tensors: list[Tensor], pretend: list[Any]) -> None:
    for tensor in tensors:
        if tensor.ndim and not isinstance(tensor, PretendTensor):
            made = getattr(tensor, "made_at", "outside of the block")
            raise MixingError(
                f"{place()}: {func} has a tensor {list(pretend[0].shape)} on {CUDA} and one {list(tensor.shape)} on "
                f"cpu, made by {made}. Remedy: name the device where it is made."
            )
