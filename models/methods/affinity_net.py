"""AffinityNet (Ahn and Kwak 2018, PSA): learns which neighbouring pixels belong together, from confident labels.

``propagate_cams`` walks CAMs over what it has learned. Also the second step of SEAM, PPC and HFPL. arXiv 1803.10464;
numbers in brackets are the equations of docs/methods/affinity_net.md.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn import functional as F

from models.backbones import BACKBONES
from models.doors import resolve
from models.heads.affinity import AffinityHead
from models.losses.affinity import affinity_loss
from models.method import Method
from models.ops.affinity import feature_affinity, pair_labels
from models.ops.pixel_pairs import fitting_radius, pair_offsets
from models.ops.random_walk import PairLinks
from models.structures import Batch, Links, Outputs, StepContext


class AffinityNet(Method):
    """Learns from seeds that leave unsure pixels out (rules "affinity_label", "ir_label").

    Args:
        num_classes: foreground classes C; the network does not distinguish them.
        backbone: name of a backbone (``models.backbones``).
        width: its channel multiplier; published weights need 1.0.
        output_stride: 8 or 16; affinities are always at stride 8.
        freeze_bn: keep the batch norms on their pretrained statistics.
        frozen_stages: stages that do not learn, counted from the stem.
        head_width: channels of the head's first level (PSA 64).
        radius: pairs are nearer than this many cells (PSA 5).
    """

    def __init__(
        self,
        num_classes: int,
        *,
        backbone: str = "mobilenet_v2",
        width: float = 1.0,
        output_stride: int = 16,
        freeze_bn: bool = True,
        frozen_stages: int = 0,
        head_width: int = 64,
        radius: int = 5,
    ) -> None:
        super().__init__()
        self.backbone = resolve(BACKBONES, backbone, "backbone")(
            width=width, output_stride=output_stride, freeze_bn=freeze_bn, frozen_stages=frozen_stages
        )
        self.head = AffinityHead(self.backbone.channels, width=head_width)
        self.radius = radius

    @property
    def stride(self) -> int:
        """Pixels between two cells of the affinities."""
        stride: int = self.backbone.strides["layer2"]
        return stride

    def forward(self, batch: Batch) -> Outputs:
        """``features`` [B,K,h,w] at stride 8, whose distances say what belongs together."""
        return {"features": self.head(self.backbone(batch.image))}

    def losses(self, outputs: Outputs, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """Cross-entropy of the affinities of alike (background, foreground) and of different pairs."""
        features = outputs["features"].float()
        radius = fitting_radius(tuple(features.shape[2:]), self.radius)  # type: ignore[arg-type]
        offsets = pair_offsets(radius)
        seeds = batch.seeds[:, :: self.stride, :: self.stride]  # [B,h,w]
        # (1) and its labels, each [B,P,h',w'] over the P pairs of each source
        loss = affinity_loss(feature_affinity(features, offsets, radius), pair_labels(seeds, offsets, radius))
        return {  # (2)
            "background": loss.background / 4,
            "foreground": loss.foreground / 4,
            "different": loss.different / 2,
        }

    def links(self, image: Tensor) -> Links:
        """Affinities of the pairs of an image [1,3,H,W], padded with the mean colour to whole cells."""
        height, width = image.shape[2:]
        padding = (0, -width % self.stride, 0, -height % self.stride)
        padded = F.pad(image - self.backbone.mean, padding) + self.backbone.mean
        features = self.head(self.backbone(padded)).float()
        grid = (features.shape[2], features.shape[3])
        radius = fitting_radius(grid, self.radius)
        offsets = pair_offsets(radius)
        affinity = feature_affinity(features, offsets, radius)[0].cpu().numpy()
        return PairLinks(affinity, offsets, grid, left=radius - 1, stride=self.stride)

    def new_modules(self) -> Iterator[nn.Module]:
        yield self.head
