"""What trainings on a CPU gain from float32 where bfloat16 has no instructions, and from keeping freed memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.frame import Case, Results
from benchmarks.training import plain_step, step
from models.ops.half_precision import is_fast_in
from pipeline.compute.runtime import keep_memory


@dataclass(frozen=True)
class Convolution:
    """A 3x3 convolution and its input [B,K,h,w], both float32."""

    x: Tensor
    layer: nn.Conv2d


def convolution(images: int, channels: int, side: int) -> Convolution:
    """Random input and weights."""
    torch.manual_seed(0)
    return Convolution(torch.randn(images, channels, side, side), nn.Conv2d(channels, channels, 3, padding=1))


@torch.no_grad()
def chosen_precision(c: Convolution) -> Results:
    """bfloat16 where this CPU has instructions for it, else float32: what precision ``bf16-mixed`` means here."""
    if is_fast_in(torch.bfloat16, "cpu"):
        return in_bfloat16(c)
    return {"y": c.layer(c.x)}


@torch.no_grad()
def in_bfloat16(c: Convolution) -> Results:
    """A 3x3 convolution in bfloat16, whatever the CPU."""
    with torch.autocast("cpu", torch.bfloat16):
        return {"y": c.layer(c.x)}


def memory_kept(x: object) -> Results:
    """The same step where freed memory stays with the process, as in trainings."""
    keep_memory()
    return plain_step(x)  # type: ignore[arg-type]


CASES = {
    "precision": Case(
        "A 3x3 convolution under bf16-mixed",
        convolution,
        chosen_precision,
        in_bfloat16,
        size={"images": 2, "channels": 32, "side": 48},
        quick={"images": 1, "channels": 4, "side": 12},
        tolerance=2e-2,
        repetitions=3,
    ),
    "memory": Case(
        "A step of the classifier, memory kept",
        step,
        memory_kept,
        plain_step,
        size={"images": 8, "side": 192, "classes": 6},
        quick={"images": 2, "side": 64, "classes": 3},
        tolerance=1e-5,
    ),
}
