"""Pixel-to-segment contrast (SegSort, SPML): a pixel near the prototypes of its kind, far from those of others.

Pixels of one group see the same positives and negatives, so a group's logits are two plain matrix products, in parts
that fit the cache. Value and gradient are made together and the pairs are forgotten: no tensor of pixels x prototypes
outlives its part.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from models.ops.counting import occurrences, places

BLOCK = 2**19
"""Pairs that exist at a time, 2 MiB in float32."""


def pixel_segment_loss(
    embeddings: Tensor,
    prototypes: Tensor,
    segment: Tensor,
    group: Tensor,
    relation: Tensor,
    kappa: float,
    weights: Tensor | None = None,
) -> Tensor:
    """``sum_i w_i log(1 + N_i / P_i)``: P the sum of ``exp(kappa e_i.mu_s)`` over a pixel's positives, N its negatives.

    The own segment is no positive, unless the pixel has no other: then it is the only one. Sums stay logarithms, so
    any kappa and half precision inputs give finite numbers. Without negatives a pixel's loss is 0.

    Args:
        embeddings: float [n,D], unit length. Both they and the prototypes get a gradient.
        prototypes: float [m,D], unit length.
        segment: int64 [n], the prototype of the pixel's own segment, 0..m-1.
        group: int64 [n], 0..G-1.
        relation: integer [G,m]; above 0 positive for the group's pixels, below 0 negative, 0 neither.
        kappa: concentration.
        weights: float [n] of the pixels; None takes their mean.

    Returns:
        float scalar (float32 for half precision); 0 where there are no pixels.

    Source: twke18/SPML@0800afd:spml/utils/segsort/loss.py (SegSortLoss, SetSegSortLoss; group mode "segsort+").
    """
    embeddings, prototypes = (v if v.dtype == torch.float64 else v.float() for v in (embeddings, prototypes))
    if weights is None:
        weights = embeddings.new_full((len(embeddings),), 1 / max(len(embeddings), 1))
    loss: Tensor = _PixelSegment.apply(
        embeddings, prototypes, segment, group, relation, weights.to(embeddings.dtype), float(kappa)
    )
    return loss


class _PixelSegment(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        embeddings: Tensor,
        prototypes: Tensor,
        segment: Tensor,
        group: Tensor,
        relation: Tensor,
        weights: Tensor,
        kappa: float,
    ) -> Tensor:
        sloped = any(ctx.needs_input_grad[:2])
        with torch.autocast(embeddings.device.type, enabled=False):
            losses, *slopes = _evaluate(embeddings, prototypes, segment, group, relation, weights, kappa, sloped)
        ctx.save_for_backward(*slopes)
        return losses @ weights

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        of_embeddings, of_prototypes = ctx.saved_tensors
        return gradients[0] * of_embeddings, gradients[0] * of_prototypes, None, None, None, None, None


def _evaluate(
    embeddings: Tensor,
    prototypes: Tensor,
    segment: Tensor,
    group: Tensor,
    relation: Tensor,
    weights: Tensor,
    kappa: float,
    sloped: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Losses [n]; and the gradients of their weighted sum by embeddings [n,D] and prototypes [m,D], if ``sloped``."""
    losses, of_pixels, of_prototypes = weights * 0, torch.zeros_like(embeddings), torch.zeros_like(prototypes)
    for members, positive, negative in _by_group(group, relation):
        place = segment.new_full((len(prototypes),), -1)
        place[positive] = torch.arange(len(positive), device=place.device)
        near, far = prototypes[positive], prototypes[negative]
        of_near, of_far = torch.zeros_like(near), torch.zeros_like(far)
        for part in members.split(max(1, BLOCK // (len(positive) + len(negative)))):
            pixels, at = embeddings[part], segment[part]
            # without a positive the own segment stands in for it, for each pixel another one
            lonely = not len(positive)
            candidates = prototypes[at] if lonely else near
            pull = _Exponentials(kappa * pixels, candidates, place[at] if len(positive) > 1 else None, lonely)
            push = _Exponentials(kappa * pixels, far, None, False)
            gap = push.logarithm() - pull.logarithm()
            losses[part] = F.softplus(gap)
            if not sloped:
                continue
            slope = weights[part] * kappa * torch.sigmoid(gap)
            away, towards = (slope / push.total)[:, None], (slope / pull.total)[:, None]
            of_pixels[part] = away * (push.terms @ far)
            of_far.addmm_(push.terms.T, away * pixels)
            if lonely:
                of_pixels[part] -= towards * candidates
                of_prototypes.index_add_(0, at, towards * pixels, alpha=-1)
            else:
                of_pixels[part] -= towards * (pull.terms @ near)
                of_near.addmm_(pull.terms.T, towards * pixels, alpha=-1)
        of_prototypes.index_add_(0, positive, of_near).index_add_(0, negative, of_far)
    return losses, of_pixels, of_prototypes


def _by_group(group: Tensor, relation: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Pixels, positives and negatives of each group, those without pixels or negatives left out; ascending int64.

    The counts of all groups are read from the device together: a GPU waits once.
    """
    chosen = (relation > 0, relation < 0)
    counts = torch.stack([occurrences(group, len(relation)), *(signs.sum(1) for signs in chosen)]).tolist()
    members = torch.argsort(group, stable=True)
    columns = (places(signs, sum(n)) % relation.shape[1] for signs, n in zip(chosen, counts[1:], strict=True))
    parts = (values.split(sizes) for values, sizes in zip((members, *columns), counts, strict=True))
    for pixels, positive, negative in zip(*parts, strict=True):
        if len(pixels) and len(negative):
            yield pixels, positive, negative


class _Exponentials:
    """``exp(logit - top)`` of pixels [c,D] (kappa times) with candidates [k,D], their sums [c] and the tops [c].

    Args:
        without: int64 [c], the candidate that does not count for each pixel, -1 for none; None for none at all.
        paired: candidate i belongs to pixel i alone.
    """

    def __init__(self, pixels: Tensor, candidates: Tensor, without: Tensor | None, paired: bool) -> None:
        self.terms = (pixels * candidates).sum(1, keepdim=True) if paired else pixels @ candidates.T
        if without is not None:
            column = without.clamp(min=0)[:, None]
            term = self.terms.gather(1, column).masked_fill(without[:, None] >= 0, float("-inf"))
            self.terms.scatter_(1, column, term)
        self.top = self.terms.amax(1, keepdim=True)
        self.terms.sub_(self.top).exp_()
        self.total = self.terms.sum(1)

    def logarithm(self) -> Tensor:
        """Of the sum of the exponentials, [c]."""
        return self.top[:, 0] + self.total.log()
