"""Cross-entropy for images that show exactly one class."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from models.errors import DataError


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
