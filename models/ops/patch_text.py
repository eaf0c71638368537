"""Maps of how well each patch fits each text, by feature surgery, and texts enriched by attributes (ExCEL)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def surgery_maps(image_features: Tensor, text_features: Tensor, temperature: float = 2.0) -> Tensor:
    """How well every token fits every text, beyond how well it fits all texts.

    A text weighs by its share in the picture as a whole: softmax over texts of temperature * (class token . text),
    over the mean. From the weighted text its mean over all texts is subtracted.

    Args:
        image_features: [B,1+n,D], class token first.
        text_features: [T,D]: classes and background words; the more texts, the better what they share is known.
        temperature: of the softmax (2).

    Returns:
        [B,1+n,T] in [0,1]: each text's map has its own minimum at 0 and maximum at 1, class token included; a constant
        map is 0.

    Source: zwyang6/ExCEL@2cd7f510d627:clip/clip.py (clip_feature_surgery).
    """
    shares = (temperature * image_features[:, 0] @ text_features.T).softmax(1)  # [B,T]
    weighted = text_features * (shares / shares.mean(1, keepdim=True)).unsqueeze(2)  # [B,T,D]
    special = weighted - weighted.mean(1, keepdim=True)
    maps = image_features @ special.transpose(1, 2)  # [B,1+n,T]
    lowest, highest = maps.amin(1, keepdim=True), maps.amax(1, keepdim=True)
    spread = highest - lowest
    return (maps - lowest) / spread.where(spread > 0, torch.ones_like(spread))


def enriched_text(text: Tensor, attributes: Tensor, classes: int, share: float = 0.9) -> tuple[Tensor, Tensor]:
    """Add to each class the attributes that fit it best, weighted by how well they fit.

    Args:
        text: [T,D], of length 1; the first ``classes`` are classes, the others background words.
        attributes: [K,D]: attribute vectors (cluster centres of descriptions), of any length.
        classes: C.
        share: of the attributes that take part (0.9), in (0,1].

    Returns:
        [T,D] of length 1, and the weights [C,K] of the attributes, which add up to 1 over them.

    Source: zwyang6/ExCEL@2cd7f510d627:model/load_attr.py (attr_aggregate).
    """
    similarity = text[:classes] @ attributes.T  # [C,K]
    left_out = similarity.topk(int((1 - share) * len(attributes)), dim=1, largest=False).indices
    weights = similarity.scatter(1, left_out, float("-inf")).softmax(1)
    enriched = torch.cat([text[:classes] + weights @ attributes, text[classes:]])
    return F.normalize(enriched, dim=1), weights
