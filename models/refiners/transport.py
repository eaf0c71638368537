"""Second round by optimal transport (DHR, Jo et al. 2024): a network's features say where the classes of seeds are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from models.errors import ConfigurationError, closest
from models.ops.background import Scores, complement_background, winner
from models.ops.resize import resize_bilinear
from models.options import Number, PositiveCount, ShareBelowOne, require
from models.structures import Cam

if TYPE_CHECKING:
    from torch import Tensor


class Transport:
    """Heat maps of the seeds' classes in the features of their image, shared out by optimal transport. Picklable."""

    built_by_check: ClassVar[bool] = True
    reads: ClassVar[str] = "features"

    def __init__(
        self,
        threshold: ShareBelowOne = 0.0,
        layer: str = "layer4",
        others: Sequence[str] = ("layer3",),
        alike: ShareBelowOne = 0.8,
        eps: Annotated[Number, Field(ge=0.02, description="a number of 0.02 or more")] = 0.1,
        rounds: PositiveCount = 100,
    ) -> None:
        """Choose the seeds, the features and the transport.

        Args:
            threshold: constant background that makes seeds of the CAM; 0 takes what its scores leave of 1, which suits
                posteriors (after a dense CRF).
            layer: features of the heat maps.
            others: layers that decide between classes that are alike in ``layer``; none leaves them as they are.
            alike: cosine of two classes' mean features above which they are alike.
            eps: strength of the transport's entropy; smaller makes harder plans, below 0.02 none in float32.
            rounds: of Sinkhorn, at most.

        Raises:
            ConfigurationError: numbers out of range.
        """
        given = {"threshold": threshold, "alike": alike, "eps": eps, "rounds": rounds}
        require("transport", Transport.__init__, given)
        self.threshold, self.layer, self.others = threshold, layer, tuple(others)
        self.alike, self.eps, self.rounds = alike, eps, rounds

    def __call__(self, features: Mapping[str, Tensor], cam: Cam) -> Cam:
        """Spread one CAM.

        Args:
            features: [1,D,h,w] by the name of their layer.
            cam: scores at any grid; upsampled bilinearly.

        Returns:
            A Cam at the grid of ``layer`` whose scores are shares of the heat of all classes and the background (rule
            "complement"). A class of which no cell has most seeds is 0 everywhere.

        Raises:
            ConfigurationError: the network has no such layer.
            DataError: a plan that is not finite: ``eps`` is too small for the image.
        """
        scores = resize_bilinear(cam.scores, cam.size)
        seeds = winner(scores, self.threshold or complement_background(scores))  # 0..K
        labels, heat = self._heat(features, seeds)
        total = np.maximum(heat.sum(0), np.finfo(np.float32).tiny)
        shares = np.zeros((len(scores), *heat.shape[1:]), np.float32)
        for label, of_label in zip(labels, heat, strict=True):
            if label:
                shares[label - 1] = of_label / total
        return Cam(cam.classes, shares, cam.size, cam.instances)

    def _heat(self, features: Mapping[str, Tensor], seeds: npt.NDArray[np.intp]) -> tuple[list[int], Scores]:
        """The labels that cells of the seeds have, ascending, and their heat maps float32 [L,h,w]."""
        import torch

        from models.ops import heat_maps

        layer, *others = (self._layer(features, name) for name in (self.layer, *self.others))
        labels = torch.from_numpy(seeds.astype(np.int64)).to(layer.device)
        cells = heat_maps.cell_majority(labels, layer.shape[1:], layer.shape[1:])
        prototypes, present = heat_maps.class_prototypes(layer, cells)
        if len(present) == 1:  # nothing to share out
            return present.tolist(), np.ones((1, *layer.shape[1:]), np.float32)
        heat = heat_maps.stretched(heat_maps.cosine_maps(layer, prototypes))
        groups = heat_maps.look_alikes(heat_maps.prototype_correlation(prototypes), self.alike)
        if groups and others:
            second = heat_maps.second_heat_maps(others, cells)
            heat = heat_maps.rebalanced(heat, second, groups, self.eps, self.rounds)
        final: Scores = heat_maps.final_heat_maps(heat, self.eps, self.rounds).cpu().numpy()
        return present.tolist(), final

    def _layer(self, features: Mapping[str, Tensor], name: str) -> Tensor:
        if name not in features:
            raise ConfigurationError(f"transport: the network has no layer '{name}'.{closest(name, features)}")
        return features[name][0].float()
