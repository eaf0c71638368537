"""DuPL (Wu et al. 2024): two transformers that learn each other's labels, so that neither believes its own errors.

Both localise and segment as ToCo's does, without its class-token contrast. Labels grow as their threshold falls, and
those that a network can only have learned from noise are left out; where there is none, a changed image must be seen as
the plain one. arXiv 2403.11184; numbers in brackets are the equations of docs/methods/dupl.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.ema import follow
from models.heads.token_heads import TokenHeads
from models.losses.cross_entropy import seed_cross_entropy
from models.losses.dual_branch import consistency, likeness, sure_where_unlabelled
from models.ops.online_labels import two_threshold_labels
from models.ops.random_views import recoloured
from models.ops.tokens import token_maps
from models.ops.view_cams import own_cams
from models.options import InnerShare, PositiveCount, ShareAboveZero, ShareBelowOne, Shares, Weight
from models.structures import IGNORE, Batch, Outputs, StepContext
from models.token_method import TokenMethod

BRANCHES = ("", "_2")
"""How the outputs of the two end."""
STRENGTH = 2.0
"""Of the change of colours, over that of an ordinary view."""


class Dupl(TokenMethod):
    """Learns from tags alone; its first branch localises and segments.

    Args:
        num_classes: foreground classes C.
        head_width: channels of each decoder (512).
        high_end: what ``high`` (.7) has become at the end: one number, or one for each class (VOC: .55 or .7, set by
            hand).
        difference: weight of the term that keeps the branches' features apart (0.1).
        segmentation: weight of what each branch learns of the other's labels (0.2).
        agreement: weight of the consistency where there are none (0.05).
        confidence: probability from which the plain image's prediction teaches the changed one (0.9).
        changed_scale: of the changed image (0.75).
        noise_certainty: probability from which a label counts as noise (0.95).
        on_tokens: options of :class:`models.token_method.TokenMethod`; both branches start from one backbone's weights.

    Source: Wu0409/DuPL@b21990f:train_final_voc.py.
    """

    starts = {"pretrain": ("segmentation", "agreement")}

    def __init__(
        self,
        num_classes: int,
        *,
        head_width: PositiveCount = 512,
        high_end: Shares | None = 0.55,
        difference: Weight = 0.1,
        segmentation: Weight = 0.2,
        agreement: Weight = 0.05,
        confidence: InnerShare = 0.9,
        changed_scale: ShareAboveZero = 0.75,
        noise_certainty: ShareBelowOne = 0.95,
        **on_tokens: Any,
    ) -> None:
        super().__init__(
            num_classes, head_width=head_width, high_end=high_end, noise_certainty=noise_certainty, **on_tokens
        )
        heads = TokenHeads(self.backbone.channels["layer4"], num_classes, head_width)
        self.second = nn.ModuleDict({"backbone": deepcopy(self.backbone), "heads": heads})
        self.difference, self.segmentation = difference, segmentation
        self.agreement, self.confidence, self.changed_scale = agreement, confidence, changed_scale

    def look(self, image: Tensor) -> Outputs:
        """Of both branches, the second's ending in ``_2``: ``maps`` and ``maps_early`` [B,C,h,w], ``logits`` and
        ``logits_early`` [B,C], ``scores`` [B,1+C,h,w], and the patch tokens as ``features`` [B,D,h,w].
        """
        outputs: Outputs = {}
        for ending, backbone, heads in self._branches():
            own = self._seen(backbone, heads, image)
            outputs |= {name + ending: value for name, value in own.items()}
        return outputs

    def _branches(self) -> list[tuple[str, Any, Any]]:
        """Ending of the outputs, backbone and heads of each."""
        return [("", self.backbone, self.heads), ("_2", self.second["backbone"], self.second["heads"])]

    def forward(self, batch: Batch) -> Outputs:
        """Those of :meth:`look`; of each branch its own CAMs ``cams`` and ``cams_early`` [B,C,H,W] of scales and mirror
        images, and ``changed`` [B,1+C,h,w], the scores of a recoloured, mirrored, smaller image.
        """
        outputs, changed = self.look(batch.image), self._changed(batch.image)
        for ending, backbone, heads in self._branches():
            cams = own_cams(partial(self._class_maps, backbone, heads), batch.image, batch.tags, self.cam_scales)
            outputs |= {f"{name}{ending}": one for name, one in zip(("cams", "cams_early"), cams, strict=True)}
            outputs[f"changed{ending}"] = heads.decoder({"layer4": token_maps(backbone, changed).patches})
        return outputs

    def _changed(self, image: Tensor) -> Tensor:
        size = [max(1, round(length * self.changed_scale)) for length in image.shape[2:]]
        smaller = F.interpolate(image, size, mode="bilinear", antialias=True).clamp(0, 1)
        draws = (
            torch.rand(len(image), 3, device=image.device) if self.training else image.new_full((len(image), 3), 0.5)
        )
        return recoloured(smaller, draws, STRENGTH).flip(-1)

    def losses(self, outputs: Outputs, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """(6): L = sum over branches of L_cls + L_early + patch_contrast L_ptc, + difference L_dis
        + segmentation L_seg + agreement L_reg; before ``pretrain`` the last two are 0.
        """
        high = self.high_now(batch.tags, context, self.pretrain)  # (1), [B]
        first, second = (self._of_tokens(outputs, batch, high, ending) for ending in BRANCHES)
        parts = {name: part + second[name] for name, part in first.items()}
        one, other = (outputs[f"features{ending}"].float() for ending in BRANCHES)
        parts["difference"] = self.difference * (likeness(one, other) + likeness(other, one))  # (2)
        return parts | self._of_decoders(outputs, batch, high, context)

    def _of_decoders(
        self, outputs: Outputs, batch: Batch, high: float | Tensor, context: StepContext
    ) -> dict[str, Tensor]:
        if context.epoch < self.pretrain:
            seen = (outputs[f"{name}{ending}"].float().sum() for name in ("scores", "changed") for ending in BRANCHES)
            silent = 0 * torch.stack(list(seen)).sum()
            return {"segmentation": silent, "agreement": silent}
        size = batch.seeds.shape[1:]
        scores = [
            F.interpolate(outputs[f"scores{ending}"].float(), size, mode="bilinear", align_corners=False)
            for ending in BRANCHES
        ]
        labels = [
            self._labels(outputs[f"cams{ending}"], own, batch, high, context)
            for ending, own in zip(BRANCHES, scores, strict=True)
        ]
        crosswise = list(zip(BRANCHES, scores, reversed(labels), strict=True))
        learned = [seed_cross_entropy(own, others, balanced=True) for _, own, others in crosswise]  # (4)
        agreed = [
            consistency(outputs[f"changed{ending}"].float(), sure_where_unlabelled(own, others, self.confidence))
            for ending, own, others in crosswise
        ]  # (5)
        return {
            "segmentation": self.segmentation * torch.stack(learned).sum(),
            "agreement": self.agreement * torch.stack(agreed).sum(),
        }

    def _labels(self, cams: Tensor, scores: Tensor, batch: Batch, high: float | Tensor, context: StepContext) -> Tensor:
        """int64 [B,H,W] of one branch's CAMs; what its own scores [B,1+C,H,W] show to be noise is void."""
        inside = batch.seeds != IGNORE
        labels = two_threshold_labels(cams, batch.image, batch.tags, inside, self.refine, high, self.low)
        return self.trusted(labels, scores, context)  # (3)

    def new_modules(self) -> Iterator[nn.Module]:
        yield from (self.heads, self.second["heads"])

    def begin(self) -> None:
        """The second branch starts from the weights of the first's backbone."""
        follow(self.second["backbone"], self.backbone, 0.0)
