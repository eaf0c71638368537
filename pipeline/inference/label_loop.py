"""Which images of a book are worth correcting, and their masks for a labelling tool."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

import numpy as np
import numpy.typing as npt
import yaml

from models.errors import ConfigurationError, DataError
from models.structures import BACKGROUND, UNLABELLED, Mask
from pipeline.book.params import Book
from pipeline.datasets.rle import decoded
from pipeline.inference.inputs import Input
from pipeline.inference.rounds import Trained, entries_to_add, segmenter_of
from pipeline.inference.stored import require_empty
from pipeline.inference.tools.export import file_names, write_for
from pipeline.inference.tools.images import How, LabelledImage, Shapes, shapes_for
from pipeline.inference.trained import Place, load_segmenter, place_of
from pipeline.inference.worker import Result, SegmentChunk
from pipeline.problems.notices import first_of
from pipeline.storage.csv_cells import plain_cell
from pipeline.storage.stores import SupervisionStore
from pipeline.storage.whole import whole_file
from stages.prepare import report

By = Literal["confidence", "disagreement", "random"]
LIST, IMAGES, CORRECTED, ENTRIES = "images.csv", "images", "corrected", "entries.yaml"
COLUMNS = ("rank", "image", "file", "confidence", "disagreement", "classes", "why")


@dataclass(frozen=True)
class Candidate:
    """An image that could be corrected.

    Attributes:
        id: of the image.
        result: of the segmenter, which only looked for classes that the image is known to show.
        confidence: mean probability of the label that each pixel got, in [0,1].
        disagreement: 1 - mIoU of the segmenter's mask and the labels that it learned from, over the labels that either
            has; None where those say nothing.
    """

    id: str
    result: Result
    confidence: float
    disagreement: float | None

    def why(self, by: By) -> str:
        """In a few words."""
        if by == "confidence":
            return f"the segmenter is {self.confidence:.0%} sure of its labels on average"
        if by == "disagreement" and self.disagreement is not None:
            return f"{self.disagreement:.0%} disagreement (1 - mIoU) between the segmenter and what it learned from"
        return "drawn at random" if by == "random" else "no label to compare with"


@dataclass(frozen=True)
class Chosen:
    """What was written.

    Attributes:
        segmenter: the training that was asked, with what it learned from.
        images: best first.
        of: how many images there were to choose from.
        corrected: images that were left out, since people have corrected them.
    """

    segmenter: Trained
    images: Sequence[Candidate]
    of: int
    corrected: int


def choose(
    book: Book,
    out: Path,
    *,
    by: By,
    count: int,
    tool: str,
    checkpoint: str | None = None,
    shapes: Shapes | None = None,
    device: str = "cpu",
    **options: Any,
) -> Chosen:
    """Write the images of a training that are most worth correcting, with the segmenter's masks of them.

    Args:
        book: checked by name.
        out: gets ``images.csv``, the images in ``images/``, a folder of the tool's name, and ``entries.yaml``, a block
            for the book.yaml which expects the tool's export in ``corrected/``.
        by: lowest confidence of the segmenter, largest disagreement with what it learned from, or at random.
        count: how many images.
        tool: a name of :data:`pipeline.inference.tools.TOOLS`.
        checkpoint: a train entry; None for that of the book's first ``predict_masks``.
        shapes: masks or polygons; None for the tool's usual ones.
        device: of the network.
        options: other ones of :class:`pipeline.inference.tools.images.How`.

    Raises:
        ConfigurationError: no segmenter of that name, or options that do not hold.
        DataError: something has not been made, ``out`` holds files, or no image is left to correct.
    """
    if count < 1:
        raise ConfigurationError(f"--count: expected 1 image or more, found {count}.")
    segmenter = Trained(book, segmenter_of(book, checkpoint))
    require_empty(out)
    place = place_of(book, segmenter.name)
    _, class_names = load_segmenter(place)
    how = How(
        class_names,
        shapes_for(tool, shapes),
        source=f"checkpoints/{segmenter.name}",
        split=segmenter.split,
        **options,
    )
    corrected = segmenter.corrected()
    ids = [id for id in segmenter.labels.ids if id not in corrected]
    if not ids:
        raise DataError(f"All {len(corrected)} images of '{segmenter.entry.supervision}' are corrected.")
    results = _segmented(segmenter, ids, place, class_names, device)
    ranked = sorted(candidates(segmenter.labels, results), key=lambda one: _order(one, by))[:count]
    _write(ranked, by, tool, out, how, file_names(segmenter.catalogue))
    block = entries_to_add(segmenter, (out / CORRECTED).as_posix())
    with whole_file(out / ENTRIES, durable=False) as scratch:
        scratch.write_text(f"\n{yaml.safe_dump(block, sort_keys=False, allow_unicode=True)}", encoding="utf-8")
    return Chosen(segmenter, ranked, len(ids), len(corrected))


def _segmented(
    segmenter: Trained, ids: Sequence[str], place: Place, class_names: Sequence[str], device: str
) -> dict[str, Result]:
    from pipeline.inference.options import predict_options
    from pipeline.inference.predict import segment_all

    catalogue = segmenter.catalogue
    inputs = tuple(Input(id, catalogue.path(catalogue.entry(id).image)) for id in ids)
    results = segment_all(
        SegmentChunk(
            inputs,
            place.folder,
            tuple(class_names),
            Path(),
            predict_options(place, None, None, None),
            ("coco",),
            segmenter.tags(ids),
            device,
            catalogue.upright,
        )
    )
    if problems := [result.problem for result in results if result.problem is not None]:
        raise DataError(report(problems))
    return dict(zip(ids, results, strict=True))


def candidates(labels: SupervisionStore, results: Mapping[str, Result]) -> Iterator[Candidate]:
    """Each image with both measures."""
    for id, item in labels.items(results):
        result = results[id]
        if result.size != item.seeds.shape:
            raise DataError(
                f"{result.input.path}: expected size {item.seeds.shape} (H x W), found {result.size}. The data set "
                "changed after its labels were made: run prepare again."
            )
        yield Candidate(id, result, result.confidence, disagreement(mask_of(result), item.seeds))


def mask_of(result: Result) -> Mask:
    """The segmenter's mask, uint8 [H,W] of 0..C."""
    mask = np.full(result.size, BACKGROUND, np.uint8)
    for segment in result.segments:
        mask[decoded(segment["segmentation"]["counts"], result.size)] = segment["category_id"]
    return mask


