"""Stores of class activation maps, masks and supervision, keyed by image id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from models.errors import ConfigurationError, DataError, closest
from models.structures import IGNORE, UNLABELLED, Cam, Mask, Supervision
from pipeline.storage.header import Header
from pipeline.storage.reader import Store
from pipeline.storage.shards import Array, Attributes, Shard
from pipeline.storage.writer import SHARD_SIZE, Writer

__all__ = [
    "CamStore",
    "CamWriter",
    "Header",
    "MaskStore",
    "MaskWriter",
    "SupervisionStore",
    "SupervisionWriter",
]

ScoreType = Literal["float16", "uint8"]
TOLERANCE = 1e-3  # rounding that a resize or a normalisation may leave beyond [0,1]; such scores are clipped
STEPS = 255


class CamWriter(Writer[Cam]):
    """Writes the maps of present classes only; a shard is [its (image, class) pairs, h, w]."""

    schema = "cams"
    arrays = {"instances": 0, "part": 0}

    def encode(self, first: int, items: Sequence[Cam]) -> tuple[dict[str, list[Array]], Attributes]:
        planes = [self._scores(position, cam) for position, cam in enumerate(items, first)]
        instances = [_regions(self, position, cam.instances, "instances") for position, cam in enumerate(items, first)]
        attributes: Attributes = {"grids": [list(block.shape[1:]) for block in planes]}
        if any(len(block) for block in instances):
            attributes["instances"] = [len(block) for block in instances]
        return {"part": planes, "instances": instances}, attributes

    def _scores(self, position: int, cam: Cam) -> Array:
        keys, size = self.attributes["keys"][position], self.header.sizes[position]
        if cam.classes.tolist() != keys:
            raise self.fail(position, f"maps of the classes {keys}", cam.classes.tolist())
        if cam.size != size:
            raise self.fail(position, f"a map for an image of size {size}", cam.size)
        if cam.scores.ndim != 3 or len(cam.scores) != len(keys) or 0 in cam.scores.shape[1:]:
            raise self.fail(position, f"scores [{len(keys)},h,w]", list(cam.scores.shape))
        if not np.isfinite(cam.scores).all():
            raise self.fail(position, "finite scores", "nan or infinity")
        low, high = cam.scores.min(initial=0), cam.scores.max(initial=0)
        if low < -TOLERANCE or high > 1 + TOLERANCE:
            raise self.fail(position, "scores in [0,1]", f"[{low:.4g},{high:.4g}]")
        scores = np.clip(cam.scores, 0, 1)
        quantised = self.attributes["dtype"] == "uint8"
        return np.rint(scores * STEPS).astype(np.uint8) if quantised else scores.astype(np.float16)


class CamStore(Store[Cam]):
    """Class activation maps, at any grid, as float16 or in 255 steps (uint8); read as float32."""

    schema = "cams"
    arrays = ("instances", "part")

    @cached_property
    def keys(self) -> tuple[tuple[int, ...], ...]:
        """The classes 1..C of each image, ascending, in the order of the ids."""
        return tuple(self.index.classes("keys", position) for position in range(len(self)))

    @staticmethod
    def create(
        path: Path,
        header: Header,
        keys: Sequence[Sequence[int]],
        dtype: ScoreType = "float16",
        shard_size: int = SHARD_SIZE,
        fingerprint: str | None = None,
    ) -> CamWriter:
        """Start a store of the maps of ``keys``, the classes of each image, ascending.

        Raises:
            DataError: ``keys`` do not fit the header.
            ConfigurationError: an unknown ``dtype``.
        """
        if dtype not in ("float16", "uint8"):
            raise ConfigurationError(f"Unknown type of CAM scores '{dtype}'.{closest(dtype, ['float16', 'uint8'])}")
        classes = [[int(c) for c in key] for key in keys]
        if len(classes) != len(header.ids):
            raise DataError(f"{path}: expected the classes of {len(header.ids)} images, found those of {len(classes)}.")
        writer = CamWriter(path, header, shard_size, keys=classes, dtype=dtype)
        for position, key in enumerate(classes):
            if key != sorted(set(key) & set(range(1, len(header.class_names) + 1))):
                raise writer.fail(position, f"ascending classes of 1..{len(header.class_names)}", key)
        writer.begin(fingerprint)
        return writer

    def decode(self, shard: Shard, position: int) -> Cam:
        classes, first = self.index.classes("keys", position), position - position % self.shard_size
        row, grid = self.index.before("keys", first, position), shard.attributes["grids"][position - first]
        scores = shard.planes("part", slice(row, row + len(classes)), grid).astype(np.float32)
        if self.attributes["dtype"] == "uint8":
            scores /= np.float32(STEPS)
        size = self.index.size(position)
        instances = _stored_regions(shard, "instances", position % self.shard_size, size)
        return Cam(np.array(classes, np.int64), scores, size, instances)


class MaskWriter(Writer[Mask]):
    """Writes masks; a shard is [its images, H, W], padded with void."""

    schema = "masks"
    arrays = {"part": IGNORE}

    def encode(self, first: int, items: Sequence[Mask]) -> tuple[dict[str, list[Array]], Attributes]:
        return {"part": [_labels(self, position, mask, (IGNORE,)) for position, mask in enumerate(items, first)]}, {}


class MaskStore(Store[Mask]):
    """Masks, uint8 [H,W]: 0..C and 255 void."""

    schema = "masks"

    @staticmethod
    def create(path: Path, header: Header, shard_size: int = SHARD_SIZE, fingerprint: str | None = None) -> MaskWriter:
        """Start a store of one mask for each image of the header."""
        writer = MaskWriter(path, header, shard_size)
        writer.begin(fingerprint)
        return writer

    def decode(self, shard: Shard, position: int) -> Mask:
        row = position % self.shard_size
        mask: Mask = shard.planes("part", slice(row, row + 1), self.index.size(position))[0]
        return mask


class SupervisionWriter(Writer[Supervision]):
    """Writes seeds and, where given, segments as arrays; tags and boxes as attributes."""

    schema = "supervision"
    arrays = {"segments": 0, "part": IGNORE}

    def encode(self, first: int, items: Sequence[Supervision]) -> tuple[dict[str, list[Array]], Attributes]:
        numbered = list(enumerate(items, first))
        planes = {
            "part": [_labels(self, position, item.seeds, (UNLABELLED, IGNORE)) for position, item in numbered],
            "segments": [_regions(self, position, item.segments, "segments") for position, item in numbered],
        }
        return planes, {
            "tags": [self._tags(position, item.tags) for position, item in numbered],
            "boxes": [self._boxes(position, item) for position, item in numbered],
            "segments": [len(block) for block in planes["segments"]],
        }

    def merge(self, of_shards: Iterable[Attributes]) -> Attributes:
        return {"tags": [tags for shard in of_shards for tags in shard["tags"]]}

    def _tags(self, position: int, tags: npt.NDArray[np.bool_]) -> list[int]:
        expected = (len(self.header.class_names),)
        if tags.shape != expected or tags.dtype != np.bool_:
            raise self.fail(position, f"tags bool {list(expected)}", f"{tags.dtype} {list(tags.shape)}")
        return [int(c) + 1 for c in np.flatnonzero(tags)]

    def _boxes(self, position: int, item: Supervision) -> dict[str, Any] | None:
        if item.boxes is None and item.box_classes is None:
            return None
        corners = np.zeros((0, 4)) if item.boxes is None else item.boxes
        classes = np.zeros(0) if item.box_classes is None else item.box_classes
        if corners.ndim != 2 or corners.shape[1] != 4 or classes.shape != corners.shape[:1]:
            raise self.fail(position, "boxes [N,4] with N classes", f"{list(corners.shape)} and {list(classes.shape)}")
        if not (np.isfinite(corners).all() and np.isin(classes, np.arange(1, len(self.header.class_names) + 1)).all()):
            raise self.fail(position, f"finite boxes of classes 1..{len(self.header.class_names)}", classes.tolist())
        return {"corners": corners.astype(np.float32).tolist(), "classes": classes.tolist()}


class SupervisionStore(Store[Supervision]):
    """What is known about each image: annotated, or a pseudo-mask."""

    schema = "supervision"
    arrays = ("segments", "part")

    @staticmethod
    def create(
        path: Path, header: Header, shard_size: int = SHARD_SIZE, fingerprint: str | None = None
    ) -> SupervisionWriter:
        """Start a store of one supervision for each image of the header."""
        writer = SupervisionWriter(path, header, shard_size)
        writer.begin(fingerprint)
        return writer

    def tags(self, name: str) -> npt.NDArray[np.bool_]:
        """Image-level labels, bool [C], without reading any array."""
        return self._tags(self.position(name))

    def decode(self, shard: Shard, position: int) -> Supervision:
        row, size = position % self.shard_size, self.index.size(position)
        boxes = shard.attributes["boxes"][row]
        return Supervision(
            tags=self._tags(position),
            seeds=shard.planes("part", slice(row, row + 1), size)[0],
            boxes=None if boxes is None else np.array(boxes["corners"], np.float32).reshape(-1, 4),
            box_classes=None if boxes is None else np.array(boxes["classes"], np.int64),
            segments=_stored_regions(shard, "segments", row, size),
        )

    def _tags(self, position: int) -> npt.NDArray[np.bool_]:
        tags = np.zeros(len(self.class_names), np.bool_)
        tags[[c - 1 for c in self.index.classes("tags", position)]] = True
        return tags


def _regions(writer: Writer[Any], position: int, regions: npt.NDArray[np.int32] | None, name: str) -> Array:
    """A map of region ids that fits its image, as one plane [1,H,W]; none as [0,1,1]."""
    if regions is None:
        return np.zeros((0, 1, 1), np.int32)
    size = writer.header.sizes[position]
    if regions.shape != size or regions.dtype != np.int32:
        raise writer.fail(position, f"{name} int32 {list(size)}", f"{regions.dtype} {list(regions.shape)}")
    return regions[None]


def _stored_regions(shard: Shard, name: str, row: int, size: tuple[int, int]) -> npt.NDArray[np.int32] | None:
    """The map of region ids of image ``row`` of a shard, which says how many planes each image has."""
    counts = shard.attributes.get(name)
    if not counts or not counts[row]:
        return None
    before = sum(counts[:row])
    regions: npt.NDArray[np.int32] = shard.planes(name, slice(before, before + 1), size)[0]
    return regions


def _labels(writer: Writer[Any], position: int, mask: Mask, special: tuple[int, ...]) -> Array:
    """A label map that fits its image, as one plane [1,H,W]."""
    size, count = writer.header.sizes[position], len(writer.header.class_names)
    if mask.shape != size or mask.dtype != np.uint8:
        raise writer.fail(position, f"a mask uint8 {list(size)}", f"{mask.dtype} {list(mask.shape)}")
    values = np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
    wrong = [int(value) for value in values if value > count and value not in special]
    if wrong:
        raise writer.fail(position, f"labels 0..{count} or {' or '.join(map(str, special))}", wrong)
    return mask[None]
