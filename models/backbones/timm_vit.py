"""Vision transformers of timm (Dosovitskiy et al. 2021): tokens, attention, and position embeddings at any size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from models.backbones.timm_networks import TimmNetwork

DINO_OFFSET = 0.1
"""Of a cell, which DINOv2 without register tokens adds to the sides of a grid before it divides by the table's."""


class TimmVit(TimmNetwork):
    """A plain ViT, such as ViT, DeiT and DINOv2: all levels have the stride of its patches.

    ``stem`` is the embedded patches, ``layer1`` to ``layer4`` are the patch tokens after each quarter of the blocks,
    the last after the last norm. An image is enlarged to whole patches. The table of position embeddings is resized as
    the networks' authors do it, bicubically: by size; for DINOv2 by factors with an offset, and for DINOv2 with
    register tokens by size and smoothed.

    Source: facebookresearch/dinov2@b8931f7:dinov2/models/vision_transformer.py;
    rulixiang/ToCo@e13514d:model/backbone/vit.py.
    """

    @staticmethod
    def fits(network: Any) -> bool:
        """Whether ``network`` is one of these, and no relative of another build."""
        from timm.models.vision_transformer import VisionTransformer

        return type(network) is VisionTransformer and bool(network.dynamic_img_size)

    @property
    def attentions(self) -> int:
        """Maps that :meth:`with_attention` gives."""
        heads: int = self.network.blocks[-1].attn.num_heads
        return 2 * heads

    @property
    def prefix(self) -> int:
        """Tokens before those of the patches: class and register tokens."""
        count: int = self.network.num_prefix_tokens
        return count

    def tokens(self, image: Tensor, blocks: int = 0) -> tuple[list[Tensor], list[Tensor]]:
        """All tokens of an image [B,3,H,W] in [0,1], and what its last ``blocks`` blocks attend to.

        Returns:
            Tokens [B,t,D] as they are embedded, then after each block, not normalised (``network.norm`` is the last
            norm); t is ``prefix`` and a token for each patch, row by row.
            For each of those blocks q k / sqrt(d) [B,heads,t,t]: attention before the softmax over the last axis.
        """
        with self.held(image):
            return self._tokens(self.prepared(image), blocks)

    def with_attention(self, image: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """The features, and q k / sqrt(d) of the last two blocks, [B,2*heads,n,n] for n cells of layer4."""
        tokens, products = self.tokens(image, blocks=2)
        rows, columns = (-(-length // self.patch) for length in image.shape[2:])
        cells = torch.cat(products, 1)[:, :, self.prefix :, self.prefix :]
        return self._features(self._maps(tokens, rows, columns)), cells

    def levels(self, image: Tensor) -> list[Tensor]:
        rows, columns = (length // self.patch for length in image.shape[2:])
        return self._maps(self._tokens(image, 0)[0], rows, columns)

    def _maps(self, tokens: Sequence[Tensor], rows: int, columns: int) -> list[Tensor]:
        blocks = len(tokens) - 1
        chosen = [tokens[0], *(tokens[max(1, blocks * quarter // 4)] for quarter in range(1, 5))]
        chosen[-1] = self.network.norm(chosen[-1])
        cells = (one[:, self.prefix :].transpose(1, 2).unflatten(2, (rows, columns)) for one in chosen)
        return [one.contiguous() for one in cells]

    def _tokens(self, image: Tensor, blocks: int) -> tuple[list[Tensor], list[Tensor]]:
        """:meth:`tokens` of a prepared image."""
        tokens, products = [self._embedded(image)], []
        count = len(self.network.blocks)
        for number, block in enumerate(self.network.blocks):
            if number >= count - blocks:
                products.append(_products(block.attn, block.norm1(tokens[-1])))
            tokens.append(block(tokens[-1]))
        return tokens, products

    def _embedded(self, image: Tensor) -> Tensor:
        network: Any = self.network
        patches = network.patch_embed(image)  # [B,rows,columns,D]
        positions = self._positions(patches.shape[1], patches.shape[2])
        patches = patches.flatten(1, 2)
        before = (one for one in (network.cls_token, network.reg_token) if one is not None)
        first = [one.expand(image.shape[0], -1, -1) for one in before]
        if network.no_embed_class:
            tokens = torch.cat([*first, patches + positions], 1)
        else:
            tokens = torch.cat([*first, patches], 1) + positions
        embedded: Tensor = network.norm_pre(network.patch_drop(network.pos_drop(tokens)))
        return embedded

    def _positions(self, rows: int, columns: int) -> Tensor:
        """Position embeddings [1,t,D] of a grid; those before the patches' stay as they are."""
        table: Tensor = self.network.pos_embed
        grid = self.network.patch_embed.grid_size
        if not torch.compiler.is_exporting() and (rows, columns) == tuple(grid):  # an exported file serves any grid
            return table
        before = table.shape[1] - grid[0] * grid[1]
        maps = table[:, before:].transpose(1, 2).unflatten(2, grid).float()  # [1,D,h,w]
        registers = self.network.num_reg_tokens
        if "dinov2" in self.name and not registers:
            factors = ((rows + DINO_OFFSET) / grid[0], (columns + DINO_OFFSET) / grid[1])
            maps = F.interpolate(maps, scale_factor=factors, mode="bicubic", align_corners=False)
        else:
            smoothed = "dinov2" in self.name
            maps = F.interpolate(maps, (rows, columns), mode="bicubic", align_corners=False, antialias=smoothed)
        return torch.cat([table[:, :before], maps.flatten(2).transpose(1, 2).to(table.dtype)], 1)


def _products(attention: Any, tokens: Tensor) -> Tensor:
    """q k / sqrt(d) [B,heads,t,t] of a block's attention to its normalised tokens [B,t,D]."""
    heads = attention.num_heads
    q, k, _ = attention.qkv(tokens).unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    product: Tensor = attention.q_norm(q) * attention.scale @ attention.k_norm(k).transpose(-2, -1)
    return product
