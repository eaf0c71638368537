"""A training step of each method beside its floor: the network alone, forward and backward, without any loss."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.frame import Case, Results
from benchmarks.trainings import made_batch
from models.method import Method
from models.methods.spml import Spml
from models.structures import Batch, StepContext
from pipeline.compute.runtime import keep_memory
from pipeline.storage.checkpoints import build_method

LATE = 90
"""Step of 100, of ten epochs: every loss has begun."""
SHARED = ("logits", "maps", "refined", "embedded", "embeddings", "scores")
"""Outputs by which the two forms are compared."""


@dataclass(frozen=True)
class Step:
    """A method in training, and a batch, channels last."""

    method: Method
    batch: Batch


def inputs(
    page: str, options: dict[str, Any], add_ons: dict[str, Any] | None, images: int, side: int, classes: int
) -> Step:
    """A page on MobileNetV2 with the options of ``recipes/voc_mini_*``, drawn weights, one or two classes an image."""
    torch.manual_seed(0)
    method = build_method(page, classes, options, add_ons=add_ons).train()
    method.to(memory_format=torch.channels_last)
    keep_memory()
    return Step(method, made_batch(images, side, classes))


def step(x: Step) -> Results:
    """Forward pass, all losses, backward pass."""
    torch.manual_seed(0)  # dropout
    outputs = x.method(x.batch)
    context = StepContext(LATE, 100, 10, torch.Generator().manual_seed(0))
    torch.stack(list(x.method.losses(outputs, x.batch, context).values())).sum().backward()
    return _ended(x, outputs)


def floor(x: Step) -> Results:
    """The same forward pass, and the backward pass of the sum of its outputs; of SPML without the clusters."""
    torch.manual_seed(0)
    outputs = _network(x)
    ends = [value.float().sum() for value in outputs.values() if value.requires_grad]
    torch.stack(ends).sum().backward()
    return _ended(x, outputs)


def _network(x: Step) -> dict[str, Tensor]:
    if not isinstance(x.method, Spml):
        return x.method(x.batch)  # type: ignore[no-any-return]
    embeddings = x.method.embed(x.batch.image)
    return {"embeddings": embeddings, "logits": x.method._classify(embeddings)}


def _ended(x: Step, outputs: dict[str, Tensor]) -> Results:
    """Norms of what both forms have, as a check that they do the same passes."""
    x.method.zero_grad()
    return {name: outputs[name].float().norm() for name in SHARED if name in outputs}


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
SIZE, QUICK = {"images": 4, "side": 256, "classes": 6}, {"images": 2, "side": 64, "classes": 3}
CASES = {
    name: Case(f"A step of {title}", partial(inputs, page, options, add_ons), step, floor, SIZE, QUICK, 1e-5, 3)
    for name, (title, page, options, add_ons) in PAGES.items()
}
