"""What every backbone promises, and the à trous conversion of strides to dilations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import ClassVar, Protocol, Self

import torch
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LAYERS = ("layer1", "layer2", "layer3", "layer4")
NOMINAL_STRIDES = (4, 8, 16, 32)


class FeatureMemory(Protocol):
    """Features of images that a frozen backbone has seen before."""

    def __call__(self, image: Tensor, encoder: Callable[[Tensor], dict[str, Tensor]]) -> dict[str, Tensor]:
        """What ``encoder`` says of ``image`` [B,3,H,W], which is asked only where nothing is kept."""


class Backbone(nn.Module):
    """Image float32 RGB [B,3,H,W] in [0,1] -> ``{"stem": [B,c0,h0,w0], "layer1": [B,c1,h1,w1], ..., "layer4": ...}``.

    Normalisation is part of the network: the buffers ``mean`` and ``std`` [1,3,1,1] travel with its weights.
    All other state-dict entries have the names of the library's modules, so published weights map by name.

    Attributes:
        library: where the modules, and the weights, are from.
        package: what it needs beyond the base installation: (package, extra of this project that brings it).
        hub: repository of the weights on the Hugging Face hub, where the library does not fetch them itself.
        output_strides: those that it can be built with.
        channels: feature name -> number of channels.
        strides: feature name -> stride in image pixels, after strides beyond ``output_stride`` became dilations.
        not_needed: how published entries begin that serve what no feature needs, beside ImageNet's classifiers.
        frozen: whether it learns nothing at all, see :meth:`hold`.
        memory: asked before a pass of a frozen backbone; None for a pass each time.
    """

    library: ClassVar[str] = "torchvision"
    package: ClassVar[tuple[str, str] | None] = None
    hub: ClassVar[str] = ""
    output_strides: ClassVar[tuple[int, ...]] = (8, 16, 32)
    not_needed: tuple[str, ...] = ()
    memory: FeatureMemory | None = None
    mean: Tensor
    std: Tensor

    def __init__(self, output_stride: int, channels: Sequence[int], stem: tuple[int, int]) -> None:
        """``channels`` of layer1 to layer4; channels and stride of the ``stem``."""
        super().__init__()
        if output_stride not in self.output_strides:
            known = ", ".join(str(stride) for stride in self.output_strides)
            raise ValueError(f"{type(self).__name__}: output_stride must be one of {known}, not {output_stride}.")
        self.output_stride = output_stride
        self.channels = {"stem": stem[0], **dict(zip(LAYERS, channels, strict=True))}
        self.strides = {"stem": stem[1]}
        self.strides |= {name: min(s, output_stride) for name, s in zip(LAYERS, NOMINAL_STRIDES, strict=True)}
        self.freeze_bn = False
        self.frozen_stages = 0
        self.frozen = False
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))

    @classmethod
    def own_name(cls, published: str) -> str:
        """The state-dict entry that a published file of weights calls ``published``."""
        return published

    @classmethod
    def own_value(cls, name: str, value: Tensor) -> Tensor:
        """What a published file has for our entry ``name``, in our order of channels."""
        return value

    @classmethod
    def own_entries(cls, published: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The entries of a published file under our names and in our order of channels."""
        return {(name := cls.own_name(raw)): cls.own_value(name, value) for raw, value in published.items()}

    def stages(self) -> list[nn.Module]:
        """The stem, then one module per layer, in forward order."""
        raise NotImplementedError

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        stem, *layers = self.stages()
        x = stem((image - self.mean) / self.std)
        features = {"stem": x}
        for name, layer in zip(LAYERS, layers, strict=True):
            x = layer(x)
            features[name] = x
        return features

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        return self._pass(image) if self.memory is None else self.memory(image, self._pass)

    def _pass(self, image: Tensor) -> dict[str, Tensor]:
        with self.held(image):
            features: dict[str, Tensor] = super().__call__(image)
        return {name: feature.float() for name, feature in features.items()} if self.frozen else features

    def hold(self) -> None:
        """Make it an encoder that does not learn: its passes keep no graph, and use bfloat16 on a GPU that has it."""
        self.frozen = True
        self.requires_grad_(False)
        self.train(self.training)

    @contextmanager
    def held(self, image: Tensor) -> Iterator[None]:
        """How a pass over ``image`` runs: without graph, and on such a GPU in half precision, where it is frozen."""
        if not self.frozen:
            yield
            return
        half = image.is_cuda and torch.cuda.is_bf16_supported(including_emulation=False)
        with torch.no_grad(), torch.autocast("cuda", torch.bfloat16) if half else nullcontext():
            yield

    def freeze(self, freeze_bn: bool, frozen_stages: int) -> None:
        """Hold weights still: ``frozen_stages`` counts from the stem (1: stem, 2: stem and layer1, ...).

        ``freeze_bn`` keeps every batch norm on its stored statistics, without affine gradients, as
        PSA, SEAM and IRN train. Both survive ``train()``.
        """
        if not 0 <= frozen_stages <= len(self.stages()):
            raise ValueError(f"frozen_stages must be 0..{len(self.stages())}, not {frozen_stages}.")
        self.freeze_bn, self.frozen_stages = freeze_bn, frozen_stages
        for module in self._frozen():
            module.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        super().train(mode and not self.frozen)
        for module in self._frozen():
            module.eval()
        return self

    def _frozen(self) -> list[nn.Module]:
        norms = [m for m in self.modules() if self.freeze_bn and isinstance(m, nn.BatchNorm2d)]
        return self.stages()[: self.frozen_stages] + norms


def limit_stride(layers: Sequence[nn.Module], output_stride: int) -> None:
    """Turn the strides of ``layer1..layer4`` beyond ``output_stride`` into dilations, in place.

    À trous (Chen et al. 2015, DeepLab v1): the convolution that loses its stride keeps its dilation and all
    that follow are spread twice as far, so the dense map holds the strided network's values at every n-th cell.
    """
    dilation = 1
    for layer, stride in zip(layers, NOMINAL_STRIDES, strict=True):
        if stride > output_stride:
            dilation = _dilate(layer, dilation)


def _dilate(layer: nn.Module, dilation: int) -> int:
    """Remove the stride of one layer whose input is already spread by ``dilation``; return the new spread."""
    for conv in (m for m in layer.modules() if isinstance(m, nn.Conv2d)):
        if conv.kernel_size != (1, 1):
            conv.dilation = (dilation, dilation)
            conv.padding = (dilation * (conv.kernel_size[0] // 2), dilation * (conv.kernel_size[1] // 2))
            dilation *= conv.stride[0]
        conv.stride = (1, 1)
    return dilation
