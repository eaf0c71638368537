"""Mix Transformer (MiT), SegFormer's encoder (Xie et al. 2021), built by transformers (extra ``mit``)."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from models.backbones.base import LAYERS, Backbone
from models.errors import ConfigurationError

HEADS = (1, 2, 5, 8)
"""Attention heads of the four stages; a stage has as many times the channels of a head."""
SMALLEST = 29
"""Pixels a side: attention of the first stage reduces blocks of 8x8 cells to one, and needs one."""
PUBLISHED = {
    r"^segformer\.": "",
    r"^encoder\.patch_embeddings\.(\d)\.": r"encoder.\1.patch_embeddings.",
    r"^encoder\.block\.(\d)\.": r"encoder.\1.blocks.",
    r"^encoder\.layer_norm\.(\d)\.": r"encoder.\1.layer_norm.",
    r"\.attention\.self\.([qkv])\w+\.": r".attention.\1_proj.",  # query, key, value
    r"\.attention\.self\.sr\.": ".attention.sequence_reduction.sequence_reduction.",
    r"\.attention\.self\.layer_norm\.": ".attention.sequence_reduction.layer_norm.",
    r"\.attention\.output\.dense\.": ".attention.o_proj.",
    r"\.mlp\.dense(\d)\.": r".mlp.fc\1.",
    r"\.layer_norm_1\.": ".layernorm_before.",
    r"\.layer_norm_2\.": ".layernorm_after.",
}
"""Names in published files, as patterns -> those of transformers 5's modules, which hold the weights here."""


class Mit(Backbone):
    """Features of 1, 2, 5, 8 times the channels of an attention head; the stem is the first patch embedding.

    Strides beyond ``output_stride`` become 1 without dilation: attention sees the whole image, and the 3x3 kernels that
    follow see half as far (4,2,2,1 at 16, as AFA trains it; 4,2,1,1 at 8). Its norms are LayerNorms, without statistics
    of the data: ``freeze_bn`` changes nothing, their scales learn as weights and their shifts as biases. In training
    blocks are skipped at random (stochastic depth, up to 0.1).

    Args:
        width: multiplier of the channel counts; published weights exist for 1.0.
        output_stride: 8, 16 or 32.
        freeze_bn, frozen_stages: see :meth:`Backbone.freeze`.

    Raises:
        ConfigurationError: transformers is not installed, or (on forward) an image is too small.

    Source: docs/methods/backbones.md, section 5; published weights: nvidia/mit-b0 to b2, under NVIDIA's licence.
    """

    library = "transformers"
    attentions: ClassVar[int] = 2 * HEADS[-1]
    """Maps that :meth:`with_attention` gives."""
    depths: ClassVar[tuple[int, int, int, int]]
    head_channels: ClassVar[int]

    def __init__(
        self, *, width: float = 1.0, output_stride: int = 16, freeze_bn: bool = False, frozen_stages: int = 0
    ) -> None:
        sizes = [heads * max(1, round(self.head_channels * width)) for heads in HEADS]
        super().__init__(output_stride, sizes, (sizes[0], 4))
        strides = [1, *(self.strides[name] for name in LAYERS)]
        steps = [after // before for before, after in pairwise(strides)]
        self.encoder = _encoder(hidden_sizes=sizes, depths=list(self.depths), strides=steps)
        self.freeze(freeze_bn, frozen_stages)

    @classmethod
    def own_name(cls, published: str) -> str:
        for pattern, name in PUBLISHED.items():
            published = re.sub(pattern, name, published)
        return published

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        if min(image.shape[2:]) < SMALLEST:
            raise ConfigurationError(
                f"MiT backbones need images of at least {SMALLEST} pixels a side, found {tuple(image.shape[2:])}. "
                "Remedy: a larger crop, scale or second view."
            )
        return super().forward(image)

    def with_attention(self, image: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """The features, and products q k of the last two blocks, [B,2*heads,n,n] for n cells of layer4."""
        blocks = self.encoder[-1].blocks[-2:]
        kept: list[Tensor] = []
        taken = [
            projection.register_forward_hook(lambda _module, _inputs, output: kept.append(output))
            for block in blocks
            for projection in (block.attention.q_proj, block.attention.k_proj)
        ]
        try:
            features = self(image)
        finally:
            for hook in taken:
                hook.remove()
        heads = HEADS[-1]
        split = [one.unflatten(-1, (heads, -1)).transpose(1, 2) for one in kept]
        products = [q @ k.transpose(-2, -1) for q, k in zip(split[::2], split[1::2], strict=True)]
        return features, torch.cat(products, 1)

    def stages(self) -> list[nn.Module]:
        first, *later = self.encoder
        return [_Patches(first.patch_embeddings), _Blocks(first.blocks, first.layer_norm), *later]


class _Patches(nn.Module):
    """The first half of a stage, as a map: overlapping patches [B,3,H,W] -> [B,C,h,w]."""

    def __init__(self, embed: nn.Module) -> None:
        super().__init__()
        self.embed = embed

    def forward(self, image: Tensor) -> Tensor:
        return _to_map(*self.embed(image))


class _Blocks(nn.Module):
    """The second half: transformer blocks and a norm, [B,C,h,w] -> [B,C,h,w]."""

    def __init__(self, blocks: nn.ModuleList, norm: nn.Module) -> None:
        super().__init__()
        self.blocks, self.norm = blocks, norm

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        tokens = x.flatten(2).transpose(1, 2)
        for block in self.blocks:
            tokens = block(tokens, height, width)
        return _to_map(self.norm(tokens), height, width)


def _to_map(tokens: Tensor, height: int, width: int) -> Tensor:
    features: Tensor = tokens.transpose(1, 2).unflatten(2, (height, width))
    return features.contiguous()


def _encoder(**settings: Any) -> Any:
    """The four stages, a module each; attention in plain operations, whose gradients are the same in every run."""
    try:
        from transformers import SegformerConfig, SegformerModel
    except ImportError as error:
        raise ConfigurationError(
            f"MiT backbones need packages that are not installed ({error.name}). Remedy: pip install 'weak2mask[mit]'."
        ) from None
    config = SegformerConfig(num_attention_heads=list(HEADS), attn_implementation="eager", **settings)
    return SegformerModel(config).stages


class MitB0(Mit):
    """Features of 32, 64, 160, 256 channels, 3 M parameters."""

    depths, head_channels, hub = (2, 2, 2, 2), 32, "nvidia/mit-b0"


class MitB1(Mit):
    """Features of 64, 128, 320, 512 channels, 13 M parameters."""

    depths, head_channels, hub = (2, 2, 2, 2), 64, "nvidia/mit-b1"


class MitB2(Mit):
    """Features of 64, 128, 320, 512 channels, 24 M parameters."""

    depths, head_channels, hub = (3, 4, 6, 3), 64, "nvidia/mit-b2"
