"""WeCLIP's decoder: tokens of several blocks of a transformer fused to one map, and blocks on that map (Zhang 2024)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.ops.transformer_blocks import blocks


class LevelFusion(nn.Module):
    """Every level through a two-layer perceptron of its own, all side by side through a 1x1 convolution.

    Args:
        channels: of the levels. levels: how many.
        width: channels of each perceptron, and of the result (256).
        dropout: whole channels dropped from the result (0.1).

    Source: zbf1991/WeCLIP@0f47db46b5a5:WeCLIP/WeCLIP_model/segformer_head.py.
    """

    def __init__(self, channels: int, levels: int, width: int = 256, dropout: float = 0.1) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, width, 1), nn.ReLU(), nn.Conv2d(width, width, 1)) for _ in range(levels)
        )
        self.mix = nn.Conv2d(levels * width, width, 1)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """[B,width,h,w] of one map [B,channels,h,w] a level."""
        each = [level(one) for level, one in zip(self.levels, maps, strict=True)]
        fused: Tensor = self.dropout(self.mix(torch.cat(each, 1)))
        return fused


class TokenDecoder(nn.Module):
    """Transformer blocks like CLIP's on the cells of a map, without positions, and a classifier.

    Args:
        width: channels of the map.
        outputs: 1 + C.
        depth: blocks (3). heads: of each (8).

    Source: zbf1991/WeCLIP@0f47db46b5a5:WeCLIP/WeCLIP_model/Decoder/TransDecoder.py.
    """

    def __init__(self, width: int, outputs: int, depth: int = 3, heads: int = 8) -> None:
        super().__init__()
        self.transformer = blocks(width, depth, heads=heads)
        self.classifier = nn.Conv2d(width, outputs, 1)

    def forward(self, fused: Tensor) -> Tensor:
        """Logits [B,outputs,h,w] of a map [B,width,h,w]."""
        return self.with_attention(fused)[0]

    def with_attention(self, fused: Tensor) -> tuple[Tensor, Tensor]:
        """The logits, and the attention [B,h*w,h*w] of the last block, mean over its heads."""
        tokens = fused.flatten(2).transpose(1, 2)
        for block in self.transformer.resblocks:  # type: ignore[union-attr]
            tokens, attention = block.with_attention(tokens)
        logits: Tensor = self.classifier(tokens.transpose(1, 2).unflatten(2, fused.shape[2:]))
        return logits, attention
