"""Texts as a classifier: what an image has of each, and where, by the gradient of a softmax over them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.ops.cam import grad_cam


class Texts(nn.Module):
    """Features of the texts of C classes and of N words for what is no class, as buffers: nothing here learns.

    Attributes:
        classes: [C,E]. background: [N,E]; all of length 1.
        logit_scale: [], the logarithm of what cosines are multiplied by.
    """

    classes: Tensor
    background: Tensor
    logit_scale: Tensor

    def __init__(self, num_classes: int, backgrounds: int, channels: int) -> None:
        """Random directions, until features are loaded; ``channels`` is E."""
        super().__init__()
        for name, count in (("classes", num_classes), ("background", backgrounds)):
            self.register_buffer(name, F.normalize(torch.randn(count, channels), dim=1))
        self.register_buffer("logit_scale", torch.tensor(math.log(100)))

    def of(self, channels: Tensor) -> Tensor:
        """Features [K+N,E]: of the K classes that int64 ``channels`` [K] name, then of the background."""
        return torch.cat([self.classes[channels], self.background])

    def maps(self, tower: Any, tokens: Tensor, grid: tuple[int, int], channels: Tensor) -> TextMaps:
        """:func:`text_maps` of K classes, int64 [K], in an image whose tokens are [1,1+h*w,D] before the last block.

        ``tower`` is CLIP's image tower (:class:`models.backbones.clip.ClipVit`).
        """
        texts, block = self.of(channels), tower.resblocks[-1]
        return text_maps(block, tower.ln_post, tower.proj, tokens, grid, texts, self.logit_scale, len(channels))


@dataclass(frozen=True)
class TextMaps:
    """How the K classes of an image answer.

    Attributes:
        probabilities: [K+N], of the K classes and the background words, which add up to 1.
        attention: [1+n,1+n] of the block.
        activation: [D,h,w], the patches after its first norm.
        gradient: [K,D,h,w], of each class's probability there.
    """

    probabilities: Tensor
    attention: Tensor
    activation: Tensor
    gradient: Tensor

    @property
    def maps(self) -> Tensor:
        """[K,h,w] in [0,1)."""
        return grad_cam(self.activation, self.gradient)


def text_maps(
    block: Any,
    norm: nn.Module,
    projection: Tensor,
    tokens: Tensor,
    grid: tuple[int, int],
    texts: Tensor,
    scale: Tensor,
    count: int,
) -> TextMaps:
    """Softmax-GradCAM of one image: what raises the probability of a text among all that compete.

    Args:
        block: the last block of the image tower (:class:`models.ops.transformer_blocks.Block`).
        norm: what follows it.
        projection: [D,E], from there to the space of texts.
        tokens: [1,1+h*w,D] before the block, the class token first. It is attended to, but the image's feature is the
            mean of the patches.
        grid: (h, w).
        texts: [K+N,E].
        scale: [], the logarithm of what cosines are multiplied by.
        count: K, the first texts, which are mapped.

    Source: linyq2117/CLIP-ES@3893f81:clip/model.py (forward_last_layer), generate_cams_voc12.py.
    """
    kind = tokens.device.type
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(kind, enabled=False):
        tokens, texts = tokens.detach().clone(), texts.clone()  # what inference made is not for gradients
        normed = block.ln_1(tokens).detach().requires_grad_()
        after, attention = block.with_attention(tokens, normed)
        feature = F.normalize(norm(after)[:, 1:].mean(1) @ projection, dim=1)
        logits = scale.exp() * feature @ F.normalize(texts, dim=1).T
        probabilities = logits.softmax(1)[0]
        gradients = [torch.autograd.grad(one, normed, retain_graph=True)[0] for one in probabilities[:count]]
    activation, *steepest = (value.detach()[0, 1:].T.unflatten(1, grid) for value in (normed, *gradients))
    return TextMaps(probabilities.detach(), attention.detach()[0], activation, torch.stack(steepest))
