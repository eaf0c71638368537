"""IRN's network (Ahn, Cho and Kwak 2019): class boundaries and displacements, from confident labels, no boundary given.

``propagate_cams`` walks CAMs within the boundaries that it has found; the displacements tell objects apart.
arXiv 1904.05044; numbers in brackets are the equations of docs/methods/boundary_net.md.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.backbone_method import BackboneMethod
from models.errors import ConfigurationError
from models.heads.boundary import BoundaryHead, DisplacementHead
from models.losses.affinity import affinity_loss, displacement_losses
from models.method import ParameterGroup
from models.ops.affinity import pair_labels, path_affinity
from models.ops.pixel_pairs import fitting_radius, pair_paths
from models.ops.processes import mean_over_processes
from models.ops.random_walk import PairLinks
from models.options import OutputStride, Positive, PositiveCount, Side
from models.structures import Batch, Links, Outputs, StepContext


class BoundaryNet(BackboneMethod):
    """Learns from seeds that leave unsure pixels out (rule "ir_label"); the backbone stays as it is.

    Args:
        num_classes: foreground classes C; the network does not distinguish them.
        backbone: name of a backbone (``models.backbones``); it does not learn.
        width: its channel multiplier; published weights need 1.0.
        output_stride: 8, 16 or 32 (IRN 16).
        boundary_width, displacement_width: channels of the first levels of the two heads (IRN 32, 64).
        radius: pairs nearer than this many cells learn (IRN 10).
        walk_radius: and these carry the walk (IRN 5).
        canvas: images are padded with the mean colour to a square of this side before they are looked at, which the
            group norms notice; larger ones stay as they are (IRN 512, where larger ones are cropped). 0: no padding.
        learn_displacements: also learn the way to the centre of objects, which tells them apart; walks do not need it.
    """

    grid = "layer1"
    learns_from_pixels = True

    def __init__(
        self,
        num_classes: int,
        *,
        backbone: str = "mobilenet_v2",
        width: Positive = 1.0,
        output_stride: OutputStride = 16,
        boundary_width: PositiveCount = 32,
        displacement_width: PositiveCount = 64,
        radius: PositiveCount = 10,
        walk_radius: PositiveCount = 5,
        canvas: Side = 0,
        learn_displacements: bool = True,
    ) -> None:
        super().__init__(backbone=backbone, width=width, output_stride=output_stride)
        self.backbone.freeze(freeze_bn=True, frozen_stages=len(self.backbone.stages()))
        channels, strides = self.backbone.channels, self.backbone.strides
        self.boundary = BoundaryHead(channels, strides, width=boundary_width)
        self.displacement = (
            DisplacementHead(channels, strides, width=displacement_width) if learn_displacements else None
        )
        self.radius, self.walk_radius, self.canvas = radius, walk_radius, canvas
        self.register_buffer("averaged", torch.zeros(()))
        self._seen: list[Tensor] = []

    averaged: Tensor
    """Batches in the mean displacement."""
    _seen: list[Tensor]
    """Mean displacements [2] of the batches of an optimiser step that is not over; empty between two steps."""

    def forward(self, batch: Batch) -> Outputs:
        """``boundary`` logits [B,1,h,w] and ``displacement`` [B,2,h,w] at stride 4."""
        with torch.no_grad():
            features = self.backbone(batch.image)
        outputs = {"boundary": self.boundary(features)}
        if self.displacement is not None:
            outputs["displacement"] = self.displacement(features)
        return outputs

    def losses(self, outputs: Outputs, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """(4): pairs without a boundary between are alike; within an object displacements differ by the way between."""
        boundary = outputs["boundary"].float().sigmoid().squeeze(1)  # B, [B,h,w]
        radius = fitting_radius((boundary.shape[1], boundary.shape[2]), self.radius)
        offsets = tuple(path[0] for path in pair_paths(radius))
        labels = pair_labels(batch.seeds[:, :: self.stride, :: self.stride], offsets, radius)
        alike = affinity_loss(path_affinity(boundary, radius), labels)  # (1), [B,P,h',w']
        losses = {  # (2)
            "boundary_alike": (alike.background + alike.foreground) / 4,
            "boundary_different": alike.different / 2,
        }
        if self.displacement is not None:
            displacement = outputs["displacement"].float()
            foreground, background = displacement_losses(displacement, labels, offsets, radius)  # (3)
            losses |= {"displacement_foreground": foreground / 2, "displacement_background": background / 2}
        return losses

    def links(self, image: Tensor) -> Links:
        """Affinities within the boundaries of an image [1,3,H,W]: mean of image and mirror image."""
        return boundary_links(self.boundaries(image), self.walk_radius, self.stride)

    def boundaries(self, image: Tensor) -> Tensor:
        """Probability of a boundary [1,h,w] of an image [1,3,H,W], from it and its mirror image."""
        height, width = self._cells(image)
        logits = self.boundary(self.backbone(self._padded(torch.cat([image, image.flip(-1)])))).float()
        logits = logits[..., :height, :width]
        probability: Tensor = ((logits[0] + logits[1].flip(-1)) / 2).sigmoid()
        return probability

    def displacements(self, image: Tensor) -> Tensor:
        """Displacements [2,h,w] of an image [1,3,H,W], (y, x) in cells of stride 4.

        Raises:
            ConfigurationError: the network learned none.
        """
        if self.displacement is None:
            raise ConfigurationError("instances: this boundary_net was trained with learn_displacements: false.")
        height, width = self._cells(image)
        displacement: Tensor = self.displacement(self.backbone(self._padded(image))).float()[0]
        return displacement[..., :height, :width]

    def _cells(self, image: Tensor) -> tuple[int, int]:
        return -(-image.shape[2] // self.stride), -(-image.shape[3] // self.stride)

    def _padded(self, image: Tensor) -> Tensor:
        # released: a negative padding, which crops what is larger
        right, below = (max(0, self.canvas - length) for length in (image.shape[3], image.shape[2]))
        if not right and not below:
            return image
        mean: Tensor = self.backbone.mean
        return F.pad(image - mean, (0, right, 0, below)) + mean

    def parameter_groups(self) -> list[ParameterGroup]:
        """The boundary head x1, the displacement head x10, biases like weights (IRN)."""
        groups = [ParameterGroup("boundary", list(self.boundary.parameters()))]
        if self.displacement is not None:
            groups.append(ParameterGroup("displacement", list(self.displacement.parameters()), 10.0))
        return groups

    def new_modules(self) -> Iterator[nn.Module]:
        if self.displacement is not None:
            yield self.displacement

    def begin(self) -> None:
        self._seen.clear()

    def remember(self, outputs: Outputs, batch: Batch) -> None:
        """Keep the batch's mean displacement until the step is over, which knows whether it is of the last epoch."""
        if self.displacement is not None:
            self._seen.append(outputs["displacement"].detach().float().mean((0, 2, 3)))

    def after_step(self, context: StepContext) -> None:
        """Mean over the crops of the last epoch, of all processes (IRN: over the images, in a pass of its own)."""
        seen, self._seen = self._seen, []
        start = max(context.total_steps - context.steps_per_epoch, 0)
        if self.displacement is None or not seen or context.step < start:
            return
        if context.step == start:
            self.averaged.zero_()
        for displacement in mean_over_processes(torch.stack(seen)):
            self.averaged += 1
            self.displacement.mean += (displacement - self.displacement.mean) / self.averaged


def boundary_links(boundary: Tensor, radius: int, stride: int = 1) -> PairLinks:
    """Links of a boundary map [1,h,w] in [0,1]; beyond the border there is boundary everywhere.

    Source: jiwoon-ahn/irn@a2ece00:misc/indexing.py (propagate_to_edge).
    """
    fenced = F.pad(boundary, (radius, radius, 0, radius), value=1.0)
    affinity = path_affinity(fenced, radius)[0].cpu().numpy()
    offsets = tuple(path[0] for path in pair_paths(radius))
    grid = (boundary.shape[1], boundary.shape[2])
    damping = 1 - boundary[0].cpu().numpy()
    return PairLinks(affinity, offsets, grid, left=-1, stride=stride, damping=damping)
