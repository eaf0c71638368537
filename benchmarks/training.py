"""Steps of training on a CPU: the classifier's plain loop, SEAM's losses, a depthwise layer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.frame import Case, Results
from benchmarks.similarity import with_gradient
from models.losses.seam import View, comparable_views, equivariance_losses, min_pooling_loss, siamese_classification
from models.method import Method
from models.methods.classifier import Classifier
from models.methods.segmenter import SegmenterNetwork
from models.ops.cam import max_norm
from models.ops.depthwise import DepthwiseConv2d
from models.ops.half_precision import is_fast_in
from models.ops.pixel_correlation import winner_only, with_background
from models.structures import UNLABELLED, Batch, StepContext
from pipeline.compute.runtime import keep_memory
from pipeline.storage.kept_features import KeptFeatures

CONTEXT = StepContext(0, 10, 5)
NEAR = 0.1 if is_fast_in(torch.bfloat16, "cpu") else 2e-2
"""Bfloat16 moves the gradient of a random network by up to 5 %."""
SMALL = 128
"""Side of SEAM's second view in pixels."""


@dataclass(frozen=True)
class Step:
    """A method and a batch, contiguous, float32."""

    method: Method
    batch: Batch


def step(images: int, side: int, classes: int) -> Step:
    """The classifier on MobileNetV2, one class an image, no labels of pixels."""
    torch.manual_seed(0)
    return Step(Classifier(classes).train(), _batch(images, side, classes, UNLABELLED))


def segmenter_step(images: int, side: int, classes: int) -> Step:
    """The segmenter on MobileNetV2, every pixel labelled with its image's class."""
    torch.manual_seed(0)
    numbers = 1 + torch.arange(images) % classes
    return Step(SegmenterNetwork(classes, dropout=0.0).train(), _batch(images, side, classes, numbers[:, None, None]))


def _batch(images: int, side: int, classes: int, labels: Tensor | int) -> Batch:
    """Noise, one class an image."""
    image, numbers = torch.rand(images, 3, side, side), torch.arange(images) % classes
    seeds = torch.empty(images, side, side, dtype=torch.long)
    seeds[:] = labels
    return Batch(image, torch.eye(classes).bool()[numbers], seeds)


def as_trained(x: Step) -> Results:
    """Channels last, freed memory kept, bfloat16 where the CPU has it: as the stage ``train`` runs on a CPU."""
    keep_memory()
    x.method.to(memory_format=torch.channels_last)
    batch = replace(x.batch, image=x.batch.image.contiguous(memory_format=torch.channels_last))
    half = torch.autocast("cpu", torch.bfloat16) if is_fast_in(torch.bfloat16, "cpu") else nullcontext()
    with half:
        outputs = x.method(batch)
    return _learnt(x.method, outputs, batch)


def plain_step(x: Step) -> Results:
    """Forward pass, losses and backward pass in float32 on contiguous tensors: the loop as a tutorial has it."""
    for layer in x.method.modules():
        if isinstance(layer, DepthwiseConv2d):
            layer.__class__ = nn.Conv2d
    return _learnt(x.method, x.method(x.batch), x.batch)


def _learnt(method: Method, outputs: dict[str, Tensor], batch: Batch) -> Results:
    method.zero_grad()
    loss = torch.stack(list(method.losses(outputs, batch, CONTEXT).values())).sum()
    loss.backward()
    gradients = [p.grad.norm() for p in method.parameters() if p.grad is not None]
    return {"loss": loss, "norm of the gradient": torch.stack(gradients).norm()}


@dataclass(frozen=True)
class Frozen(Step):
    """A method whose backbone does not learn, and the folder of its features of the batch."""

    folder: TemporaryDirectory[str]


def frozen(images: int, side: int, classes: int) -> Frozen:
    """The classifier on a frozen MobileNetV2, whose features of the batch are kept."""
    made = step(images, side, classes)
    x = Frozen(made.method, made.batch, TemporaryDirectory())
    for _ in range(10):  # statistics for batch norms: without, features of a random network are of the order of 1e-9
        x.method.backbone(x.batch.image)  # type: ignore[operator]
    x.method.backbone.hold()  # type: ignore[operator,union-attr]
    _remember(x)
    x.method(x.batch)
    return x


