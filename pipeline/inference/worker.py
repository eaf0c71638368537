"""One chunk of a prediction: a few images read, segmented and written, in whatever process."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.structures import Image
from pipeline.compute.engines.job import is_out_of_memory
from pipeline.datasets.images import TILES
from pipeline.inference.inputs import Input
from pipeline.storage.whole import whole_file
from stages.prepare import Problem

if TYPE_CHECKING:
    from models.method import Method
    from pipeline.datasets.photos import Photo
    from stages.predict_masks import Scored

CHUNK_SIZE = 8
FOLDERS = ("masks", "overlays", "json")
"""What is written for each image as soon as it is done; everything else needs its COCO segments."""


@dataclass(frozen=True)
class PredictOptions:
    """How images are segmented; picklable.

    Attributes:
        scales, flip, average, gate, background: as in :func:`stages.predict_masks.predict_masks`.
        crf: options of the dense CRF, or None for none.
    """

    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    average: str = "logits"
    gate: bool = False
    background: float | None = None
    crf: Mapping[str, Any] | None = None

    def __str__(self) -> str:
        scales = ", ".join(f"{scale:g}" for scale in self.scales)
        crf = "no CRF" if self.crf is None else f"CRF {self.crf.get('preset', 'seg_test')}"
        gate = ", classes times their probability in the image" if self.gate else ""
        background = "" if self.background is None else f", background {self.background:g}"
        return f"scales {scales}, {'with' if self.flip else 'without'} mirror image{gate}{background}, {crf}"


@dataclass(frozen=True)
class Result:
    """What became of one input: its card (:meth:`SegmentChunk._card`) and COCO segments, or the problem with it; and
    what may be wrong, (topic, detail)."""

    input: Input
    card: dict[str, Any] = field(default_factory=dict)
    segments: list[dict[str, Any]] = field(default_factory=list)
    problem: Problem | None = None
    remarks: tuple[tuple[str, str], ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return self.card["height"], self.card["width"]

    @property
    def confidence(self) -> float:
        """Mean probability of the label that each pixel got, in [0,1]."""
        return float(sum(label["share"] * label["score"] for label in (self.card["background"], *self.card["classes"])))


@dataclass(frozen=True)
class SegmentChunk:
    """Makes the results of a few inputs; picklable, so that any process can."""

    inputs: tuple[Input, ...]
    checkpoint: Path
    class_names: tuple[str, ...]
    out: Path
    how: PredictOptions
    formats: tuple[str, ...]
    tags: Mapping[str, Sequence[bool]]
    device: str
    upright: bool = True

    def __call__(self, k: int) -> list[Result]:
        with _one_thread(self.device == "cpu"):
            return [self._result(item) for item in self.inputs[k * CHUNK_SIZE : (k + 1) * CHUNK_SIZE]]

    def _result(self, item: Input) -> Result:
        photo = _read(item, max(self.how.scales), self.upright)
        if isinstance(photo, Problem):
            return Result(item, problem=photo)
        image = photo.pixels
        try:
            scored = self._scored(item, image)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            found = f"one of {image.shape[1]} x {image.shape[0]} pixels. Make it smaller, or {TILES.partition(',')[0]}"
            return Result(item, problem=Problem(item.name, str(item.path), "an image that fits into memory", found))
        return replace(self._written(item, image, scored), remarks=photo.remarks)

    def _scored(self, item: Input, image: Image) -> Scored:
        return segment(item.name, image, self.tags.get(item.name), self.checkpoint, self.how, self.device)

    def _written(self, item: Input, image: Image, scored: Scored) -> Result:
        from PIL import Image as Pictures

        from pipeline.inference.coco import coco_segments
        from pipeline.pictures.overlays import overlay
        from pipeline.pictures.palette import write_png

        card = self._card(item, scored)
        if "masks" in self.formats:
            with whole_file(self.out / "masks" / f"{item.name}.png", durable=False) as scratch:
                write_png(scratch, scored.mask)
        if "overlays" in self.formats:
            with whole_file(self.out / "overlays" / f"{item.name}.png", durable=False) as scratch:
                Pictures.fromarray(overlay(image, scored.mask)).save(scratch)
        if "json" in self.formats:
            write_json(self.out / "json" / f"{item.name}.json", card)
        wanted = not set(self.formats) <= set(FOLDERS)
        return Result(item, card, coco_segments(scored.mask, scored.scores.tolist()) if wanted else [])

    def _card(self, item: Input, scored: Scored) -> dict[str, Any]:
        """What is said of one image: where it is from, its size, and of each label pixels, share and mean score."""
        counts = np.bincount(scored.mask.ravel(), minlength=1 + len(self.class_names))
        labels = [
            {
                "id": label,
                "name": name,
                "pixels": int(counts[label]),
                "share": round(float(counts[label] / scored.mask.size), 6),
                "score": round(float(scored.scores[label]), 4),
            }
            for label, name in enumerate(("background", *self.class_names))
            if counts[label] or not label
        ]
        height, width = scored.mask.shape
        size = {"height": height, "width": width}
        return {
            "name": item.name,
            "source": item.path.as_posix(),
            **size,
            "background": labels[0],
            "classes": labels[1:],
        }


def segment(
    name: str, image: Image, tags: Sequence[bool] | None, checkpoint: Path, how: PredictOptions, device: str
) -> Scored:
    """Segment one image.

    Args:
        name: of the image, for messages.
        image: uint8 [H,W,3].
        tags: the C classes that may win; None for all.
        checkpoint: folder of a segmenter, which is loaded once a process.
        how: scales, mirror image, gate, background, CRF.
        device: of the network.

    Raises:
        DataError: the probabilities are not finite.
    """
    from models.refiners.dense_crf import SegmentationCrf
    from stages.predict_masks import predict_scored

    method: Any = _method(checkpoint, (checkpoint / "checkpoint.json").stat().st_mtime_ns, device)
    return predict_scored(
        (name, image, None if tags is None else np.array(tags, np.bool_)),
        method,
        device=device,
        scales=how.scales,
        flip=how.flip,
        average=how.average,  # type: ignore[arg-type]
        gate=how.gate,
        background=how.background,
        crf=None if how.crf is None else SegmentationCrf(**how.crf),
    )


def _read(item: Input, scale: float, upright: bool) -> Photo | Problem:
    """New photos are turned upright, as people see them, whatever the orientation of the images of a training.

    What is written of a photo names it, and neither JSON nor XML can say every name that a disk may have.
    """
    from pipeline.datasets.file_names import shown
    from pipeline.datasets.images import BadFileError
    from pipeline.datasets.photos import read_photo

    path = str(item.path)
    if shown(path) != path or any(mark < " " for mark in path):
        return Problem(shown(item.name), shown(path), "a name in UTF-8 without control characters", "others in it")
    try:
        return read_photo(item.path, upright=upright, scale=scale)
    except BadFileError as bad:
        return Problem(item.name, str(item.path), bad.expected, bad.found)


@lru_cache(maxsize=1)
def _method(checkpoint: Path, made: int, device: str) -> Method:
    """Loaded once a process; ``made`` tells a checkpoint from a newer one at the same place."""
    from pipeline.storage.checkpoints import load_method

    return load_method(checkpoint).to(device)


@contextmanager
def _one_thread(wanted: bool) -> Iterator[None]:
    """The same sums, and so the same bytes, as in a worker process."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1 if wanted else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def write_json(path: Path, content: Any, indent: int | None = 1) -> None:
    text = json.dumps(content, indent=indent, ensure_ascii=False) + "\n"
    with whole_file(path, durable=False) as scratch:
        scratch.write_text(text, encoding="utf-8")
