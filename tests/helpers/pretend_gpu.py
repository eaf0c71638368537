"""A GPU that is not there: tensors that say ``cuda:0``, compute on the CPU, and refuse to meet tensors that do not.

``with PretendGpu() as gpu:`` everything that is asked for on a device "cuda" is a ``PretendTensor``. An operation on
one of them and on a plain tensor of one or more dimensions raises ``MixingError``, as CUDA does, and every read of
values by the host is counted. Numbers are the CPU's, so a run on the pretend GPU gives the bytes of a plain one.

To torch's C++ a pretend tensor is on the CPU: only what Python sees of it says "cuda:0". So autograd works without a
driver. What C++ makes by itself inside an operation belongs to the device of that operation; what Python makes belongs
to the device that it names, or to the CPU.

Deterministic algorithms are off within: with them torch enlarges maps of a GPU by functions in Python, which make
tensors on ``cuda:0`` where this module does not see them.

It is stricter than CUDA in one thing: indices on the CPU are refused, which CUDA takes, but uploads at each use. Copies
from the CPU to the GPU (``to``, ``copy_``) are not counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.autograd.graph import _engine_run_backward
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from tests.helpers.pretend_tensor import (
    CUDA,
    PlainGenerator,
    PretendGenerator,
    PretendTensor,
    check_devices,
    check_generator,
    classes_given,
    held,
    is_cuda,
    is_method,
    leaves_of,
    mapped,
    marked,
    name_of,
    place,
    pretended,
)

SYNCHRONISING = {
    "_local_scalar_dense": "item",
    "_unique": "unique",
    "_unique2": "unique",
    "bincount": "bincount",
    "equal": "equal",
    "masked_select": "boolean index",
    "nonzero": "nonzero",
    "repeat_interleave": "repeat_interleave",
    "unique_consecutive": "unique",
    "unique_dim": "unique",
}
"""Operations of CUDA that wait for the GPU, since the shape of their result, or their result, is the host's."""
CHECKS_ON_CPU = {"torch.nn.functional.one_hot"}
"""They read values on a CPU, to refuse wrong ones; on a GPU they do not."""
AS_ARRAYS = {"numpy", "__array__", "__array_wrap__", "__dlpack__"}


