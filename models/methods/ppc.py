"""PPC (Du et al. 2022): pixels near the prototype of their pseudo-class, across two views, on top of SEAM or any base.

Released as SEAM with a projection and three terms of contrast; here the terms are an add-on. arXiv 2110.07110; numbers
in brackets are the equations of docs/methods/ppc.md.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from models.losses.prototype_contrast import contrast_view, draw_hard_pixels, present_classes, prototype_contrast
from models.method import AddOn
from models.ops.batch_norm import untracked
from models.options import InnerShare, Positive, PositiveCount, ShareBelowOne, StartEpoch, Weight
from models.structures import Batch, CamView, Outputs, StepContext

SECOND = "second."


class Ppc(AddOn):
    """An add-on over a page that learns CAMs (``cam_views``), with a projection of its own.

    A base of two views contrasts these (SEAM, with ``second_size: 128``). For a base of one view the batch goes through
    it a second time, smaller; running statistics of batch norms stay those of the first. The negatives within a view
    are the prototypes of ranks 4 to 13: with fewer than three classes there are none, and that term is 0 (``semi_hard:
    shares`` finds some).

    Args:
        base: the page, or an add-on around one.
        width: channels of the projection (PPC 128).
        dropout: share of feature channels dropped before it (PPC 0.5).
        weight: of each of the three terms (PPC 0.1).
        start: epoch from which they count (PPC 0): pseudo-labels of a short training's first steps are noise.
        tau: temperature (PPC 0.1).
        background: constant score of the background in pseudo-labels (PPC 0.2).
        cells: of the batch that make a prototype (PPC 32, of batches of 8 images).
        negatives: prototypes of all classes (PPC), or of those that the batch has ("present").
        semi_hard: negatives within a view are the prototypes of ranks 4 to 13 ("ranks": PPC, of 21), or the same shares
            of those that there are ("shares").
        second_scale: for a base of one view, the size of the second as a share of the first (PPC: 128 of 448 pixels).

    Source: usr922/wseg@e96b961:contrast_train.py.
    """

    name = "ppc"
    starts = {"start": ("weight",)}

    def __init__(
        self,
        base: Any,
        *,
        width: PositiveCount = 128,
        dropout: ShareBelowOne = 0.0,
        weight: Weight = 0.1,
        start: StartEpoch = 0.0,
        tau: Positive = 0.1,
        background: InnerShare = 0.2,
        cells: PositiveCount = 32,
        negatives: Literal["all", "present"] = "all",
        semi_hard: Literal["ranks", "shares"] = "ranks",
        second_scale: Positive = 0.3,
    ) -> None:
        super().__init__(base)
        self.dropout = nn.Dropout2d(dropout)
        self.projection = nn.Conv2d(_feature_channels(base), width, kernel_size=1, bias=False)
        nn.init.kaiming_normal_(self.projection.weight)
        self.weight, self.start, self.tau = weight, start, tau
        self.background, self.second_scale = background, second_scale
        self.cells, self.negatives = cells, negatives
        self.semi_hard: Literal["ranks", "shares"] = semi_hard

    def forward(self, batch: Batch) -> Outputs:
        """The base's outputs, those of a second pass with ``second.`` in front, and the ``projected`` features."""
        outputs = super().forward(batch)
        if len(self.base.cam_views(outputs, batch)) == 1:
            # SEAM, on which PPC was released, has a second view; for others one is made here
            with untracked(self.base):
                again = self.base.look(self._small(batch).image)
            outputs |= {SECOND + name: value for name, value in again.items()}
        projected = [F.relu(self.projection(self.dropout(view.features))) for view in self._pair(outputs, batch)]
        return outputs | {"projected": projected[0].float(), "projected_2": projected[1].float()}

    def losses(self, outputs: Outputs, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """(8): the base's parts, and the contrast across prototypes, across labels, and within each view.

        A name that the base has already gets ``ppc_`` in front (RTC: ``ppc_cross_prototype``, ``ppc_cross_label``).
        """
        first, second = (  # pseudo-labels (1), (2) and prototypes (3)
            contrast_view(projected, _with_channel(view.refined), batch.tags, self.background, top=self.cells)
            for view, projected in zip(
                self._pair(outputs, batch), (outputs["projected"], outputs["projected_2"]), strict=True
            )
        )
        draws = tuple(draw_hard_pixels(view.labels, context.generator) for view in (first, second))
        present = present_classes(batch.tags) if self.negatives == "present" else None
        contrast = prototype_contrast(first, second, (draws[0], draws[1]), self.tau, present, self.semi_hard)
        weight = self.weight if context.epoch >= self.start else 0.0
        parts = super().losses(outputs, batch, context)
        own = {
            "cross_prototype": weight * contrast.cross_prototype,  # (5)
            "cross_label": weight * contrast.cross_label,  # (6)
            "intra_view": weight * contrast.intra,  # (7)
        }
        # RTC has parts of these names: both count, and histories of other bases keep the names that they have
        return self.joined(parts, {f"{self.name}_{name}" if name in parts else name: own[name] for name in own})

    def _small(self, batch: Batch) -> Batch:
        size = [max(1, int(length * self.second_scale)) for length in batch.image.shape[2:]]
        return replace(batch, image=F.interpolate(batch.image, size, mode="bilinear", align_corners=True))

    def _pair(self, outputs: Outputs, batch: Batch) -> tuple[CamView, CamView]:
        views = self.base.cam_views(outputs, batch)
        if len(views) > 1:
            return views[0], views[1]
        again = {name.removeprefix(SECOND): value for name, value in outputs.items() if name.startswith(SECOND)}
        return views[0], self.base.cam_views(again, self._small(batch))[0]


def _with_channel(refined: Tensor) -> Tensor:
    """A channel in front, whose values the contrast replaces by its constant."""
    return F.pad(refined, (0, 0, 0, 0, 1, 0))


def _feature_channels(base: Any) -> int:
    while isinstance(base, AddOn):
        base = base.base
    channels: int = base.backbone.channels["layer4"]
    return channels
