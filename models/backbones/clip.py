"""CLIP's image tower (Radford et al. 2021): a vision transformer whose tokens lie in one space with those of texts.

Plain torch modules under the names of the official file, because methods look into its blocks: they read the tokens and
the attention of each, and the gradient at the first norm of the last one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.backbones.base import LAYERS, Backbone
from models.backbones.clip_names import official_names
from models.ops.transformer_blocks import HEAD_CHANNELS, QuickGelu, blocks

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Tokens:
    """What the blocks make of images.

    Attributes:
        after: [B,1+h*w,D] after each block that ran, the class token first, then the patches row by row.
        attention: [B,1+h*w,1+h*w] of each, mean over the heads, a row is a query; empty where nobody asked.
        grid: (h, w) of the patches.
    """

    after: tuple[Tensor, ...]
    attention: tuple[Tensor, ...]
    grid: tuple[int, int]

    def maps(self, block: int) -> Tensor:
        """The patches after a block (from 0; -1 is the last) as a map [B,D,h,w]."""
        return to_map(self.after[block], self.grid)

    def patch_attention(self, last: int) -> Tensor:
        """Attention between patches [B,h*w,h*w]: the mean over the last so many blocks; rows no longer add up to 1."""
        return torch.stack(self.attention[-last:]).mean(0)[:, 1:, 1:]


class ClipVit(Backbone):
    """Features of one width and one stride, the patch's: the tokens at quarters of the depth, the last ``ln_post``'s.

    An image whose sides are no multiples of the patch is enlarged to the next ones (bicubic). The table of positions is
    resized bilinearly to the grid. ``proj`` [D,E], which takes tokens after ``ln_post`` to the space of texts, does not
    learn; there are no batch norms, so that ``freeze_bn`` changes nothing.

    Args:
        width: multiplier of the published channel count; published weights exist for 1.0.
        output_stride: the side of a patch.
        freeze_bn, frozen_stages: see :meth:`models.backbones.base.Backbone.freeze`.

    Source: docs/methods/clip_es.md, section 1; openai/CLIP@d05afc4:clip/model.py; positions at other sizes:
    linyq2117/CLIP-ES@3893f81:clip/model.py, without its cast to half precision.
    """

    library = "OpenAI's CLIP, OpenCLIP or transformers' CLIPModel"
    output_strides: ClassVar[tuple[int, ...]] = (16,)
    full_width: ClassVar[int] = 768
    depth: ClassVar[int] = 12
    embedded: ClassVar[int] = 512
    """Dimensions E of the space of texts."""
    side: ClassVar[int] = 14
    """Patches a side in the table of positions."""
    activation: ClassVar[type[nn.Module]] = QuickGelu
    proj: Tensor

    def __init__(
        self, *, width: float = 1.0, output_stride: int | None = None, freeze_bn: bool = False, frozen_stages: int = 0
    ) -> None:
        output_stride = output_stride or self.output_strides[0]  # that of its patches; there is no other
        channels = HEAD_CHANNELS * max(1, round(self.full_width * width / HEAD_CHANNELS))
        super().__init__(output_stride, [channels] * len(LAYERS), (channels, output_stride))
        self.strides = dict.fromkeys(self.channels, output_stride)
        self.conv1 = nn.Conv2d(3, channels, output_stride, output_stride, bias=False)
        self.class_embedding = nn.Parameter(channels**-0.5 * torch.randn(channels))
        self.positional_embedding = nn.Parameter(channels**-0.5 * torch.randn(1 + self.side**2, channels))
        self.ln_pre = nn.LayerNorm(channels)
        self.transformer = blocks(channels, self.depth, self.activation)
        self.ln_post = nn.LayerNorm(channels)
        embedded = max(1, round(self.embedded * width))
        self.register_buffer("proj", channels**-0.5 * torch.randn(channels, embedded))
        self.mean.copy_(torch.tensor(CLIP_MEAN).view(1, 3, 1, 1))
        self.std.copy_(torch.tensor(CLIP_STD).view(1, 3, 1, 1))
        self.freeze(freeze_bn, frozen_stages)

    @classmethod
    def own_entries(cls, published: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The image tower of a file of both towers."""
        entries = official_names(published)
        visual = {k.removeprefix("visual."): v for k, v in entries.items() if k.startswith("visual.")}
        return visual or dict(published)

    @property
    def resblocks(self) -> nn.ModuleList:
        """The blocks, each a :class:`Block`."""
        found: nn.ModuleList = self.transformer.resblocks  # type: ignore[assignment]
        return found

    def embed(self, image: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Tokens [B,1+h*w,D] before the first block, and their grid (h, w), of images [B,3,H,W] in [0,1]."""
        patch = self.output_stride
        size = [-(-length // patch) * patch for length in image.shape[2:]]
        if list(image.shape[2:]) != size:
            image = F.interpolate(image, size, mode="bicubic", antialias=True).clamp(0, 1)
        patches = self.conv1((image - self.mean) / self.std)
        grid = (patches.shape[2], patches.shape[3])
        first = self.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
        tokens = torch.cat([first, patches.flatten(2).transpose(1, 2)], 1) + self.positions(grid)
        return self.ln_pre(tokens), grid

    def positions(self, grid: tuple[int, int]) -> Tensor:
        """The table [1+h*w,D] for a grid (h, w): the class token's entry, and the patches' resized bilinearly."""
        table = self.positional_embedding
        side = isqrt(len(table) - 1)
        if grid == (side, side):
            return table
        square = table[1:].T.unflatten(1, (side, side))[None]
        resized = F.interpolate(square, grid, mode="bilinear", align_corners=False)
        return torch.cat([table[:1], resized[0].flatten(1).T])

    def look(self, image: Tensor, count: int | None = None, attention: bool = False) -> Tokens:
        """Tokens after each of the first ``count`` blocks (None: all), and their attention if asked for.

        Args:
            image: float32 RGB [B,3,H,W] in [0,1].
        """
        tokens, grid = self.embed(image)
        after, weights = [], []
        block: Any
        for block in self.resblocks[:count]:
            if attention:
                tokens, one = block.with_attention(tokens)
                weights.append(one)
            else:
                tokens = block(tokens)
            after.append(tokens)
        return Tokens(tuple(after), tuple(weights), grid)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        tokens, grid = self.embed(image)
        features = {"stem": to_map(tokens, grid)}
        for name, stage in zip(LAYERS, self._quarters(), strict=True):
            for block in stage:
                tokens = block(tokens)
            features[name] = to_map(self.ln_post(tokens) if name == LAYERS[-1] else tokens, grid)
        return features

    def _quarters(self) -> list[nn.ModuleList]:
        step = self.depth // len(LAYERS)
        return [self.resblocks[start : start + step] for start in range(0, self.depth, step)]

    def stages(self) -> list[nn.Module]:
        """What is frozen together: the embedding of patches, then quarters of the blocks; not what forward runs."""
        return [nn.ModuleList([self.conv1, self.ln_pre]), *self._quarters()]

    def freeze(self, freeze_bn: bool, frozen_stages: int) -> None:
        super().freeze(freeze_bn, frozen_stages)
        self.class_embedding.requires_grad_(not frozen_stages)
        self.positional_embedding.requires_grad_(not frozen_stages)
        self.ln_post.requires_grad_(frozen_stages <= len(LAYERS))


def to_map(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """The patches of tokens [B,1+h*w,D] as a map [B,D,h,w]."""
    patches: Tensor = tokens[:, 1:].transpose(1, 2).unflatten(2, grid)
    return patches.contiguous()


class ClipVitB16(ClipVit):
    """Patches of 16 pixels, 768 channels, 12 blocks, 86 M parameters."""

    hub = "openai/clip-vit-base-patch16"


class ClipVitB32(ClipVit):
    """Patches of 32 pixels, 768 channels, 12 blocks, 88 M parameters."""

    hub = "openai/clip-vit-base-patch32"
    output_strides = (32,)
    side = 7


class ClipVitL14(ClipVit):
    """Patches of 14 pixels, 1024 channels, 24 blocks, 303 M parameters."""

    hub = "openai/clip-vit-large-patch14"
    output_strides = (14,)
    full_width = 1024
    depth = 24
    embedded = 768
    side = 16


class OpenClipVitB16(ClipVitB16):
    """OpenCLIP's trainings of B/16, whose blocks have the exact GELU."""

    hub = ""
    activation = nn.GELU
