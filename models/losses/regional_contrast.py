"""Regional contrast (RCM of Yoon et al. 2021): pixels near the prototype of their region, made of the other images.

Regions are 0 for background and 1..C for classes, as everywhere; prototypes have the background first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from models.ops.cam import export_psa_norm, tagged_maps
from models.ops.enlargement import Enlargement
from models.ops.tagged_pairs import TaggedPairs
from models.structures import BACKGROUND, IGNORE

UNIT = 0.999
"""A prototype is that of a region which is there if it is longer than this."""

Empty = Literal["ignore", "faithful"]
Negatives = Literal["all", "present"]


@torch.no_grad()
def region_mask(logits: Sequence[Tensor], tags: Tensor, size: Sequence[int], threshold: float = 0.3) -> Tensor:
    """The class of the largest CAM of each pixel where that reaches ``threshold`` of the class's peak, else background.

    Args:
        logits: class maps of one batch at one or several scales, [N,C,h,w] each; their sum at full resolution counts.
        tags: bool [N,C].
        size: (H, W) in pixels.
        threshold: in (0,1].

    Returns:
        int64 [N,H,W], 0..C.

    Source: docs/methods/rcm_mam.md, section 3, steps 1 and 2.
    """
    pairs = TaggedPairs.of(tags)
    summed = torch.stack([tagged_maps(maps, pairs, size) for maps in logits]).sum(0)
    scores, labels = pairs.each(export_psa_norm(summed)), pairs.each(pairs.channel + 1)
    regions = torch.full((len(tags), *size), BACKGROUND, device=tags.device)
    for region, score, label in zip(regions, scores, labels, strict=True):
        if len(label):
            best, index = score.max(0)
            region.copy_(label[index].where(best >= threshold, BACKGROUND))
    return regions


@torch.no_grad()
def image_prototypes(features: Tensor, regions: Tensor, num_classes: int) -> Tensor:
    """Direction of the sum of the unit features of each region of each image; zero for a region that is not there.

    Args:
        features: float [N,D,h,w], enlarged to the size of the regions before they get unit length.
        regions: int64 [N,H,W], 0..C.
        num_classes: C.

    Returns:
        [N,1+C,D].

    Source: docs/methods/rcm_mam.md, section 3, step 3.
    """
    enlarge = Enlargement.of(features, regions.shape[1:])
    labels = torch.arange(1 + num_classes, device=regions.device)[:, None, None]
    sums = [
        torch.einsum("khw,dhw->kd", enlarge.adjoint((region == labels) / enlarge.norms(feature)), feature)
        for feature, region in zip(features, regions, strict=True)
    ]
    return F.normalize(torch.stack(sums), dim=2)


def leave_one_out(prototypes: Tensor) -> Tensor:
    """For each image the mean direction of the other images' prototypes [N,1+C,D]; zero where no other has one."""
    return F.normalize(prototypes.sum(0) - prototypes, dim=2)


def enqueue(queue: Tensor, prototypes: Tensor) -> Tensor:
    """The latest prototypes of each class, newest first, regions that are not there left out.

    Args:
        queue: [depth,1+C,D] so far, zeros where it is not filled.
        prototypes: [N,1+C,D] of a batch; its last image is the newest.
    """
    candidates = torch.cat([prototypes.flip(0), queue])
    absent = candidates.norm(dim=2) <= UNIT
    order = absent.long().argsort(dim=0, stable=True)[: len(queue)]
    return candidates.gather(0, order.unsqueeze(2).expand_as(queue))


def queue_prototypes(queue: Tensor) -> Tensor:
    """Mean direction of what is in the queue, [1+C,D]; zero for a class that was not seen yet."""
    return F.normalize(queue.sum(0), dim=1)


def regional_contrast(
    features: Tensor,
    prototypes: Tensor,
    regions: Tensor,
    temperature: float = 2.0,
    empty: Empty = "ignore",
    negatives: Negatives = "all",
) -> Tensor:
    """Cross-entropy of ``temperature`` times the cosines with all prototypes, at full resolution, mean over pixels.

    One image at a time has its cosines in memory (1+C values a pixel), forward and backward.

    Args:
        features: float [N,D,h,w], enlarged to the size of the regions before they get unit length.
        prototypes: [N,1+C,D], unit length or zero; no gradient flows to them.
        regions: int64 [N,H,W], 0..C.
        temperature: multiplies the cosines.
        empty: pixels whose region has a prototype of zeros are left out of the mean ("ignore"), or ask for a cosine
            that is 0 whatever their feature and so push it away from all others ("faithful").
        negatives: a prototype of zeros is in the denominator with its cosine of 0 ("all"), or is not there ("present",
            not with "faithful"): then classes that no image has do not change the loss.

    Returns:
        Scalar; 0 where no pixel counts.

    Source: docs/methods/rcm_mam.md, section 3, step 4, and section 6 (empty prototypes).
    """
    prototypes = prototypes.detach()
    targets = regions if empty == "faithful" else _without_empty(regions, prototypes)
    enlarge = Enlargement.of(features, regions.shape[1:])
    sums = [
        checkpoint(_image_loss, *image, temperature, enlarge, negatives, use_reentrant=False, preserve_rng_state=False)
        for image in zip(features, prototypes, targets, strict=True)
    ]
    return torch.stack(sums).sum() / (targets != IGNORE).sum().clamp(min=1)


def _without_empty(regions: Tensor, prototypes: Tensor) -> Tensor:
    there = prototypes.any(2).gather(1, regions.flatten(1)).view_as(regions)
    return regions.where(there, IGNORE)


def _image_loss(
    feature: Tensor,
    prototypes: Tensor,
    target: Tensor,
    temperature: float,
    enlarge: Enlargement,
    negatives: Negatives,
) -> Tensor:
    logits = temperature * enlarge.cosines(feature, prototypes)
    if negatives == "present":  # the lowest finite value: an image without any prototype has a gradient of 0, not NaN
        logits = logits.masked_fill(~prototypes.any(1)[:, None, None], torch.finfo(logits.dtype).min)
    return F.cross_entropy(logits[None], target[None], ignore_index=IGNORE, reduction="sum")
