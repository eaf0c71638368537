"""The door to ground-truth masks and boxes, and what ``prepare`` writes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from models.errors import DataError
from models.structures import BACKGROUND, IGNORE, MAX_CLASSES, Mask
from pipeline.datasets.catalogue import Catalogue
from pipeline.datasets.images import MOST_INSTANCES, BadFileError, read_indices
from pipeline.datasets.versioned import read_versioned, write_versioned

TRUTH_FILE = "ground_truth.json"
TRUTH_SCHEMA = "weak2mask-ground-truth"

Corners: TypeAlias = tuple[float, float, float, float]
"""A box: left, top, right and bottom in pixels from 0, right and bottom exclusive."""


@dataclass(frozen=True, slots=True)
class ImageTruth:
    """Ground truth of one image.

    Attributes:
        mask: PNG of class values, or None.
        instances: PNG of instance numbers (0 none, 255 void; of 16 bits for more than 254 objects), or None.
        sha256: of the mask file.
        boxes: of the objects of the image's only class, or None where the data set has no boxes.
    """

    mask: str | None
    instances: str | None = None
    sha256: str = ""
    boxes: tuple[Corners, ...] | None = None

    def plain(self) -> dict[str, Any]:
        """Without boxes where there are none, so that data sets of masks keep their bytes."""
        content = {each.name: getattr(self, each.name) for each in fields(self)}
        return {key: value for key, value in content.items() if key != "boxes" or value is not None}


class GroundTruth:
    """The only door to ground-truth masks and boxes: none but prepare, annotate and the evaluations may hold one.

    It is an artefact of its own, so that the graph shows who depends on it.

    Args:
        catalogue: of the same images.
        folder: where ``prepare`` wrote ground_truth.json. It is read when the first mask is asked for.
    """

    def __init__(self, catalogue: Catalogue, folder: Path) -> None:
        self.catalogue, self.folder = catalogue, Path(folder)
        lookup = np.full(256, IGNORE, dtype=np.uint8)
        if catalogue.mask_background is not None:
            lookup[catalogue.mask_background] = BACKGROUND
        if catalogue.num_classes <= MAX_CLASSES:  # otherwise there are no masks
            lookup[list(catalogue.mask_values)] = np.arange(1, catalogue.num_classes + 1)
        self._lookup = lookup.tobytes()

    def has_mask(self, id: str) -> bool:
        """Whether the image has a ground-truth mask. Raises DataError where there is no ground truth at all."""
        entry = self._entries.get(id)
        return entry is not None and entry.mask is not None

    def mask(self, id: str) -> Mask:
        """uint8 [H,W]: 0 background, 1..C, and 255 for void and for classes that the catalogue does not keep.

        Raises:
            DataError: the image has no mask, or its file changed.
        """
        size = self.catalogue.size(id)
        mask = self._entries[id].mask if id in self._entries else None
        if mask is None:
            raise DataError(
                f"Image '{id}' of catalogue '{self.catalogue.name}' has no ground-truth mask: it cannot be evaluated, "
                "and no labels can be derived for it. Name its mask folder in the data set's options."
            )
        values = self._indices(mask, size).astype(np.uint8)
        self.catalogue.require_same(self._root / mask, self._entries[id].sha256)
        return np.frombuffer(bytearray(values.tobytes().translate(self._lookup)), np.uint8).reshape(size)

    def boxes(self, id: str) -> npt.NDArray[np.float32] | None:
        """float32 [N,4] XYXY, right and bottom exclusive, of the image's only class; None where there are none."""
        entry = self._entries.get(id)
        if entry is None or entry.boxes is None:
            return None
        return np.array(entry.boxes, np.float32).reshape(-1, 4)

    def instances(self, id: str) -> npt.NDArray[np.int32] | None:
        """int32 [H,W] instance numbers, 0 none; None where the data set has no instances."""
        entry = self._entries.get(id)
        if entry is None or entry.instances is None:
            return None
        numbers = self._indices(entry.instances, self.catalogue.size(id), MOST_INSTANCES)
        return np.where(numbers == IGNORE, 0, numbers).astype(np.int32)

    @staticmethod
    def save(folder: Path, root: str, entries: Mapping[str, ImageTruth]) -> None:
        """Write ground_truth.json into ``folder``; ``root`` as in :class:`Catalogue`."""
        folder.mkdir(parents=True, exist_ok=True)
        write_versioned(folder / TRUTH_FILE, {"schema": TRUTH_SCHEMA, "root": root, "entries": entries})

    @cached_property
    def _root(self) -> Path:
        root = self._content[0]
        return self.folder if root == "." else Path(root)

    @property
    def _entries(self) -> Mapping[str, ImageTruth]:
        return self._content[1]

    @cached_property
    def _content(self) -> tuple[str, Mapping[str, ImageTruth]]:
        path = self.folder / TRUTH_FILE
        return _read_truth(path, Path.cwd(), path.stat().st_mtime_ns if path.exists() else 0)

    def _indices(self, relative: str, size: tuple[int, int], most: int = IGNORE) -> npt.NDArray[np.int32]:
        path = self._root / relative
        try:
            indices = read_indices(path)
        except BadFileError as bad:
            raise self.catalogue.changed(path, bad.expected, bad.found) from None
        if indices.shape != size or indices.max(initial=0) > most:
            found = f"values up to {indices.max(initial=0)} of size {indices.shape}"
            raise self.catalogue.changed(path, f"values 0..{most} of size {size}", found)
        return indices


@lru_cache(maxsize=2)
def _read_truth(path: Path, cwd: Path, written: int) -> tuple[str, Mapping[str, ImageTruth]]:
    """Root and entries, opened once a process and not once a chunk."""
    content = read_versioned(path, TRUTH_SCHEMA, {"entries": _truth})
    return content["root"], content["entries"]


def _truth(plain: Mapping[str, Any]) -> ImageTruth:
    return ImageTruth(**plain)
