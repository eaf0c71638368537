"""What pages have in common that learn from labels of their own CAMs: which of these labels are believed, and when.

A threshold that falls, and a filter of noise, are DuPL's (arXiv 2403.11184; docs/methods/dupl.md); any such page takes
them as options, and is what it was without them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from models.backbone_method import BackboneMethod
from models.errors import ConfigurationError
from models.losses.dual_branch import falling_threshold, highest_of_tags, pixel_losses, without_noise
from models.options import ShareBelowOne, Shares, StartEpoch
from models.structures import StepContext


class OnlineLabelMethod(BackboneMethod):
    """A page that makes labels while it trains, and may leave out those that look like noise.

    Args:
        noise_certainty: probability from which a label of a class counts as noise and is void (DuPL 0.95); 0: none is.
        noise_start: epoch from which (DuPL: 8,000 of 20,000 steps).
        on_backbone: options of :class:`models.backbone_method.BackboneMethod`.
    """

    starts: ClassVar[Mapping[str, Sequence[str]]] = {"noise_start": ("noise_certainty",)}

    def __init__(
        self, *, noise_certainty: ShareBelowOne = 0.0, noise_start: StartEpoch = 4.0, **on_backbone: Any
    ) -> None:
        super().__init__(**on_backbone)
        self.noise_certainty, self.noise_start = noise_certainty, noise_start

    def trusted(self, labels: Tensor, logits: Tensor, context: StepContext, align_corners: bool = False) -> Tensor:
        """Labels int64 [B,H,W], 255 where the page's logits [B,1+C,h,w] show them to be noise.

        The logits are enlarged to the labels (``align_corners``: how); they get no gradient.
        """
        if not self.noise_certainty or context.epoch < self.noise_start:
            return labels
        logits = logits.detach().float()
        if logits.shape[2:] != labels.shape[1:]:
            logits = F.interpolate(logits, labels.shape[1:], mode="bilinear", align_corners=align_corners)
        return without_noise(pixel_losses(logits, labels), labels, certainty=self.noise_certainty)[0]


class BandLabelMethod(OnlineLabelMethod):
    """A page whose labels are sure on both sides of a band of scores; the upper end of the band may fall.

    Args:
        num_classes: foreground classes C.
        high: score above which a class is sure.
        low: score up to which background is sure.
        high_end: what ``high`` has become at the end, along half a cosine: one number, or one for each class
            (DuPL on VOC: .55 or .7, set by hand); None: it stays. An image has the highest of its classes.
        on_online: options of :class:`OnlineLabelMethod`.

    Raises:
        ConfigurationError: ``high_end`` of another number of classes, or below ``low``.
    """

    bands: ClassVar[Sequence[tuple[str, str]]] = (("low", "high"),)
    high_end: Tensor | None

    def __init__(
        self,
        num_classes: int,
        *,
        high: ShareBelowOne = 0.7,
        low: ShareBelowOne = 0.25,
        high_end: Shares | None = None,
        **on_online: Any,
    ) -> None:
        super().__init__(**on_online)
        self.high, self.low = high, low
        end = None if high_end is None else self._of_classes(high_end, num_classes)
        self.register_buffer("high_end", end, persistent=False)

    def high_now(self, tags: Tensor, context: StepContext, start: float) -> float | Tensor:
        """The upper end of the band at the step of ``context``: one number, or [B], the highest of each image's tags.

        Args:
            tags: bool [B,C].
            context: which step it is.
            start: epoch in which it begins to fall; it ends with the training.
        """
        if self.high_end is None:
            return self.high
        begin = round(start * context.steps_per_epoch)
        steps = context.step - begin, context.total_steps - begin
        return highest_of_tags(
            falling_threshold(torch.full_like(self.high_end, self.high), self.high_end, *steps), tags
        )

    def _of_classes(self, shares: float | Sequence[float], num_classes: int) -> Tensor:
        """[C] of one number, or of one for each class."""
        listed, page = (list(shares) if isinstance(shares, Sequence) else [shares] * num_classes), type(self).__name__
        if len(listed) != num_classes:
            raise ConfigurationError(
                f"{page}: expected high_end as one number or as one for each of {num_classes} classes, found "
                f"{len(listed)}. Remedy: as many numbers as classes, in their order."
            )
        if min(listed) < self.low:
            raise ConfigurationError(
                f"{page}: expected high_end of low ({self.low:g}) or more, found {min(listed):g}. "
                "Remedy: a smaller low."
            )
        return torch.tensor(listed, dtype=torch.float32)