class PretendGpu:
    """Turns the pretence on within a ``with`` block.

    Attributes:
        trips: reads of the device's values by the host: (place, operation) -> times. A place is "file function".
    """

    def __init__(self) -> None:
        self.trips: Counter[tuple[str, str]] = Counter()
        self.inside = 0  # calls under way that have pretend tensors: what C++ makes in them is on the GPU
        self.quiet = 0  # calls under way whose reads are the CPU's business alone

    def __enter__(self) -> PretendGpu:
        self._modes = _Functions(self), _Dispatched(self)
        self._determinism = torch.get_deterministic_debug_mode()
        torch.set_deterministic_debug_mode("default")
        self._to = patch.object(nn.Module, "to", self._module_to(nn.Module.to))
        self._to.start()
        torch.Generator = PretendGenerator  # type: ignore[misc]
        for mode in self._modes:
            mode.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        for mode in reversed(self._modes):
            mode.__exit__(*error)
        torch.Generator = PlainGenerator  # type: ignore[misc]
        self._to.stop()
        torch.set_deterministic_debug_mode(self._determinism)

    def _module_to(self, plain: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        def to(module: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
            device = torch._C._nn._parse_to(*args, **kwargs)[0]
            return plain(module, *args, **kwargs) if device is None or not is_cuda(device) else self.move(module)

        return to

    def count(self, operation: str) -> None:
        """Note a read by the host, in the innermost function of the project."""
        if not self.quiet:
            self.trips[place(lines=False), operation] += 1

    def upload(self, tensor: Tensor) -> Tensor:
        return tensor if isinstance(tensor, PretendTensor) else _Upload.apply(tensor)

    def download(self, tensor: Tensor) -> Tensor:
        self.count("cpu")
        return _Download.apply(tensor)  # type: ignore[no-any-return]

    def move(self, module: nn.Module) -> nn.Module:
        """Put parameters and buffers on the pretend GPU, in place; shared ones stay shared."""
        moved: dict[int, Tensor] = {}
        for part in module.modules():
            for name, parameter in part._parameters.items():
                if parameter is not None and not isinstance(parameter, PretendTensor):
                    fresh = moved.setdefault(
                        id(parameter), nn.Parameter(PretendTensor(parameter.detach()), parameter.requires_grad)
                    )
                    part._parameters[name] = fresh  # type: ignore[assignment]
            for name, buffer in part._buffers.items():
                if buffer is not None and not isinstance(buffer, PretendTensor):
                    part._buffers[name] = moved.setdefault(id(buffer), PretendTensor(buffer))
        return module

    @contextmanager
    def within(self, pretend: bool, quiet: bool) -> Iterator[None]:
        before = self.inside, self.quiet
        self.inside, self.quiet = int(pretend), self.quiet + quiet
        try:
            yield
        finally:
            self.inside, self.quiet = before


class _Upload(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        return PretendTensor(tensor.detach().clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient.held if isinstance(gradient, PretendTensor) else gradient


class _Download(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        return tensor.held.clone()  # type: ignore[attr-defined, no-any-return]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return PretendTensor(gradient)


class _Functions(TorchFunctionMode):
    """What Python calls: devices that it names, copies between devices, and whose the tensors are that C++ makes."""

    def __init__(self, gpu: PretendGpu) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        pretend = any(isinstance(leaf, PretendTensor) for leaf in leaves_of((args, kwargs)))
        name = getattr(func, "__name__", "")
        special = getattr(self, f"_{name}", None) if is_method(func) else None
        if special is not None and (pretend or name in ("to", "cuda")):
            return special(func, *args, **kwargs)
        if pretend and is_method(func) and name in AS_ARRAYS:
            raise TypeError(f"can't convert {CUDA} device type tensor to numpy. Use Tensor.cpu() first. ({place()})")
        asked = kwargs.get("device")
        if asked is not None:
            kwargs["device"] = "cpu"
        on_gpu = pretend if asked is None else is_cuda(asked)
        check_generator(kwargs.get("generator"), on_gpu)
        if pretend and not on_gpu:  # a plain tensor like a pretend one
            args, kwargs, pretend = mapped(held, args), mapped(held, kwargs), False
        with self.gpu.within(pretend, quiet=name_of(func) in CHECKS_ON_CPU and classes_given(args, kwargs)):
            result = func(*args, **kwargs)
        if on_gpu and (asked is not None or name == "new_tensor"):
            return mapped(pretended, result)
        return result if pretend else marked(result, name)

    def _to(self, func: Any, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        other = kwargs.pop("other", args[0] if args and isinstance(args[0], Tensor) else None)
        copy = bool(kwargs.pop("copy", False))
        if other is not None:
            device, dtype, layout = other.device, other.dtype, None
        else:
            device, dtype, _, layout = torch._C._nn._parse_to(*args, **kwargs)
        if device is not None and is_cuda(device):
            tensor = self.gpu.upload(tensor)
        elif device is not None and isinstance(tensor, PretendTensor):
            tensor = self.gpu.download(tensor)
        options: dict[str, Any] = {"copy": copy}
        if dtype is not None:
            options["dtype"] = dtype
        if layout is not None:
            options["memory_format"] = layout
        with self.gpu.within(isinstance(tensor, PretendTensor), quiet=False):
            return func(tensor, **options)  # type: ignore[no-any-return]

    def _cpu(self, func: Any, tensor: Tensor, **kwargs: Any) -> Tensor:
        return self.gpu.download(tensor)

    def _cuda(self, func: Any, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return self.gpu.upload(tensor)

    def _tolist(self, func: Any, tensor: PretendTensor) -> Any:
        self.gpu.count("tolist")
        return tensor.held.tolist()

    def _backward(self, func: Any, tensor: Tensor, **unused: Any) -> None:
        """Of a scalar. The mode stays on, so that what Python makes in a backward of its own is seen."""
        with self.gpu.within(isinstance(tensor, PretendTensor), quiet=False), _Functions(self.gpu):
            _engine_run_backward((tensor,), (torch.ones_like(tensor),), False, False, (), True, accumulate_grad=True)


class _Dispatched(TorchDispatchMode):
    """What torch computes, below autograd."""

    def __init__(self, gpu: PretendGpu) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [leaf for leaf in leaves_of((args, kwargs)) if isinstance(leaf, Tensor)]
        pretend = [tensor for tensor in tensors if isinstance(tensor, PretendTensor)]
        name = func.overloadpacket.__name__
        if not pretend:
            result = func(*args, **kwargs)
            made_here = self.gpu.inside and (not tensors or name == "lift_fresh")
            return mapped(pretended, result) if made_here else result
        if name == "copy_":
            if not isinstance(args[0], PretendTensor) and args[0].ndim:
                self.gpu.count("copy_")
        else:
            check_devices(func, tensors, pretend)
            self._count(name, args)
        originals = {id(tensor.held): tensor for tensor in pretend}
        result = func(*mapped(held, args), **mapped(held, kwargs))

        def wrapped(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor):
                return leaf
            return originals[id(leaf)] if id(leaf) in originals else PretendTensor(leaf)

        if name == "copy_":
            return args[0]
        return mapped(wrapped, result)

    def _count(self, name: str, args: Any) -> None:
        if name in SYNCHRONISING:
            self.gpu.count(SYNCHRONISING[name])
        elif name in ("index", "index_put", "index_put_", "_index_put_impl_"):
            masks = [index for index in args[1] if index is not None and index.dtype in (torch.bool, torch.uint8)]
            filled = name != "index" and len(args[1]) == len(masks) == 1 and args[2].numel() == 1  # masked_fill
            if masks and not filled:
                self.gpu.count("boolean index")
