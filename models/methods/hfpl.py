"""HFPL (Jonnarth et al. 2024): CAMs read as one yes/no variable for each pixel and class, on top of any base.

Two terms. Importance sampling takes the image's score at pixels drawn by their own activation, so that strong pixels
carry the gradient; feature similarity asks neighbours of one colour to score alike, and others not to.
arXiv 2304.02621; numbers in brackets are the equations of docs/methods/hfpl.md.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from models.errors import ConfigurationError
from models.losses.feature_similarity import cam_scores, feature_similarity, sigma_in_cells
from models.losses.importance_sampling import (
    draw_pixels,
    importance_sampling_loss,
    multinomial_sampling_loss,
    sampling_weights,
)
from models.method import AddOn, layers
from models.options import NonNegative, Number, PositiveCount, Share, Weight
from models.structures import Batch, CamView, Outputs, StepContext


class Hfpl(AddOn):
    """An add-on over a page that learns CAMs (``cam_views``). It has no weights of its own.

    Args:
        base: the page, or an add-on around one.
        reading: "binomial" (HFPL): a sigmoid for each class, the first view alone is sampled; "multinomial" (its
            predecessor ICAM, whose draws are 100 and share 0.8): a softmax over classes and background, all views.
        sampling: share of the classification loss that is taken at drawn pixels instead of the mean (HFPL 0.2).
        draws: pixels drawn for each image and class (HFPL 10).
        similarity: weight of the feature similarity loss (HFPL: VOC 1.0, COCO 0.2).
        mu: shift of its colour gate (2.5); larger makes smaller colour differences separate.
        sigma: of its neighbourhood in cells (HFPL 5); 0 for all pairs alike.
        sigma_of: cells of the network's grid ("cells", HFPL, whose grid is 56 x 56), or of a grid of 56 laid over the
            crop, whatever the network's ("image"): on a grid of 16, a sigma of 5 is then one of 1.43 cells.
        reach: pairs whose rows are further apart than this many sigma are left out; 0 keeps all.

    Raises:
        ConfigurationError: a base with ``labels: single``.

    Source: arvijj/hfpl@1038a68:train_cam_voc.py; arvijj/icam@5f04fdc:train_cam.py.
    """

    name = "hfpl"

    def __init__(
        self,
        base: Any,
        *,
        reading: Literal["binomial", "multinomial"] = "binomial",
        sampling: Share = 0.2,
        draws: PositiveCount = 10,
        similarity: Weight = 1.0,
        mu: Annotated[Number, Field(ge=-20, le=20)] = 2.5,
        sigma: NonNegative = 5.0,
        sigma_of: Literal["cells", "image"] = "cells",
        reach: NonNegative = 4.0,
    ) -> None:
        super().__init__(base)
        (_, page), *_ = layers(base)
        if getattr(page, "labels", "multi") == "single":
            raise ConfigurationError(
                "hfpl: expected a base with labels: multi, whose classes are yes/no questions, found "
                f"{type(page).__name__} with labels: single. Remedy: model.labels: multi, or no hfpl."
            )
        self.reading, self.sampling, self.draws = reading, sampling, draws
        self.similarity, self.mu, self.sigma, self.reach = similarity, mu, sigma, reach
        self.sigma_of = sigma_of

    def losses(self, outputs: Outputs, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """The base's parts, its classification in part replaced by ``importance_sampling``, and ``feature_similarity``.

        L = .. (1 - sampling) GAP + sampling IS .. + similarity FS (docs/methods/hfpl.md, (3) and (5)).
        """
        parts, own = super().losses(outputs, batch, context), {}
        views = self.cam_views(outputs, batch)
        if self.sampling:
            # released: HFPL samples the first of SEAM's two views, ICAM both
            sampled = views if self.reading == "multinomial" else views[:1]
            drawn = [view.weight * self._sampled(view, batch.tags, context.generator) for view in sampled]
            parts |= {view.part: (1 - self.sampling) * parts[view.part] for view in sampled}  # (3)
            own["importance_sampling"] = self.sampling * torch.stack(drawn).sum()
        if self.similarity:
            own["feature_similarity"] = self.similarity * self._similar(views[0], batch.tags)
        return self.joined(parts, own)

    def _sampled(self, view: CamView, tags: Tensor, generator: torch.Generator | None) -> Tensor:
        if self.reading == "multinomial":
            probabilities = _softmax(view)[:, 1:]
            indices = draw_pixels(probabilities, self.draws, generator)
            return multinomial_sampling_loss(probabilities, tags, indices)  # (6)
        indices = draw_pixels(sampling_weights(view.maps), self.draws, generator)  # (1), [B,C,draws]
        return importance_sampling_loss(view.maps, tags, indices)  # (2)

    def _similar(self, view: CamView, tags: Tensor) -> Tensor:
        image = F.interpolate(view.image, view.maps.shape[2:], mode="bilinear", align_corners=True)
        scores = _softmax(view) if self.reading == "multinomial" else cam_scores(view.maps, tags)
        sigma = sigma_in_cells(self.sigma, *view.maps.shape[2:]) if self.sigma_of == "image" else self.sigma
        return feature_similarity(image, scores, self.mu, sigma, self.reach)  # (4), of scores [B,1+C,h,w]


def _softmax(view: CamView) -> Tensor:
    """Probabilities of background and classes [B,1+C,h,w]; a page without a background map has logit 0 there."""
    background = torch.zeros_like(view.maps[:, :1]) if view.background is None else view.background
    return torch.cat([background, view.maps], 1).softmax(1)
