"""evaluate_boxes: Cams against ground-truth boxes, with a network's ranking of the classes -> metrics and a curve.

The scores of a chunk of the images can be made in another process (``score_boxes``) and merged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import torch

from models.errors import DataError
from models.metrics.image_counts import BOXES
from models.metrics.level_boxes import to_levels
from models.metrics.localisation import (
    THRESHOLDS,
    Boxes,
    BoxSweep,
    overlaps,
    rank_of,
    scaled_boxes,
)
from models.ops.multiscale import evaluating, in_batches, squared, to_batch
from models.ops.resize import resize_bilinear
from models.options import PositiveCount, Side
from models.structures import Cam, Image, Ranker

IOUS = (0.3, 0.5, 0.7)
"""Of MaxBoxAccV2; V1 is at .5."""


@dataclass(frozen=True, slots=True, eq=False)
class BoxSample:
    """One image to judge.

    Attributes:
        id: of the image.
        cam: with a map of the image's class.
        classes: int64 [N], 1..C, of its ground-truth objects.
        boxes: float32 [N,4] XYXY in pixels, right and bottom exclusive.
        image: reads the image, uint8 RGB [H,W,3].
    """

    id: str
    cam: Cam
    classes: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.float32]
    image: Callable[[], Image]


@dataclass(frozen=True, slots=True)
class Localisation:
    """Metrics that JSON can hold (in percent, full precision), the curve, and what each image adds to the scores.

    Attributes:
        metrics: by name.
        columns, rows: of the curve.
        images: of each judged image its id, its class, and the counts of ``models.metrics.image_counts.BOXES``.
    """

    metrics: dict[str, Any]
    columns: tuple[str, ...]
    rows: tuple[tuple[float, ...], ...]
    images: tuple[tuple[str | int, ...], ...] = ()


class BoxScore:
    """Everything that is counted about boxes; picklable, mergeable; some hundred bytes an image."""

    def __init__(self) -> None:
        self.left_out = 0
        self.judged: list[tuple[str, int]] = []
        self.right = {1: 0, 5: 0}
        self.largest = BoxSweep((0.5,))
        self.largest_in = {1: BoxSweep((0.5,)), 5: BoxSweep((0.5,))}
        self.every = BoxSweep(IOUS)

    def update(self, id: str, label: int, scores: npt.NDArray[np.float32], boxes: Boxes, rank: int) -> None:
        """Add one image.

        Args:
            id: of the image.
            label: its class, 1..C.
            scores: float32 [H,W], the map of its class.
            boxes: [G,4] XYXY on the grid of ``scores``; an image counts if any of them matches.
            rank: how many classes the network puts before the image's.
        """
        largest, every = overlaps(to_levels(scores), boxes)
        self.judged.append((id, label))
        self.largest.update(largest)
        self.every.update(every)
        for k, sweep in self.largest_in.items():
            sweep.update(largest, counts=rank < k)
            self.right[k] += rank < k

    def merge(self, other: Self) -> Self:
        """Add what another chunk counted."""
        self.left_out += other.left_out
        self.judged += other.judged
        self.largest.merge(other.largest)
        self.every.merge(other.every)
        for k, sweep in self.largest_in.items():
            sweep.merge(other.largest_in[k])
            self.right[k] += other.right[k]
        return self

    def localisation(self) -> Localisation:
        """Metrics of all the images so far.

        ``gt_known`` is MaxBoxAcc (V1, IoU .5); ``top1_loc`` and ``top5_loc`` are at its threshold. ``max_box_acc_v2``
        is the mean of ``max_box_acc_v2_30``, ``_50`` and ``_70``, each at its own best threshold.

        Raises:
            DataError: no image was judged.
        """
        images = self.largest.images
        if not images:
            raise DataError(
                f"Nothing to evaluate: {self.left_out} images, none of them with objects as asked for. "
                "Set `images: single_class` to keep images with several objects of one class."
            )
        curve, every = 100 * self.largest.curve()[0], 100 * self.every.curve()
        best = int(self.largest.best()[0])
        v2 = every.max(1)
        metrics = {
            "images": images,
            "left_out": self.left_out,
            "gt_known": float(curve[best]),
            "best_threshold": float(THRESHOLDS[best]),
            **{f"top{k}_loc": 100 * float(sweep.curve()[0, best]) for k, sweep in self.largest_in.items()},
            **{f"top{k}_cls": 100 * count / images for k, count in self.right.items()},
            "max_box_acc_v2": float(v2.mean()),
            **{f"max_box_acc_v2_{round(100 * iou)}": float(v) for iou, v in zip(IOUS, v2, strict=True)},
        }
        columns = ("threshold", "max_box_acc", *(f"v2_{round(100 * iou)}" for iou in IOUS))
        rows = np.column_stack([np.round(THRESHOLDS, 3), curve, *every]).tolist()
        return Localisation(metrics, columns, tuple(map(tuple, rows)), self._images(best))

    def _images(self, best: int) -> tuple[tuple[str | int, ...], ...]:
        """The judged images at the thresholds of the metrics: ``best`` (V1), and the best of each IoU (V2)."""
        at = np.array([best])
        right = {"judged": np.ones((len(self.judged), 1), np.bool_), "gt_known": self.largest.right_at(at)}
        right |= {f"top{k}_loc": sweep.right_at(at) for k, sweep in self.largest_in.items()}
        v2 = self.every.right_at(self.every.best())
        right |= {f"v2_{round(100 * iou)}": v2[:, k : k + 1] for k, iou in enumerate(IOUS)}
        counts = np.concatenate([right[name] for name in BOXES], 1).astype(int).tolist()
        return tuple((*image, *row) for image, row in zip(self.judged, counts, strict=True))


def score_boxes(
    samples: Iterable[BoxSample],
    ranker: Ranker,
    *,
    device: Any = "cpu",
    images: Literal["single_class", "single_object"] = "single_class",
    side: Side = 0,
    square: Side = 0,
    batch_size: PositiveCount = 1,
    precision: Literal["float32", "bfloat16", "float16"] = "float32",
) -> BoxScore:
    """Count over images, to be merged with other chunks.

    The protocol of wsolevaluation, but for the maps' enlargement, which is bilinear here and bicubic there.

    Args:
        samples: images whose rule does not fit are left out and counted, and never read.
        ranker: on ``device``; its largest logit is the predicted class.
        images: "single_class" judges images that show one class, all of whose objects count (the protocol);
            "single_object" only those with one object.
        side: of the square grid in pixels to which maps and boxes are brought (the protocol: 224); 0 judges at the
            image's own size.
        square: side in pixels of the square that an image is stretched to for the ranking (the protocol: 224); 0
            keeps its size.
        batch_size: images of one size that are ranked together.
        precision: of the ranking network's arithmetic.

    Raises:
        DataError: a CAM without a map of its image's class, or scores that are not finite, named by the image's id.
    """
    score = BoxScore()

    def ranked(batch: list[tuple[BoxSample, Image]]) -> list[tuple[BoxSample, npt.NDArray[np.float32]]]:
        with evaluating(ranker, device, precision):
            views = torch.cat([squared(to_batch([image], device), square) for _, image in batch])
            logits = ranker.tag_scores(views).float().cpu().numpy()
        for (sample, _), logit in zip(batch, logits, strict=True):
            if not np.isfinite(logit).all():  # comparisons with NaN are false: any class would come out as the first
                raise DataError(
                    f"Image '{sample.id}': expected finite scores of its classes, found nan or inf: weights or "
                    "activations of the network are not finite. Remedy: precision float32, or train it again with a "
                    "smaller lr."
                )
        return [(sample, logit) for (sample, _), logit in zip(batch, logits, strict=True)]

    pairs = ((sample, sample.image()) for sample in _kept(samples, images, score))
    for sample, logits in in_batches(pairs, lambda pair: square or pair[1].shape, ranked, batch_size):
        label = int(sample.classes[0])
        score.update(sample.id, label, *_on_grid(sample, label, side), rank_of(logits, label))
    return score


def _kept(samples: Iterable[BoxSample], images: str, score: BoxScore) -> Iterator[BoxSample]:
    for sample in samples:
        objects = len(sample.classes)
        if len(np.unique(sample.classes)) == 1 and (objects == 1 or images == "single_class"):
            yield sample
        else:
            score.left_out += 1


def _on_grid(sample: BoxSample, label: int, side: int) -> tuple[npt.NDArray[np.float32], Boxes]:
    """The map of a class [h,w] and the boxes [N,4] on the grid where they are judged."""
    cam = sample.cam
    if label not in cam.classes:
        raise DataError(
            f"Image '{sample.id}': expected a CAM with a map of its class {label}, found classes "
            f"{cam.classes.tolist()}. Export the CAMs with the tags of these images."
        )
    size = (side, side) if side else cam.size
    scores = resize_bilinear(cam.scores[cam.classes == label], size)[0]
    return scores, scaled_boxes(sample.boxes, cam.size, size)
