"""What published code computes and no method here needs: outputs of the fixtures that the adapters still answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from models.losses.pixel_segment import pixel_segment_loss
from models.metrics.level_boxes import Contours
from models.ops.pixel_pairs import Offset, pair_sources, pair_targets
from models.ops.prototypes import segment_sums
from models.refiners.crf_unary import unary_from_labels

Indices = npt.NDArray[np.int64]


def pair_indices(size: tuple[int, int], offsets: tuple[Offset, ...], radius: int) -> tuple[Indices, Indices]:
    """Flat row-major indices of the sources, int64 [S], and of their targets, int64 [P,S]."""
    cells = torch.arange(size[0] * size[1]).view(size)
    return pair_sources(cells, radius).flatten().numpy(), pair_targets(cells, offsets, radius).flatten(1).numpy()


def disc_indices(size: tuple[int, int], radius: int) -> tuple[Indices, Indices]:
    """As :func:`pair_indices`, over the whole disc but its centre; sources keep away from all borders.

    Source: arvijj/hfpl@1038a68:tool/pyutils.py.
    """
    span, margin = range(1 - radius, radius), radius - 1
    disc = [dy * size[1] + dx for dy in span for dx in span if 0 < dy * dy + dx * dx < radius * radius]
    cells = np.arange(size[0] * size[1]).reshape(size)
    sources = cells[margin : size[0] - margin, margin : size[1] - margin].ravel()
    return sources, sources + np.array(disc)[:, None]


def segment_means(values: Tensor, segment: Tensor, count: int) -> Tensor:
    """Mean over the pixels of each segment, [count,D]; 0 for a segment without pixels.

    Source: twke18/SPML@0800afd:spml/utils/general/common.py (segment_mean).
    """
    sizes = torch.bincount(segment, minlength=count).clamp(min=1)
    return segment_sums(values, segment, count) / sizes[:, None].to(values.dtype)


def segment_majority(segment: Tensor, label: Tensor, count: int) -> Tensor:
    """The most frequent label of each segment, the lowest of equals; 0 for a segment without pixels: int64 [count].

    Source: twke18/SPML@0800afd:spml/utils/segsort/common.py (find_majority_label_index).
    """
    labels = int(label.max()) + 1
    return first_largest(torch.bincount(segment * labels + label, minlength=count * labels).view(count, labels))


def row_majority(labels: Tensor, count: int) -> Tensor:
    """The most frequent label of each row, the lowest of equals: int64 [n] of int64 [n,k] in 0..count-1."""
    return first_largest(F.one_hot(labels, count).sum(1))


def first_largest(votes: Tensor) -> Tensor:
    """Position of the largest entry of each row, the first of equals (torch's ``argmax`` may take any)."""
    return torch.from_numpy(votes.numpy().argmax(1))


def pixel_losses(
    embeddings: Tensor, prototypes: Tensor, own: Tensor, group: Tensor, relation: Tensor, kappa: float
) -> Tensor:
    """:func:`pixel_segment_loss` of each pixel alone, [n], without gradient."""
    pixels = zip(embeddings.detach().split(1), own.split(1), group.split(1), strict=True)
    return torch.stack([pixel_segment_loss(e, prototypes.detach(), s, g, relation, kappa) for e, s, g in pixels])


def label_conditioned(probabilities: Tensor, tags: Tensor) -> Tensor:
    """``p t / max(1e-8, sum_c p t)`` over [N,1+C,h,w], the background's tag being 1 (ICAM's CAMs)."""
    there = F.pad(tags.to(probabilities.dtype), (1, 0), value=1)[:, :, None, None]
    kept = probabilities * there
    return kept / kept.sum(1, keepdim=True).clamp(min=1e-8)


def class_relation(against: tuple[Tensor, Tensor], present: Tensor) -> Tensor:
    """Prototypes of different classes apart, which RTC's release logs: half the mean of ``-log(1 - P_i . P'_j)``.

    Args:
        against: prototypes [1+C,D] of the first and of the second view.
        present: bool [1+C], the classes that take part.
    """
    one, two = (prototypes[present] for prototypes in against)
    apart = -torch.log(1 - one @ two.T)
    pairs = apart[~torch.eye(len(apart), dtype=torch.bool)]
    return pairs.mean() / 2 if len(pairs) else apart.new_zeros(())


def unary_from_labels_unsure0(labels: npt.NDArray[np.integer[Any]], num_labels: int, certainty: float) -> Any:
    """:func:`unary_from_labels` with labels 1..L; 0 says nothing, so that its unary is uniform: float32 [L,N]."""
    unary = unary_from_labels(np.maximum(labels.ravel() - 1, 0), num_labels, certainty)
    unary[:, labels.ravel() == 0] = -np.log(1 / num_labels)
    return unary


def largest_contour_box(scores: npt.NDArray[np.float32], threshold: float) -> npt.NDArray[np.int64]:
    """The box [1,4] of :func:`models.ops.boxes.contour_boxes` whose contour has the largest area.

    Source: linyq2117/CLIP-ES@3893f81:utils.py (scoremap2bbox without ``multi_contour_eval``).
    """
    levels = (scores * np.float32(255)).astype(np.uint8)
    level = int(threshold * float(levels.max()))
    height, width = scores.shape
    return np.minimum(Contours.of(levels).largest()[level : level + 1], [width, height, width - 1, height - 1])
