"""scribbles: a stroke along each object (Lin et al., ScribbleSup, CVPR 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation, binary_erosion
from skimage.graph import MCP_Geometric
from skimage.morphology import disk, skeletonize

from models.options import Count, PixelValue, Positive, Share, require
from models.structures import BACKGROUND, Mask, Supervision
from pipeline.annotations import scribble_files
from pipeline.annotations.against_tags import tag_notices
from pipeline.annotations.common import generator, regions, tags_with, unlabelled, window
from pipeline.annotations.scribble_files import Values
from pipeline.annotations.shapes import Shapes
from pipeline.annotations.tool_files import is_of_a_tool
from pipeline.annotations.unannotated import Unannotated
from pipeline.datasets.catalogue import Catalogue
from pipeline.problems.notices import Notice
from stages.annotate import AnnotationSource, Annotator


@dataclass(frozen=True)
class Scribbles:
    """Strokes; all other pixels are unlabelled.

    Attributes:
        file: annotated scribbles, a folder relative to the project root: ``ID.png`` with the data set's own class
            values, 0 background, 255 unlabelled; or an export of a labelling tool with lines or brush strokes. None
            derives them along the skeletons of the masks.
        unlabelled: of the files, the value of pixels without a stroke: 255, or 0 where strokes lie on black.
        background_value: of the files, the value of strokes on the background; None for 0, and for no value where 0
            is unlabelled.
        length: part of the longest path through the skeleton that a derived stroke covers.
        width: of a derived stroke, or of an export's line, in pixels.
        background: draw a stroke on the background too.
        margin: derived strokes keep this far from the object's border, in pixels, where it is thick enough.
        min_area: smaller pieces (in pixels) get no stroke, but for the largest of a class.
        seed: of where the strokes begin.
        unannotated: what images are of which the file says nothing: "left_out" (the others alone are learnt from),
            "unlabelled" (they have their tags) or "background" (they have no object). null refuses them.
    """

    file: str | None = None
    length: Share = 0.7
    width: Positive = 3.0
    background: bool = True
    margin: Count = 3
    min_area: Count = 64
    seed: Count = 0
    unlabelled: PixelValue = scribble_files.UNMARKED
    background_value: PixelValue | None = None
    unannotated: Unannotated | None = None

    def __post_init__(self) -> None:
        """Refuse values that a file cannot hold (ConfigurationError)."""
        require("scribbles", Scribbles, asdict(self))

    @property
    def values(self) -> Values:
        """What the values of the files mean."""
        if self.background_value is None and self.unlabelled == BACKGROUND:
            return Values(self.unlabelled, None)
        return Values(self.unlabelled, self.background_value or BACKGROUND)

    def labelled(self, catalogue: Catalogue, ids: Sequence[str]) -> list[str]:
        """Those of the images that have a file, or a stroke in the export."""
        folder = Path(self.file or "")
        if is_of_a_tool(folder):
            return self._drawn(str(folder)).labelled(catalogue, ids)
        there = scribble_files.scribbles_there(folder, catalogue, ids).ids
        return [id for id in ids if id in there]

    def check(self, catalogue: Catalogue, ids: Sequence[str], workers: int = 0) -> list[Notice]:
        """Look at each file once: what may be wrong. Raises DataError with all files that are missing or wrong."""
        if self.file is None:
            return []
        if is_of_a_tool(Path(self.file)):
            return self._drawn(self.file).check(catalogue, ids, workers)
        drawn, notices = scribble_files.check_scribbles(Path(self.file), self.values, catalogue, ids, workers)
        return [*notices, *tag_notices(self.file, "scribbles", drawn, catalogue, ids)]

    def bind(self, catalogue: Catalogue, ids: Sequence[str]) -> Annotator:
        """Find the scribble files. Raises DataError with all that are missing."""
        if self.file is None:
            return self.derive
        if is_of_a_tool(Path(self.file)):
            return self._drawn(self.file).bind(catalogue, ids)
        lookup = self.values.lookup(catalogue)
        paths = scribble_files.find_scribbles(Path(self.file), catalogue, ids).paths
        return lambda source: self.read(source, paths[source.id], lookup)

    def _drawn(self, file: str) -> Shapes:
        return Shapes(file, ["scribbles"], self.unannotated, brush="strokes", width=self.width)

    def read(self, source: AnnotationSource, path: Path, lookup: Mask) -> Supervision:
        """A scribble file as a Supervision; strokes of classes that are not kept are void."""
        seeds = lookup[scribble_files.read_scribble(path, source.size)]
        return Supervision(tags_with(source, np.unique(seeds)), seeds)

    def derive(self, source: AnnotationSource) -> Supervision:
        """Strokes on the objects and on the background of the ground truth."""
        rng = generator(self.seed, source.id)
        seeds = unlabelled(source)
        drawn = regions(source, self.min_area)
        for region in drawn:
            seeds[self.stroke(region.pixels, rng)] = region.class_
        if self.background:
            seeds[self.stroke(source.mask() == BACKGROUND, rng)] = BACKGROUND
        return Supervision(tags_with(source, (region.class_ for region in drawn)), seeds)

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