def disagreement(mask: Mask, seeds: npt.NDArray[np.uint8]) -> float | None:
    """1 - mIoU of a mask uint8 [H,W] and labels of the same image, over the labels that either has.

    Pixels that are unlabelled (254) or void (255) do not count; None where no other pixel is.
    """
    said = seeds < UNLABELLED
    if not said.any():
        return None
    one, other = mask[said], seeds[said]
    ious = [
        np.count_nonzero((one == label) & (other == label)) / np.count_nonzero((one == label) | (other == label))
        for label in np.union1d(one, other)
    ]
    return float(1 - np.mean(ious))


def _order(one: Candidate, by: By) -> tuple[float, str]:
    """What is most worth correcting comes first; equal ones by their names."""
    if by == "random":
        return float(crc32(one.id.encode())), one.id
    if by == "confidence":
        return one.confidence, one.id
    return -(-1.0 if one.disagreement is None else one.disagreement), one.id


def _write(ranked: Sequence[Candidate], by: By, tool: str, out: Path, how: How, names: Mapping[str, str]) -> None:
    images = []
    for one in ranked:
        copy, result = out / IMAGES / names[one.id], one.result
        copy.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(copy, durable=False) as scratch:
            shutil.copyfile(result.input.path, scratch)
        images.append(LabelledImage(one.id, names[one.id], copy, result.size, result.segments, one.confidence))
    write_for(tool, images, out / tool, how)
    with whole_file(out / LIST, durable=False) as scratch, scratch.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for rank, one in enumerate(ranked, 1):
            shown = first_of([label["name"] for label in one.result.card["classes"]], 10, between=";")
            compared = "" if one.disagreement is None else f"{one.disagreement:.4f}"
            cells = [rank, one.id, names[one.id], f"{one.confidence:.4f}", compared, shown, one.why(by)]
            rows.writerow([plain_cell(cell) for cell in cells])
