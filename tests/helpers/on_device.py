"""The tests of models on a device that they do not name: what a test makes lies there, and what it reads comes back.

A tensor that a test makes (``torch.rand``, ``torch.from_numpy``) is drawn on the CPU, so that its numbers are the same
everywhere, and moved; a network is moved when its constructor has returned to the test. The project's own code is left
alone: whatever it makes on the wrong device, or reads as an array, fails as it would for a user.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial, wraps
from typing import Any, Literal
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import models.doors as doors
from models.methods import ADD_ONS, METHODS
from tests.helpers.pretend_gpu import PretendGpu
from tests.helpers.pretend_tensor import CUDA, innermost, leaves_of

Device = Literal["cpu", "cuda", "pretend"]
Arithmetic = Literal["float32", "tf32", "bfloat16"]
READS = {"numpy", "__array__"}
_here: list[torch.device] = [torch.device("cpu")]


def device() -> torch.device:
    """Where the running test computes."""
    return _here[-1]


def seeded(seed: int) -> torch.Generator:
    """A generator there, for what draws beside tensors of the device."""
    return torch.Generator(device()).manual_seed(seed)


@contextmanager
def computing(name: Device, arithmetic: Arithmetic = "float32") -> Iterator[None]:
    """All that a test does within the block is on the device, in that arithmetic."""
    with ExitStack() as stack:
        if name != "cpu":
            if name == "pretend":
                stack.enter_context(PretendGpu())
            stack.enter_context(_modules_moved())
            stack.enter_context(patch("torch.testing.assert_close", _assert_close))
            stack.enter_context(patch("torch.from_numpy", _from_numpy))
            stack.enter_context(_OfTests())
        stack.enter_context(in_arithmetic(arithmetic, "cpu" if name == "cpu" else "cuda"))
        _here.append(CUDA if name != "cpu" else torch.device("cpu"))
        stack.callback(_here.pop)
        yield


def in_arithmetic(arithmetic: Arithmetic, kind: str) -> AbstractContextManager[object]:
    """Set the flags of TF32 (for good), and give autocast for bfloat16."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = arithmetic == "tf32"
    return torch.autocast(kind, torch.bfloat16) if arithmetic == "bfloat16" else nullcontext()


_assert_close = partial(torch.testing.assert_close, check_device=False)


def _from_numpy(array: Any, plain: Callable[[Any], Tensor] = torch.from_numpy) -> Tensor:
    """Modes do not see it."""
    return _moved(plain(array)) if _is_test() else plain(array)


class _OfTests(TorchFunctionMode):
    """Calls whose innermost caller in the project is a test."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not _is_test():
            return func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        if name in READS and args[0].device.type != "cpu":
            return func(args[0].cpu(), *args[1:], **kwargs)
        made = func(*args, **kwargs)
        given = any(isinstance(leaf, Tensor) for leaf in leaves_of((args, kwargs)))
        return made if given or "device" in kwargs or not isinstance(made, Tensor) else _moved(made)


def _moved(made: Tensor) -> Tensor:
    if made.device.type != "cpu":
        return made
    moved = made.detach().to(CUDA)
    return moved.requires_grad_() if made.requires_grad else moved


def _is_test() -> bool:
    path = innermost(sys._getframe(1))
    return path is not None and path[0].startswith("tests/")


@contextmanager
def _modules_moved() -> Iterator[None]:
    """Networks of the project lie on the device once the outermost constructor is done."""
    for door in (METHODS, ADD_ONS):
        for name in door:
            doors.resolve(door, name, "page")
    depth = 0

    def wrapped(make: Callable[..., None]) -> Callable[..., None]:
        @wraps(make)
        def constructor(self: nn.Module, *args: Any, **kwargs: Any) -> None:
            nonlocal depth
            depth += 1
            try:
                make(self, *args, **kwargs)
            finally:
                depth -= 1
            if not depth:
                self.to(CUDA)

        return constructor

    with ExitStack() as stack:
        for part in _parts(nn.Module):
            stack.enter_context(patch.object(part, "__init__", wrapped(part.__init__)))
        yield


def _parts(above: type) -> Iterator[type]:
    """Subclasses of the project that have a constructor of their own."""
    for part in above.__subclasses__():
        if part.__module__.startswith("models.") and "__init__" in vars(part):
            yield part
        yield from _parts(part)
