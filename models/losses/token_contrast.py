"""Contrasts of a transformer's tokens (ToCo, Ru et al. 2023): of patch tokens, and of class tokens of image and crops.

PTC keeps tokens of different classes apart, against the smoothing of deep layers; CTC holds the class token of a crop
without objects away from that of the image, and that of a crop with some near it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from models.ops.affinity import dense_pair_labels

EPS = 1e-4
SHORTEST = 1e-8
"""Length below which a token is not stretched to unit length."""


def token_pairs(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Which pairs of different cells are alike and which differ, each bool [B,n,n], for labels [B,h,w], n = h*w.

    Args:
        labels: integer, 0..C; 254 and 255 say nothing.
    """
    alike, different = dense_pair_labels(labels)
    return alike & ~torch.eye(alike.shape[1], dtype=torch.bool, device=alike.device), different


def patch_token_contrast(tokens: Tensor, labels: Tensor) -> Tensor:
    """Half of one minus the mean |cosine| of alike pairs, plus half the mean |cosine| of different ones.

    Both counts have one pair more; without any pair the loss is 0.5, and its gradient 0.

    Args:
        tokens: float [B,D,h,w].
        labels: integer [B,h,w], 0..C; 254 and 255 say nothing.

    Source: rulixiang/ToCo@e13514d:model/losses.py (get_masked_ptc_loss).
    """
    alike, different = token_pairs(labels)
    directions = F.normalize(tokens.flatten(2), dim=1, eps=SHORTEST)
    cosines = (directions.transpose(1, 2) @ directions).abs()  # anti-parallel tokens count as alike
    pull = 1 - (cosines * alike).sum() / (alike.sum() + 1)
    push = (cosines * different).sum() / (different.sum() + 1)
    return (pull + push) / 2


def class_token_contrast(student: Tensor, teacher: Tensor, positive: Tensor, temperature: float = 0.5) -> Tensor:
    """InfoNCE of the teacher's two views of each image against the student's views and crops of it.

    With ``e = exp(teacher . student / temperature)`` and N the sum of e over negative crops: for each teacher the sum
    over positives of ``-log(e / (e + N))``, and ``-log(1 / (1 + N))`` once more, which the released loop adds.

    Args:
        student: float [V*B,d], all images of view 0 first; views 0 and 1 are the whole images.
        teacher: float [2*B,d], in the same order.
        positive: bool or float [B,V]; 0 for crops without objects.
        temperature: above 0.

    Returns:
        Scalar, the mean over images; the two teachers are averaged, and positives are.

    Source: rulixiang/ToCo@e13514d:model/losses.py (CTCLoss_neg).
    """
    images, views = positive.shape
    student, teacher = student.view(views, images, -1), teacher.view(2, images, -1)
    similarity = torch.exp(torch.einsum("tbd,vbd->tbv", teacher, student) / temperature)  # [2,B,V]
    weight = positive.to(similarity.dtype)
    negatives = (similarity * (1 - weight)).sum(2, keepdim=True)  # [2,B,1]
    of_pairs = -torch.log(similarity / (similarity + negatives + EPS))
    always = -torch.log(1 / (1 + negatives[..., 0] + EPS))
    summed = (of_pairs * weight).sum(2) + always  # [2,B]
    return (summed.mean(0) / (weight.sum(1) + EPS)).mean()
