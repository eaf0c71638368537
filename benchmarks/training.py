"""A training step on a CPU in bfloat16: fast depthwise backward passes, and SEAM's losses on tagged pairs, in one run.

    python -m benchmarks.training                # MobileNetV2, 16 images of 256 pixels, 6 classes
    python -m benchmarks.training --classes 20

Each pair of forms alternates; times are the CPU seconds of the process, the smallest of the repetitions.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.losses.seam import View, comparable_views, equivariance_losses, min_pooling_loss, siamese_classification
from models.method import Method
from models.methods.classifier import Classifier
from models.methods.seam import Seam
from models.ops.cam import max_norm
from models.ops.depthwise import DepthwiseConv2d
from models.ops.pixel_correlation import winner_only, with_background
from models.structures import Batch, StepContext

CONTEXT = StepContext(0, 10, 5)
SMALL = 128


def dense_losses(maps: list[tuple[Tensor, Tensor]], tags: Tensor, side: int) -> Tensor:
    """SEAM's total as its formulas read: maps of all classes at the size of the image."""
    there = F.pad(tags.float(), (1, 0), value=1)[:, :, None, None]
    sizes = ((side, side), (SMALL, SMALL))
    big = [
        [F.interpolate(m, size, mode="bilinear", align_corners=True) for m in pair]
        for pair, size in zip(maps, sizes, strict=True)
    ]
    total = torch.zeros(())
    for cam, refined in big:
        total = total + F.multilabel_soft_margin_loss(cam[:, 1:].mean((2, 3)), tags.float()) / 2
        total = total + min_pooling_loss(refined[:, 1:] * there[:, 1:]) / 2
    stretched = [
        [F.interpolate(max_norm(m), sizes[1], mode="bilinear", align_corners=True) * there for m in pair]
        for pair in big
    ]
    total = total + (stretched[0][0] - stretched[1][0])[:, 1:].abs().mean()
    targets = [winner_only(with_background(cam[:, 1:].detach())) for cam, _ in stretched]
    for target, (_, refined) in zip(targets[::-1], stretched, strict=True):
        gap = (target - refined).abs().flatten(1)
        total = total + gap.topk(int(0.2 * gap.shape[1])).values.mean()
    return total


def paired_losses(maps: list[tuple[Tensor, Tensor]], tags: Tensor, side: int) -> Tensor:
    """What the page computes."""
    first, second = (View.of(*pair, tags, (n, n)) for pair, n in zip(maps, (side, SMALL), strict=True))
    found = equivariance_losses(*comparable_views(first, second, tags))
    return torch.stack([*siamese_classification(first, second, tags).values(), found.plain, found.cross]).sum()


def step(method: Method, batch: Batch) -> None:
    method.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        outputs = method(batch)
    torch.stack(list(method.losses(outputs, batch, CONTEXT).values())).sum().backward()


def fastest(*forms: Callable[[], object], repetitions: int = 5) -> list[float]:
    """Smallest CPU time of each form, the forms taking turns after a first pass that does not count."""
    times: list[list[float]] = [[] for _ in forms]
    for repetition in range(repetitions + 1):
        for found, form in zip(times, forms, strict=True):
            start = time.process_time()
            form()
            if repetition:
                found.append(time.process_time() - start)
    return [min(found) for found in times]


def plain_depthwise(method: Method) -> Method:
    for layer in method.modules():
        if isinstance(layer, DepthwiseConv2d):
            layer.__class__ = nn.Conv2d
    return method


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--classes", type=int, default=6)
    given = parser.parse_args()
    torch.manual_seed(0)
    tags = torch.zeros(given.images, given.classes, dtype=torch.bool)
    for shift in (0, 2):  # two classes for half of the images, one for the others
        chosen = torch.arange(0, given.images, 1 + shift // 2)
        tags[chosen, (chosen + shift) % given.classes] = True
    image = torch.rand(given.images, 3, given.side, given.side).contiguous(memory_format=torch.channels_last)
    batch = Batch(image, tags, torch.full((given.images, given.side, given.side), 254))

    maps = [
        (torch.randn(given.images, 1 + given.classes, n, n), torch.rand(given.images, 1 + given.classes, n, n))
        for n in (given.side // 16, SMALL // 16)
    ]
    gap = (dense_losses(maps, tags, given.side) - paired_losses(maps, tags, given.side)).abs().item()
    leaves = [m.requires_grad_() for pair in maps for m in pair]
    dense, paired = fastest(
        *(
            lambda form=form: torch.autograd.grad(form(maps, tags, given.side), leaves)
            for form in (dense_losses, paired_losses)
        )
    )
    print(
        f"SEAM's losses, forward and backward: all classes {dense:.2f} s, tagged pairs {paired:.2f} s: "
        f"{dense / paired:.1f}x; totals differ by {gap:.1e}"
    )
    for name, page in (("classifier", Classifier), ("seam", Seam)):
        options = {"second_size": SMALL, "freeze_bn": True} if page is Seam else {}
        fast, plain = (page(given.classes, **options).train().to(memory_format=torch.channels_last) for _ in range(2))
        plain_depthwise(plain)
        quick, slow = fastest(lambda m=fast: step(m, batch), lambda m=plain: step(m, batch), repetitions=3)
        print(f"{name}, one step: torch's depthwise backward {slow:.2f} s, ours {quick:.2f} s: {slow / quick:.2f}x")


if __name__ == "__main__":
    main()
