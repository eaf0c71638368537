"""Blocks of CLIP's transformers: its two towers, and decoders that are built like them."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

HEAD_CHANNELS = 64


class QuickGelu(nn.Module):
    """``x sigmoid(1.702 x)``, with which OpenAI trained; OpenCLIP's own trainings have the exact GELU."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    """``x + attention(ln_1 x)``, then ``x + mlp(ln_2 x)``, on tokens [B,n,D].

    Args:
        width: channels D.
        activation: of the perceptron.
        heads: of the attention; None for one for each 64 channels.
    """

    def __init__(self, width: int, activation: type[nn.Module] = QuickGelu, heads: int | None = None) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads or width // HEAD_CHANNELS, batch_first=True)
        self.ln_2 = nn.LayerNorm(width)
        layers = {"c_fc": nn.Linear(width, 4 * width), "gelu": activation(), "c_proj": nn.Linear(4 * width, width)}
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Tokens [B,n,D]; ``mask`` [n,n] is added to the products of queries and keys."""
        mixed, _ = self.attn(*3 * (self.ln_1(x),), attn_mask=mask, need_weights=False)
        return self.after_attention(x + mixed)

    def with_attention(self, x: Tensor, normed: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Tokens [B,n,D], and attention [B,n,n] from queries (rows) to keys: its mean over the heads.

        ``normed`` is ``ln_1(x)`` for whoever needs the gradient there.
        """
        mixed, attention = self.attn(*3 * (self.ln_1(x) if normed is None else normed,))
        return self.after_attention(x + mixed), attention

    def with_summed_attention(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens [B,n,D], and their attention [B,n,n] *summed* over the heads."""
        q, k, v = self._parts(x)
        usual = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1)
        return self.after_attention(x + self._mixed(usual, v)), usual.sum(1)

    def second_path(self, x: Tensor, second: Tensor, guide: Tensor | None = None) -> Tensor:
        """Tokens [B,n,D] of a path beside the block, on which tokens attend to what is like them (CLIP Surgery, ExCEL).

        Its attention is the mean of the softmaxes of q q, k k and v v of the usual path, summed over the heads: one map
        for all of them. It has no perceptron.

        Args:
            x: tokens [B,n,D] of the usual path before the block. second: those of this path.
            guide: [B,n-1,n-1], added to this path's attention between patches, in every head.

        Source: zwyang6/ExCEL@2cd7f510d627:clip/clip_surgery_model.py.
        """
        parts = self._parts(x)
        scale = parts[0].shape[-1] ** -0.5
        alike = sum((one @ one.transpose(-2, -1) * scale).softmax(-1) for one in parts).sum(1) / 3  # type: ignore[union-attr]
        if guide is not None:
            alike = alike + self.attn.num_heads * nn.functional.pad(guide, (1, 0, 1, 0))
        return second + self._mixed(alike.unsqueeze(1), parts[2])

    def _parts(self, x: Tensor) -> list[Tensor]:
        """Queries, keys and values [B,heads,n,d]."""
        joined = nn.functional.linear(self.ln_1(x), self.attn.in_proj_weight, self.attn.in_proj_bias)
        return [part.unflatten(2, (self.attn.num_heads, -1)).transpose(1, 2) for part in joined.chunk(3, 2)]

    def _mixed(self, weights: Tensor, v: Tensor) -> Tensor:
        mixed: Tensor = self.attn.out_proj((weights @ v).transpose(1, 2).flatten(2))
        return mixed

    def after_attention(self, x: Tensor) -> Tensor:
        """``x + mlp(ln_2 x)``."""
        result: Tensor = x + self.mlp(self.ln_2(x))
        return result


def blocks(width: int, depth: int, activation: type[nn.Module] = QuickGelu, heads: int | None = None) -> nn.Module:
    """``resblocks.0`` to ``resblocks.DEPTH-1``."""
    module = nn.Module()
    module.resblocks = nn.ModuleList(Block(width, activation, heads) for _ in range(depth))
    return module
