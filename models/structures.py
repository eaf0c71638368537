"""The types that flow between the rooms.

Label convention, everywhere: 0 is background, classes count from 1 to C, 254 is unlabelled
(the annotator, or a rule, said nothing), 255 is void (ignored by every loss and metric).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch
    from torch import Tensor

BACKGROUND = 0
UNLABELLED = 254
IGNORE = 255
MAX_CLASSES = 253
"""Classes that a mask or seeds can hold; image tags alone may be of more."""

REGIONS = 2**31
"""Region ids are less than this."""

Mask: TypeAlias = npt.NDArray[np.uint8]
"""uint8 [H,W]: 0..C, 255 void."""

Image: TypeAlias = npt.NDArray[np.uint8]
"""uint8 [H,W,3] RGB."""

Outputs: TypeAlias = "dict[str, Tensor]"
"""What a method's forward returns: named tensors, all that its losses need."""


@dataclass(frozen=True, slots=True, eq=False)
class Supervision:
    """What is known about one image: annotated or generated, a trainer cannot tell.

    Attributes:
        tags: bool [C]; ``tags[c - 1]`` says that class ``c`` is in the image.
        seeds: uint8 [H,W]; 0 background, 1..C classes, 254 unlabelled, 255 void.
        boxes: float32 [N,4] XYXY in pixels (x to the right, y down, right/bottom exclusive), or None.
        box_classes: int64 [N], 1..C, or None exactly when ``boxes`` is.
        segments: int32 [H,W] region ids (an oversegmentation or instances), or None.
    """

    tags: npt.NDArray[np.bool_]
    seeds: npt.NDArray[np.uint8]
    boxes: npt.NDArray[np.float32] | None = None
    box_classes: npt.NDArray[np.int64] | None = None
    segments: npt.NDArray[np.int32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Cam:
    """Class activation maps of one image. Background is never stored: it is a rule.

    Attributes:
        classes: int64 [K], ascending, only the classes of the image's tags, 1..C.
        scores: float32 [K,h,w] in [0,1], at any grid that covers the whole image.
        size: (H, W) of the image in pixels.
        instances: int32 [H,W], class-agnostic objects 1..N, 0 for none; or None, where nobody looked for them.
    """

    classes: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    size: tuple[int, int]
    instances: npt.NDArray[np.int32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Proposals:
    """Class-agnostic masks of one image, which may overlap; a map of regions is the special case of a partition.

    Attributes:
        masks: bool [M,H,W], none of them empty.
        scores: float32 [M] in [0,1], how sure the proposer is of each.
    """

    masks: npt.NDArray[np.bool_]
    scores: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """A training batch.

    Attributes:
        image: float32 RGB in [0,1], [B,3,H,W]. Normalisation is the network's business.
        tags: bool [B,C].
        seeds: int64 [B,H,W], values as in :class:`Supervision`; crops beyond the image are 255.
        ids: the B image ids.
        regions: int64 [B,H,W] region ids within an image, -1 beyond it; None where the supervision has no segments.
    """

    image: Tensor
    tags: Tensor
    seeds: Tensor
    ids: tuple[str, ...] = ()
    regions: Tensor | None = None

    def to(self, device: torch.device | str) -> Batch:
        """Move every tensor to ``device``; from pinned memory the host does not wait."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """Copy every tensor to memory that a GPU reads by itself (``DataLoader`` calls this)."""
        return self._each(lambda tensor: tensor.pin_memory())

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        regions = None if self.regions is None else change(self.regions)
        return replace(
            self, image=change(self.image), tags=change(self.tags), seeds=change(self.seeds), regions=regions
        )


@dataclass(frozen=True, slots=True)
class StepContext:
    """When and with which randomness a loss is computed.

    Attributes:
        step: optimiser step, from 0.
        total_steps: number of optimiser steps of the training.
        steps_per_epoch: optimiser steps in one pass over the data.
        generator: seeded for this step and process, on the device of the batch.
    """

    step: int
    total_steps: int
    steps_per_epoch: int
    generator: torch.Generator | None = field(default=None, compare=False)

    @property
    def epoch(self) -> float:
        """Passes over the data so far, fractional."""
        return self.step / max(self.steps_per_epoch, 1)


@runtime_checkable
class Trainable(Protocol):
    """A network with its own losses. The training loop adds the named parts up."""

    def forward(self, batch: Batch) -> Outputs: ...

    def losses(self, outputs: Outputs, batch: Batch, context: StepContext) -> dict[str, Tensor]: ...


@runtime_checkable
class Localizer(Protocol):
    """A network that says where a class is."""

    @property
    def stride(self) -> int:
        """Pixels of the image between two cells of its maps."""

    def cams(self, image: Tensor, tags: Tensor) -> Tensor:
        """Foreground activations, rectified and un-normalised, [B,C,h,w] for image [B,3,H,W], tags [B,C]."""


@runtime_checkable
class Ranker(Protocol):
    """A network that says which classes an image shows."""

    def tag_scores(self, image: Tensor) -> Tensor:
        """Image-level logits [B,C], larger for likelier classes, for image [B,3,H,W] of any size."""


@dataclass(frozen=True, slots=True)
class CamView:
    """What a page that learns CAMs sees in one view of a batch: what add-ons work on.

    Attributes:
        part: name of the loss part that is the view's image-level classification.
        weight: of that part in the page's total.
        image: float32 RGB in [0,1], [B,3,H,W].
        maps: class logits [B,C,h,w] at the network's grid, from which the page pools the image's.
        background: logits [B,1,h,w] of a map for the background, or None where the page has none.
        refined: [B,C,h,w], not negative: what the page exports as CAMs, before tags.
        features: [B,D,h,w] behind the maps.
    """

    part: str
    weight: float
    image: Tensor
    maps: Tensor
    background: Tensor | None
    refined: Tensor
    features: Tensor


@runtime_checkable
class Extensible(Protocol):
    """A page that learns CAMs and that add-ons (HFPL, PPC) can stand on."""

    def look(self, image: Tensor) -> Outputs:
        """What ``cam_views`` reads of one view, for image [B,3,H,W], and nothing that other losses need."""

    def cam_views(self, outputs: Outputs, batch: Batch) -> tuple[CamView, ...]:
        """The views of a training step, the whole image first."""


@runtime_checkable
class Segmenter(Protocol):
    """A network that labels every pixel."""

    def scores(self, image: Tensor) -> Tensor:
        """Logits [B,1+C,h,w], channel 0 background, at the network's grid, for image [B,3,H,W]."""


@runtime_checkable
class GatedSegmenter(Segmenter, Protocol):
    """A segmenter that also says whether a class is in the image at all."""

    def gated_scores(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The logits of ``scores``, and probabilities [B,C] in [0,1], for image [B,3,H,W]."""


class Links(Protocol):
    """How strongly the cells of a grid hang together."""

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) of the cells."""

    @property
    def stride(self) -> int:
        """Pixels of the image between two cells."""

    def walk(self, values: npt.NDArray[np.floating], beta: float, steps: int) -> npt.NDArray[np.float64]:
        """``values T^steps`` with ``T = A^beta / column sums``: float64 [K,h,w] from [K,h,w]."""


@runtime_checkable
class Propagator(Protocol):
    """A network that says which pixels of an image belong together."""

    def links(self, image: Tensor) -> Links:
        """The graph over which scores walk, for one image [1,3,H,W] on the network's device."""


@runtime_checkable
class Featured(Protocol):
    """A network whose backbone's features can be looked at."""

    def features(self, image: Tensor) -> dict[str, Tensor]:
        """Maps [B,D,h,w] by the name of their layer, for image [B,3,H,W] on the network's device."""
