"""What ToCo and DuPL have in common: a vision transformer with class maps of two depths and a decoder.

Equations: docs/methods/toco.md, section 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from models.heads.token_heads import TokenHeads, strongest
from models.losses.token_contrast import patch_token_contrast
from models.online_label_method import BandLabelMethod
from models.ops.online_labels import grid_labels
from models.ops.pixel_adaptive import PixelAdaptive
from models.ops.tokens import token_maps
from models.options import PositiveCount, Scales, StartEpoch, Weight
from models.structures import IGNORE, Batch, Outputs


class TokenMethod(BandLabelMethod):
    """A page on a vision transformer; it localises and segments.

    Args:
        num_classes: foreground classes C.
        backbone: a plain vision transformer with a class token (the authors ViT-B/16, ToCo's also DeiT-B/16).
        head_width: channels of a decoder (512).
        early: which block has the class maps that label tokens, counted from the end (3).
        cam_scales: of the image, whose CAMs, with those of mirror images, become labels.
        patch_contrast: weight of the patch-token contrast (0.2).
        pretrain: epochs before the decoders learn (2,000 of 20,000 steps).
        on_labels: options of :class:`models.online_label_method.BandLabelMethod` (``high`` .7, ``low`` .25).

    Raises:
        ConfigurationError: a backbone that is no vision transformer.
    """

    reads_tokens = True
    switches = {"scores": "segmentation"}

    def __init__(
        self,
        num_classes: int,
        *,
        backbone: str = "timm/vit_base_patch16_224",
        head_width: PositiveCount = 512,
        early: PositiveCount = 3,
        cam_scales: Scales = (1.0, 0.5, 1.5),
        patch_contrast: Weight = 0.2,
        pretrain: StartEpoch = 1.0,
        **on_labels: Any,
    ) -> None:
        super().__init__(num_classes, backbone=backbone, **on_labels)
        self.heads = TokenHeads(self.backbone.channels["layer4"], num_classes, head_width)
        self.early, self.cam_scales = early, tuple(cam_scales)
        self.patch_contrast, self.pretrain = patch_contrast, pretrain
        self.refine = PixelAdaptive("par")

    def look(self, image: Tensor) -> Outputs:
        """``maps`` and ``maps_early`` [B,C,h,w], ``logits`` and ``logits_early`` [B,C], ``scores`` [B,1+C,h,w] of the
        decoder, and the patch tokens as ``features`` [B,D,h,w].
        """
        return self._seen(self.backbone, self.heads, image)

    def _seen(self, backbone: Any, heads: TokenHeads, image: Tensor) -> Outputs:
        seen = token_maps(backbone, image, self.early)
        outputs: Outputs = heads(seen)
        return outputs | {"features": seen.patches}

    def _class_maps(self, backbone: Any, heads: TokenHeads, image: Tensor) -> tuple[Tensor, Tensor]:
        return heads.class_maps(token_maps(backbone, image, self.early))

    def _of_tokens(self, outputs: Outputs, batch: Batch, high: float | Tensor, ending: str = "") -> dict[str, Tensor]:
        """L_cls, L_early and patch_contrast L_ptc, of the outputs whose names have that ending."""
        tags, features = batch.tags.float(), outputs[f"features{ending}"]
        early, inside = outputs[f"cams_early{ending}"], batch.seeds != IGNORE
        cells = grid_labels(early, features, batch.tags, inside, high, self.low)
        contrast = patch_token_contrast(features.float(), cells)  # (2)
        return {
            "classification": F.multilabel_soft_margin_loss(outputs[f"logits{ending}"], tags),  # (1)
            "early_classification": F.multilabel_soft_margin_loss(outputs[f"logits_early{ending}"], tags),
            "patch_contrast": self.patch_contrast * contrast,
        }

    def cams(self, image: Tensor, tags: Tensor) -> Tensor:
        """relu of the last block's class maps, [B,C,h,w], zero for classes that ``tags`` [B,C] deny."""
        maps = self._class_maps(self.backbone, self.heads, image)[0]
        return maps.float().relu() * tags[:, :, None, None]

    def tag_scores(self, image: Tensor) -> Tensor:
        """Image-level logits [B,C]."""
        return strongest(self.heads.cam, token_maps(self.backbone, image).patches)

    def scores(self, image: Tensor) -> Tensor:
        """Logits [B,1+C,h,w] of the decoder."""
        logits: Tensor = self.heads.decoder({"layer4": token_maps(self.backbone, image).patches})
        return logits

    def new_modules(self) -> Iterator[nn.Module]:
        yield self.heads
