"""Read a mask file and say what may be wrong with the order of its palette."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage

from models.structures import IGNORE
from pipeline.datasets.images import LOSSY, opened, to_indices
from pipeline.datasets.photos import Cases
from pipeline.datasets.voc_colours import voc_palette
from pipeline.problems.notices import first_of

PALETTE = "palette_order"


@dataclass(frozen=True)
class MaskFile:
    """What a file of indices holds.

    Attributes:
        size: (H, W).
        counts: pixels of each value, values ascending.
        remarks: what may be wrong, (topic, detail).
    """

    size: tuple[int, int]
    counts: dict[int, int]
    remarks: tuple[tuple[str, str], ...]


def read_mask(path: Path) -> MaskFile:
    """Read a file of indices as :func:`pipeline.datasets.images.read_indices` does, and count them.

    Raises:
        BadFileError: as there.
    """
    with opened(path, "a PNG of indices") as picture:
        if picture.mode in ("P", "L") and picture.format not in LOSSY:
            counts = {value: count for value, count in enumerate(picture.histogram()) if count}  # faster than NumPy
        else:
            counts = _counted(to_indices(picture, path))
        moved = _moved(picture, list(counts))
        return MaskFile((picture.height, picture.width), counts, ((PALETTE, moved),) if moved else ())


def _counted(indices: npt.NDArray[np.int32]) -> dict[int, int]:
    values, counts = np.unique(indices, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _moved(picture: PILImage.Image, values: Sequence[int]) -> str:
    """``1 has the colour of 15``, where all colours that are used are VOC's and some stand at another index."""
    palette = picture.getpalette() if picture.mode == "P" else None
    if not palette or bytes(palette) == _voc_bytes()[: len(palette)]:
        return ""
    colours = {index: tuple(palette[3 * index : 3 * index + 3]) for index in values if index != IGNORE}
    meant = {index: _voc_index().get(colour) for index, colour in colours.items()}
    if None in meant.values():
        return ""
    moved = [(index, label) for index, label in meant.items() if index != label]
    return f"value {moved[0][0]} has the colour of {moved[0][1]}" if moved else ""


@cache
def _voc_bytes() -> bytes:
    return voc_palette().tobytes()


@cache
def _voc_index() -> dict[tuple[int, ...], int]:
    return {tuple(colour): label for label, colour in enumerate(voc_palette().tolist())}


def palette_order(cases: Cases, total: int) -> str:
    """Masks whose palette is VOC's in another order."""
    return (
        f"{len(cases)} masks of {total} images have VOC's colours in another order in their palettes "
        f"({first_of([id for id, _ in cases])}; {cases[0][1]}). Values are taken, not colours: a program that saves a "
        "palette anew, with the colours in use alone, changes them. If the colours are right, set `labelmap` in the "
        "reader's options to a file with a line NAME:R,G,B for each class (reader voc: `labelmap: voc`)."
    )


SENTENCES = {PALETTE: palette_order}
