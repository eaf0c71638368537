"""scribbles: a stroke along each object (Lin et al., ScribbleSup, CVPR 2016)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation, binary_erosion
from skimage.graph import MCP_Geometric
from skimage.morphology import disk, skeletonize

from models.structures import BACKGROUND, IGNORE, UNLABELLED, Mask, Supervision
from pipeline.annotations.common import generator, regions, require, tags_with, unlabelled, window
from pipeline.annotations.files import raise_together
from pipeline.datasets.catalogue import Catalogue
from pipeline.datasets.images import BadFileError, read_indices
from stages.annotate import AnnotationSource, Annotator

UNMARKED = 255
"""Value of pixels without a stroke in a scribble file."""


@dataclass(frozen=True)
class Scribbles:
    """Strokes; all other pixels are unlabelled.

    Attributes:
        file: annotated scribbles, a folder relative to the project root: ``ID.png`` with the data set's own class
            values, 0 background, 255 unlabelled. None derives them along the skeletons of the masks.
        length: part of the longest path through the skeleton that a derived stroke covers.
        width: of a derived stroke, in pixels.
        background: draw a stroke on the background too.
        margin: derived strokes keep this far from the object's border, in pixels, where it is thick enough.
        min_area: smaller pieces (in pixels) get no stroke, but for the largest of a class.
        seed: of where the strokes begin.
    """

    file: str | None = None
    length: float = 0.7
    width: float = 3.0
    background: bool = True
    margin: int = 3
    min_area: int = 64
    seed: int = 0

    def bind(self, catalogue: Catalogue, ids: Sequence[str]) -> Annotator:
        """Check the scribble files. Raises DataError with all that are missing or wrong; warns of unknown values."""
        if self.file is None:
            return self.derive
        folder = Path(self.file)
        require(ids, {path.stem for path in folder.glob("*.png")}, self.file, "scribble PNGs")
        known = _lookup(catalogue)
        strangers: dict[int, Path] = {}
        paths = [(folder / f"{id}.png", catalogue.size(id)) for id in ids]
        raise_together([problem for path, size in paths if (problem := _problem(path, size, known, strangers))])
        if strangers and catalogue.mask_values == tuple(range(1, catalogue.num_classes + 1)):
            _warn(strangers, catalogue)
        return lambda source: self.read(source, folder, known)

    def read(self, source: AnnotationSource, folder: Path, lookup: Mask) -> Supervision:
        """A scribble file as a Supervision; strokes of classes that are not kept are void."""
        seeds = lookup[read_indices(folder / f"{source.id}.png")]
        return Supervision(tags_with(source, np.unique(seeds)), seeds)

    def derive(self, source: AnnotationSource) -> Supervision:
        """Strokes on the objects and on the background of the ground truth."""
        rng = generator(self.seed, source.id)
        seeds = unlabelled(source)
        found = regions(source, self.min_area)
        for region in found:
            seeds[self.stroke(region.pixels, rng)] = region.class_
        if self.background:
            seeds[self.stroke(source.mask() == BACKGROUND, rng)] = BACKGROUND
        return Supervision(tags_with(source, (region.class_ for region in found)), seeds)

    def stroke(self, pixels: npt.NDArray[np.bool_], rng: np.random.Generator) -> npt.NDArray[np.bool_]:
        """A part of the longest path through the region's skeleton, widened but inside the region, bool [H,W]."""
        stroke = np.zeros_like(pixels)
        if not pixels.any():
            return stroke
        part = window(pixels, self.margin)
        region = pixels[part]
        inner = binary_erosion(region, iterations=self.margin) if self.margin else region
        path = longest_path(skeletonize(inner if inner.any() else region))
        count = max(1, round(self.length * len(path)))
        start = int(rng.integers(0, len(path) - count + 1))
        line = np.zeros(region.shape, dtype=bool)
        line[tuple(path[start : start + count].T)] = True
        stroke[part] = binary_dilation(line, disk(self.width / 2)) & region
        return stroke


def longest_path(skeleton: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Pixels [N,2] from one end of a skeleton to the other: of its largest part, the farthest from the farthest."""
    pieces = MCP_Geometric(np.where(skeleton, 1.0, -1.0))
    remaining, best = skeleton.copy(), np.empty((0, 2), dtype=np.intp)
    while remaining.sum() > len(best):
        reached = _reach(pieces, np.argwhere(remaining)[0])
        remaining &= ~np.isfinite(reached)
        reached = _reach(pieces, _farthest(reached))
        path = np.array(pieces.traceback(_farthest(reached)), dtype=np.intp)
        best = path if len(path) > len(best) else best
    return best


def _reach(graph: MCP_Geometric, start: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    return np.asarray(graph.find_costs([start])[0])


def _farthest(costs: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    reached = np.where(np.isfinite(costs), costs, -1.0)
    return np.array(np.unravel_index(int(reached.argmax()), reached.shape), dtype=np.intp)


def _lookup(catalogue: Catalogue) -> Mask:
    lookup = np.full(256, IGNORE, dtype=np.uint8)
    lookup[[BACKGROUND, UNMARKED]] = BACKGROUND, UNLABELLED
    lookup[list(catalogue.mask_values)] = np.arange(1, catalogue.num_classes + 1)
    return lookup


def _problem(path: Path, size: tuple[int, int], known: Mask, strangers: dict[int, Path]) -> str | None:
    """What is wrong with a file; values that are void in ``known`` are added to ``strangers``."""
    try:
        found = read_indices(path)
    except BadFileError as bad:
        return f"{path}: {bad}"
    if found.shape != size or found.max(initial=0) > UNMARKED:
        return f"{path}: expected values 0..255 of size {size}, found size {found.shape}, up to {found.max(initial=0)}"
    for value in np.unique(found):
        if known[value] == IGNORE:
            strangers.setdefault(int(value), path)
    return None


def _warn(strangers: dict[int, Path], catalogue: Catalogue) -> None:
    """Of values that no class has; where classes were left out of a data set, they may be of these."""
    value, path = min(strangers.items())
    classes = ", ".join(f"{index} {name}" for index, name in enumerate(catalogue.class_names, start=1))
    warnings.warn(
        f"Scribbles with values of no class are void: {sorted(strangers)}, such as {value} in {path}. "
        f"Expected 0 background, {classes}, {UNMARKED} unlabelled.",
        stacklevel=2,
    )
