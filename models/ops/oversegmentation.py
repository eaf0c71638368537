"""Oversegmentation of an image into coherent regions of varying size, without a trained contour detector (numpy).

The published regions are those of a learned edge detector (HED) and gPb-OWT-UCM. "rag" follows the same steps on
gradients of colour: watershed, then merging across weak boundaries until few regions are left (HSG's rule, 48).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from models.errors import ConfigurationError, closest
from models.ops.region_merging import merge_regions
from models.options import NonNegative, Positive, PositiveCount, require
from models.structures import Image

Regions = npt.NDArray[np.int32]
FILES = "files"
PERCENTILE = 99
"""Of an image's edges, whose strength counts as 1."""
ROUNDING = 1e-9
"""Gradients of Lab that a plain image has on some processors; a step of one grey level has 0.01 and more."""
FINE = 0.8
"""Smoothing of the methods that are not "rag"."""
STEPS = 12
"""Times that felzenszwalb's scale is raised at most."""


@dataclass(frozen=True)
class RegionOptions:
    """How an image is cut into regions.

    Attributes:
        method: "rag" watershed of colour edges and merging (0.12 s an image of 375x500); "felzenszwalb" with
            a scale that is raised until there are few enough; "slic" superpixels of even size, for comparison: with
            them most segments have no other in their region; "none" the whole image; "files" your own maps.
        count: most regions of an image, 1 or more (HSG 48; SPML's advice is 20 to 60).
        markers: "rag": regions of the watershed, before merging.
        weakest: "rag": boundaries weaker than this share of the image's strong edges go in any case, so that a plain
            image has fewer regions.
        area: "rag": how much a small region is merged before a large one, see :func:`merge_regions`.
        sigma: "rag": of the smoothing before edges are taken.
        scale: felzenszwalb's at first.
        folder: "files": ``ID.png`` of region ids (palette, 8-bit or 16-bit grey), relative to the project root. DVC
            does not watch it: after a change force the stages that name it (``dvc repro -f``).
    """

    built_by_check: ClassVar[bool] = True

    method: Literal["rag", "felzenszwalb", "slic", "none", "files"] = "rag"
    count: PositiveCount = 48
    markers: PositiveCount = 400
    weakest: NonNegative = 0.1
    area: NonNegative = 0.25
    sigma: NonNegative = 2.0
    scale: Positive = 100.0
    folder: str = ""

    def __post_init__(self) -> None:
        """Refuse what makes no regions (ConfigurationError)."""
        known = (*MAKERS, FILES)
        if self.method not in known:
            raise ConfigurationError(f"regions: unknown method '{self.method}'.{closest(self.method, known)}")
        require("regions", RegionOptions, asdict(self))
        if (self.method == FILES) != bool(self.folder):
            raise ConfigurationError(
                f"regions: expected `folder` with method 'files' and with no other, found method '{self.method}' and "
                f"folder '{self.folder}'."
            )


def oversegment(image: Image, options: RegionOptions) -> Regions:
    """Cut an image into regions: int32 [H,W], 0..R-1, for image uint8 RGB [H,W,3].

    Raises:
        KeyError: the method "files", which makes none.
    """
    return MAKERS[options.method](image, options)


def edge_strength(image: Image, sigma: float) -> npt.NDArray[np.float64]:
    """Largest gradient of the smoothed Lab channels, [H,W], 1 for the image's strong edges (its 99th percentile)."""
    from skimage.color import rgb2lab
    from skimage.filters import gaussian, sobel

    lab = rgb2lab(gaussian(image, sigma, channel_axis=2)) if sigma else rgb2lab(image)
    edges = np.max([sobel(lab[..., channel]) for channel in range(3)], axis=0)
    strong = float(np.percentile(edges, PERCENTILE))
    scaled: npt.NDArray[np.float64] = edges / strong if strong > ROUNDING else np.zeros_like(edges)
    return scaled


def _rag(image: Image, options: RegionOptions) -> Regions:
    from skimage.segmentation import watershed

    edges = edge_strength(image, options.sigma)
    basins = watershed(edges, markers=min(options.markers, edges.size)).astype(np.int32)
    return merge_regions(basins, edges, options.count, options.weakest, options.area)


def _felzenszwalb(image: Image, options: RegionOptions) -> Regions:
    """The scale is raised by half until there are few enough regions; the smallest of too many are merged at last."""
    from skimage.segmentation import felzenszwalb

    scale = options.scale
    for _ in range(STEPS):
        regions = felzenszwalb(image, scale=scale, sigma=FINE, min_size=max(20, image[..., 0].size // 600))
        if regions.max() < options.count:
            break
        scale *= 1.5
    return merge_regions(regions.astype(np.int32), edge_strength(image, FINE), options.count, area=options.area)


def _slic(image: Image, options: RegionOptions) -> Regions:
    from skimage.segmentation import slic

    regions = slic(image, n_segments=options.count, compactness=10, sigma=FINE, start_label=0, channel_axis=2)
    return merge_regions(regions.astype(np.int32), edge_strength(image, FINE), options.count, area=options.area)


def _none(image: Image, options: RegionOptions) -> Regions:
    return np.zeros(image.shape[:2], np.int32)


MAKERS: dict[str, Callable[[Image, RegionOptions], Regions]] = {
    "rag": _rag,
    "felzenszwalb": _felzenszwalb,
    "slic": _slic,
    "none": _none,
}
