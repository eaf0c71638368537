"""SPML's four relations between pixels and segments, each a choice of positives and negatives for one contrast.

Low-level similarity asks the image, annotation the labels, co-occurrence the image's tags, feature affinity the labels
of the nearest labelled segment. What kind of supervision there is changes none of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.losses.pixel_segment import pixel_segment_loss
from models.ops.counting import occurrences
from models.ops.presets import preset_of
from models.ops.prototypes import segment_prototypes
from models.ops.spherical_kmeans import split
from models.structures import REGIONS, UNLABELLED


@dataclass(frozen=True)
class RelationWeights:
    """Weights and concentrations kappa of the terms; the classifier's cross-entropy has the annotation's weight."""

    annotation: float = 0.3
    co_occurrence: float = 0.3
    similarity: float = 0.1
    affinity: float = 0.0
    kappa_annotation: float = 6.0
    kappa_co_occurrence: float = 8.0
    kappa_similarity: float = 16.0
    kappa_affinity: float = 12.0


PRESETS: dict[str, RelationWeights] = {
    "tags": RelationWeights(0.3, 0.3, 0.1),
    "boxes": RelationWeights(0.3, 0.3, 0.1),
    "points": RelationWeights(0.1, 0.1, 0.1),
    "scribbles": RelationWeights(1.0, 0.5, 0.1, kappa_co_occurrence=12.0),
    "parts": RelationWeights(1.0, 0.0, 0.1, 0.5),
}
"""Published numbers by kind of supervision; "parts" are DensePose's points (docs/methods/spml.md, section 6)."""


def relation_weights(preset: str) -> RelationWeights:
    """The published numbers called ``preset``; ConfigurationError for an unknown name."""
    return preset_of(PRESETS, preset, "spml")


def annotation_loss(
    embeddings: Tensor,
    segment: Tensor,
    label: Tensor,
    prototypes: Tensor,
    labels: Tensor,
    num_labels: int,
    kappa: float,
) -> Tensor:
    """Segments of the pixel's label against those of other labels; what is unlabelled is neither.

    Args:
        embeddings: float [n,D], unit length. segment: int64 [n], each pixel's segment among the prototypes.
        label: int64 [n]; 0..C count, 254 and 255 do not.
        prototypes: float [m,D], unit length, of the batch and of the memory. labels: int64 [m], likewise.
        num_labels: 1 + C.
        kappa: concentration (SPML 6).

    Returns:
        Mean over the labelled pixels, float scalar; 0 without any.

    Source: twke18/SPML@0800afd:spml/models/predictions/segsort_softmax.py.
    """
    labelled = (label < UNLABELLED).nonzero()[:, 0]
    each = torch.arange(num_labels, device=labels.device)
    relation = _signs(each[:, None] == labels) * (labels < UNLABELLED)
    return pixel_segment_loss(embeddings[labelled], prototypes, segment[labelled], label[labelled], relation, kappa)


def co_occurrence_loss(
    embeddings: Tensor,
    segment: Tensor,
    image: Tensor,
    image_tags: Tensor,
    prototypes: Tensor,
    tags: Tensor,
    kappa: float,
    untagged_anchors: bool = False,
) -> Tensor:
    """Segments of images that share a tag with the pixel's image against those of images that share none.

    An image without tags shares none with any, not even with itself: every segment is a negative of its pixels. Their
    own segment is too, and stands in for the positive that they lack, so that their loss is ln 2 or more whatever the
    network does. By default they are no anchors; in the published code they are.

    Args:
        embeddings: float [n,D], unit length. segment: int64 [n], each pixel's segment among the prototypes.
        image: int64 [n] in 0..B-1. image_tags: bool [B,C], of the foreground classes.
        prototypes: float [m,D], unit length, of the batch and of the memory. tags: bool [m,C], of their images.
        kappa: concentration (SPML 8; scribbles 12).
        untagged_anchors: pixels of images without tags are anchors too (published).

    Returns:
        Mean over the anchors, float scalar; 0 without any.

    Source: twke18/SPML@0800afd:spml/models/predictions/segsort_softmax.py; the negatives of an image without tags:
    spml/utils/segsort/loss.py (``_one_hot_calculate_log_likelihood``).
    """
    anchors = (image_tags.any(1) | untagged_anchors)[image].nonzero()[:, 0]
    relation = _signs(_share(image_tags, tags))
    return pixel_segment_loss(embeddings[anchors], prototypes, segment[anchors], image[anchors], relation, kappa)


def image_similarity_loss(
    vectors: Tensor,
    segment: Tensor,
    image: Tensor,
    segment_image: Tensor,
    segment_region: Tensor,
    num_images: int,
    kappa: float,
) -> Tensor:
    """Segments in the pixel's region of an oversegmentation against those in other regions of its image.

    Args:
        vectors: float [n,D], unit length; SPML takes embeddings with location.
        segment: int64 [n]; each lies in one region of one image. Their prototypes are made of ``vectors`` here.
        image: int64 [n] in 0..B-1.
        segment_image, segment_region: int64 [S]; regions are numbered within an image, 0 or more.
        num_images: B.
        kappa: concentration (SPML 16).

    Returns:
        Mean over the pixels of an image, then over images, float scalar; 0 where an image is a single region.

    Source: twke18/SPML@0800afd:spml/models/predictions/segsort_softmax.py.
    """
    prototypes = segment_prototypes(vectors, segment, len(segment_image))
    group, (group_image, group_region) = split(segment_image, segment_region, below=(num_images, REGIONS))
    same_image = group_image[:, None] == segment_image
    relation = _signs(group_region[:, None] == segment_region) * same_image
    sizes = occurrences(image, num_images)
    weights = 1 / (sizes[image] * (sizes > 0).sum()).to(vectors.dtype)
    return pixel_segment_loss(vectors, prototypes, segment, group[segment], relation, kappa, weights)


def feature_affinity_loss(
    embeddings: Tensor, segment: Tensor, sets: Tensor, prototypes: Tensor, their_sets: Tensor, kappa: float
) -> Tensor:
    """Segments whose labels may be the pixel's against those that have none in common.

    For images that all have the same tag, such as body parts, where co-occurrence says nothing.

    Args:
        embeddings: float [n,D], unit length. segment: int64 [n], each pixel's segment among the prototypes.
        sets: bool [n,L], the labels that a pixel may have; pixels without any are left out.
        prototypes: float [m,D], unit length. their_sets: bool [m,L].
        kappa: concentration (SPML 12).

    Returns:
        Mean over the pixels, float scalar.
    """
    with_set = sets.any(1).nonzero()[:, 0]
    kinds, group = torch.unique(sets[with_set], dim=0, return_inverse=True)
    relation = _signs(_share(kinds, their_sets))
    return pixel_segment_loss(embeddings[with_set], prototypes, segment[with_set], group, relation, kappa)


def _share(one: Tensor, other: Tensor) -> Tensor:
    """Whether two sets have a common element: bool [G,m] of bool [G,L] and [m,L]."""
    return (one.float() @ other.float().T) > 0


def _signs(alike: Tensor) -> Tensor:
    """1 for positives, -1 for negatives: int8."""
    return alike.to(torch.int8) * 2 - 1
