"""A training step of each CAM method and of SPML beside its floor: the passes through the backbone and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.frame import Case, Results
from benchmarks.trainings import made_batch
from models.backbones.base import Backbone
from models.method import Method
from models.structures import Batch, StepContext
from pipeline.compute.runtime import keep_memory
from pipeline.storage.checkpoints import build_method

LATE = 90
"""Step of 100, of ten epochs: every loss has begun."""


@dataclass(frozen=True)
class Pass:
    """A batch through a backbone, with or without a gradient."""

    backbone: Backbone
    image: Tensor
    with_gradient: bool


@dataclass(frozen=True)
class Step:
    """A method in training, a batch, channels last, and the passes of one step."""

    method: Method
    batch: Batch
    passes: list[Pass]


def inputs(
    page: str, options: dict[str, Any], add_ons: dict[str, Any] | None, images: int, side: int, classes: int
) -> Step:
    """A page on MobileNetV2 with the options of ``recipes/voc_mini_*``, drawn weights, one or two classes an image."""
    torch.manual_seed(0)
    method = build_method(page, classes, options, add_ons=add_ons).train()
    method.to(memory_format=torch.channels_last)
    keep_memory()
    batch = made_batch(images, side, classes)
    with _watched(method) as passes:
        method(batch)
    return Step(method, batch, passes)


@contextmanager
def _watched(method: Method) -> Iterator[list[Pass]]:
    """The passes through the backbones of ``method`` within the block."""
    seen: list[Pass] = []

    def before(backbone: Any, given: tuple[Tensor, ...]) -> None:
        seen.append(Pass(backbone, given[0].detach(), torch.is_grad_enabled()))

    handles = [m.register_forward_pre_hook(before) for m in method.modules() if isinstance(m, Backbone)]
    yield seen
    for handle in handles:
        handle.remove()


def step(x: Step) -> Results:
    """Forward pass, all losses, backward pass."""
    context = StepContext(LATE, 100, 10, torch.Generator().manual_seed(0))
    with _watched(x.method) as passes:
        losses = x.method.losses(x.method(x.batch), x.batch, context)
        torch.stack(list(losses.values())).sum().backward()
    x.method.zero_grad()
    return _counted(passes)


def floor(x: Step) -> Results:
    """The same batches through the same backbones, forward, and backward where the step wants a gradient."""
    for each in x.passes:
        with torch.set_grad_enabled(each.with_gradient):
            last = each.backbone(each.image)["layer4"]
        if each.with_gradient:
            last.square().mean().backward()
    x.method.zero_grad()
    return _counted(x.passes)


def _counted(passes: list[Pass]) -> Results:
    return {
        "images": sum(len(each.image) for each in passes),
        "pixels": sum(each.image.numel() for each in passes),
        "with a gradient": sum(each.with_gradient for each in passes),
    }


FROZEN = {"freeze_bn": True}
PAGES: dict[str, tuple[str, str, dict[str, Any], dict[str, Any] | None]] = {
    "classifier": ("the classifier", "classifier", {}, None),
    "segmenter": ("the segmenter", "segmenter", {"frozen_stages": 2}, None),
    "seam": ("SEAM", "seam", {"second_size": 128, **FROZEN}, None),
    "ppc": ("PPC on SEAM", "seam", {"second_size": 128, **FROZEN}, {"ppc": {}}),
    "rtc": ("RTC", "rtc", {"frozen_stages": 2, **FROZEN}, None),
    "rcm_mam": ("RCM + MAM", "rcm_mam", {"rcm": 1.0, "mam": 1.0, "support_scales": [0.5, 1.0, 1.5], **FROZEN}, None),
    "spml": ("SPML", "spml", {"frozen_stages": 2, "anchors": 512, "dropout": 0.5}, None),
}
"""Case -> (title, page, its options, its add-ons)."""
SIZE, QUICK = {"images": 4, "side": 256, "classes": 6}, {"images": 2, "side": 128, "classes": 3}
CASES = {
    name: Case(f"A step of {title}", partial(inputs, page, options, add_ons), step, floor, SIZE, QUICK, 0, 3)
    for name, (title, page, options, add_ons) in PAGES.items()
}
