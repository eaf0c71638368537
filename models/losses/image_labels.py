"""Classification of whole images: several classes in each, or exactly one."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from models.errors import DataError

Labels = Literal["multi", "single"]


def image_label_loss(logits: Tensor, tags: Tensor, labels: Labels = "multi") -> Tensor:
    """A yes/no question for each class (soft margin), or one class among all (cross-entropy). Scalar.

    Args:
        logits: float [B,C].
        tags: bool or float [B,C].
        labels: "single" where every image has exactly one class (object localisation).

    Raises:
        DataError: "single", and an image without a tag or with several.
    """
    if labels == "multi":
        return F.multilabel_soft_margin_loss(logits, tags.to(logits.dtype))
    counts = tags.sum(1)
    if not bool((counts == 1).all()):
        raise DataError(
            f"labels: single expects exactly one tag in each image, found {int(counts.min())} to {int(counts.max())}. "
            "Use labels: multi, or leave the other images out."
        )
    return F.cross_entropy(logits, tags.long().argmax(1))