def read_step(x: Frozen) -> Results:
    """Forward pass of the head on features read from the disk (``settings.keep_features``), losses, backward pass."""
    _remember(x)
    return _learnt(x.method, x.method(x.batch), x.batch)


def computed_step(x: Frozen) -> Results:
    """Forward pass of the frozen encoder without a graph and of the head, losses, backward pass."""
    x.method.backbone.memory = None  # type: ignore[union-attr]
    return _learnt(x.method, x.method(x.batch), x.batch)


def _remember(x: Frozen) -> None:
    memory = KeptFeatures(lambda: Path(x.folder.name), len(x.batch.image))
    x.method.backbone.memory = memory  # type: ignore[union-attr,assignment]


@dataclass(frozen=True)
class Maps:
    """CAMs and refined CAMs of both views, [B,1+C,h,w], that record gradients; tags [B,C]; side of the first view."""

    maps: list[tuple[Tensor, Tensor]]
    tags: Tensor
    side: int


def maps(images: int, side: int, classes: int) -> Maps:
    """Random maps; two classes for half of the images, one for the others."""
    generator = torch.Generator().manual_seed(0)
    tags = torch.zeros(images, classes, dtype=torch.bool)
    for shift in (0, 2):
        tagged = torch.arange(0, images, 1 + shift // 2)
        tags[tagged, (tagged + shift) % classes] = True
    grids = [(images, 1 + classes, n, n) for n in (side // 16, SMALL // 16)]
    pairs = [(torch.randn(grid, generator=generator), torch.rand(grid, generator=generator)) for grid in grids]
    return Maps([(cam.requires_grad_(), refined.requires_grad_()) for cam, refined in pairs], tags, side)


def tagged_pairs(x: Maps) -> Results:
    """Maps of the tagged pairs of an image and a class alone, enlarged only where a loss needs it."""
    views = (View.of(*pair, x.tags, (n, n)) for pair, n in zip(x.maps, (x.side, SMALL), strict=True))
    first, second = views
    found = equivariance_losses(*comparable_views(first, second, x.tags))
    losses = [*siamese_classification(first, second, x.tags).values(), found.plain, found.cross]
    return with_gradient(torch.stack(losses).sum(), *(leaf for pair in x.maps for leaf in pair))


def all_classes(x: Maps) -> Results:
    """SEAM's total as its formulas read: maps of all classes at the size of the image, gradients by autograd.

    Source: docs/methods/seam.md.
    """
    there = F.pad(x.tags.float(), (1, 0), value=1)[:, :, None, None]
    sizes = ((x.side, x.side), (SMALL, SMALL))
    big = [[_enlarge(m, size) for m in pair] for pair, size in zip(x.maps, sizes, strict=True)]
    total = torch.zeros(())
    for cam, refined in big:
        total = total + F.multilabel_soft_margin_loss(cam[:, 1:].mean((2, 3)), x.tags.float()) / 2
        total = total + min_pooling_loss(refined[:, 1:] * there[:, 1:]) / 2
    stretched = [[_enlarge(max_norm(m), sizes[1]) * there for m in pair] for pair in big]
    total = total + (stretched[0][0] - stretched[1][0])[:, 1:].abs().mean()
    targets = [winner_only(with_background(cam[:, 1:].detach())) for cam, _ in stretched]
    for target, (_, refined) in zip(targets[::-1], stretched, strict=True):
        gap = (target - refined).abs().flatten(1)
        total = total + gap.topk(int(0.2 * gap.shape[1])).values.mean()
    return with_gradient(total, *(leaf for pair in x.maps for leaf in pair))


def _enlarge(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(maps, size, mode="bilinear", align_corners=True)


@dataclass(frozen=True)
class Layer:
    """Input [B,K,h,w], channels last, that records gradients; ``make`` builds a layer of some class."""

    x: Tensor
    make: Callable[[type[nn.Conv2d]], nn.Conv2d]


def strided(images: int, channels: int, side: int) -> Layer:
    """Stride 2, the layers between the stages of MobileNetV2."""
    return _layer(images, channels, side, {"stride": 2, "padding": 1})


def dilated(images: int, channels: int, side: int) -> Layer:
    """Dilation 2, the layers of its last stage at output stride 16."""
    return _layer(images, channels, side, {"dilation": 2, "padding": 2})


def dilated_float32(images: int, channels: int, side: int) -> Layer:
    """The same layers in float32."""
    return _layer(images, channels, side, {"dilation": 2, "padding": 2}, torch.float32)


def large_kernel(images: int, channels: int, side: int) -> Layer:
    """5x5 with stride 2, as EfficientNet has them."""
    return _layer(images, channels, side, {"stride": 2, "padding": 2}, kernel=5)


def _layer(
    images: int,
    channels: int,
    side: int,
    options: dict[str, int],
    dtype: torch.dtype = torch.bfloat16,
    kernel: int = 3,
) -> Layer:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(images, channels, side, side, generator=generator)
    weight = torch.randn(channels, 1, kernel, kernel, generator=generator)

    def make(of: type[nn.Conv2d]) -> nn.Conv2d:
        layer = of(channels, channels, kernel, groups=channels, bias=False, **options)  # type: ignore[arg-type]
        layer.weight.data.copy_(weight)
        return layer

    return Layer(x.to(dtype).contiguous(memory_format=torch.channels_last).requires_grad_(), make)


def depthwise(x: Layer) -> Results:
    """Forward and backward pass of ``DepthwiseConv2d``, channels last: 3x3 by undilated convolutions of stride 1, for
    which torch is fast; other kernels by a backward pass in float32.
    """
    return _passes(x, DepthwiseConv2d, x.x)


def torch_depthwise(x: Layer) -> Results:
    """Forward and backward pass of ``torch.nn.Conv2d``, contiguous: channels last, its bfloat16 gradients are wrong."""
    return _passes(x, nn.Conv2d, x.x.detach().contiguous().requires_grad_())


def _passes(x: Layer, of: type[nn.Conv2d], maps: Tensor) -> Results:
    layer = x.make(of)
    with torch.autocast("cpu", torch.bfloat16, enabled=maps.dtype == torch.bfloat16):
        y = layer(maps)
    return with_gradient(y.float().square().mean(), maps, layer.weight)


LAYER = {"images": 2, "channels": 96, "side": 32}
WIDE = {"images": 8, "channels": 960, "side": 16}
TINY = {"images": 1, "channels": 4, "side": 8}
CASES = {
    "classifier": Case(
        "A step of the classifier",
        step,
        as_trained,
        plain_step,
        size={"images": 8, "side": 192, "classes": 6},
        quick={"images": 4, "side": 128, "classes": 3},
        tolerance=NEAR,
    ),
    "segmenter": Case(
        "A step of the segmenter",
        segmenter_step,
        as_trained,
        plain_step,
        size={"images": 8, "side": 192, "classes": 6},
        quick={"images": 4, "side": 128, "classes": 3},
        tolerance=NEAR,
    ),
    "kept_features": Case(
        "A step on a frozen encoder, features kept",
        frozen,
        read_step,
        computed_step,
        size={"images": 8, "side": 256, "classes": 6},
        quick={"images": 2, "side": 64, "classes": 3},
        tolerance=2e-2,
    ),
    "seam_losses": Case(
        "SEAM's losses",
        maps,
        tagged_pairs,
        all_classes,
        size={"images": 8, "side": 256, "classes": 20},
        quick={"images": 4, "side": 64, "classes": 4},
        tolerance=1e-3,
    ),
    "strided": Case("Depthwise, stride 2, bfloat16", strided, depthwise, torch_depthwise, LAYER, TINY, tolerance=2e-2),
    "large_kernel": Case(
        "Depthwise, 5x5, stride 2, bfloat16", large_kernel, depthwise, torch_depthwise, LAYER, TINY, tolerance=2e-2
    ),
    "dilated": Case(
        "Depthwise, dilation 2, bfloat16", dilated, depthwise, torch_depthwise, LAYER, TINY, tolerance=2e-2
    ),
    "dilated_float32": Case(
        "Depthwise, dilation 2, float32", dilated_float32, depthwise, torch_depthwise, WIDE, TINY, tolerance=1e-4
    ),
}
