"""Classification of whole images: several classes in each, or exactly one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from models.errors import DataError

Labels = Literal["multi", "single"]


def image_label_loss(logits: Tensor, tags: Tensor, labels: Labels = "multi", ids: Sequence[str] = ()) -> Tensor:
    """A yes/no question for each class (soft margin), or one class among all (cross-entropy). Scalar.

    Args:
        logits: float [B,C].
        tags: bool or float [B,C].
        labels: "single" where every image has exactly one class (object localisation).
        ids: the B images, for the message.

    Raises:
        DataError: "single", and an image without a tag or with several.
    """
    if labels == "multi":
        return F.multilabel_soft_margin_loss(logits, tags.to(logits.dtype))
    return single_label_cross_entropy(logits, tags, ids)


def single_label_cross_entropy(logits: Tensor, tags: Tensor, ids: Sequence[str] = ()) -> Tensor:
    """Mean over the batch of ``-log softmax(logits)[class]``.

    Args:
        logits: float [B,C].
        tags: bool [B,C], one class an image.
        ids: the B images, for the message.

    Raises:
        DataError: an image has no tag, or several.
    """
    counts = tags.sum(1)
    if (counts != 1).any():
        wrong = [(ids[k] if k < len(ids) else k, int(n)) for k, n in enumerate(counts.tolist()) if n != 1]
        found = ", ".join(f"'{name}' has {n}" for name, n in wrong[:5]) + (", ..." if len(wrong) > 5 else "")
        raise DataError(
            f"Expected one tag an image (labels: single), found: {found}. "
            "Train with `labels: multi`, or leave these images out of the split."
        )
    return F.cross_entropy(logits.float(), tags.int().argmax(1))
