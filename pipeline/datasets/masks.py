"""Read a mask file and say what may be wrong with the order of its palette."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage

from models.structures import IGNORE
from pipeline.datasets.images import opened, to_indices
from pipeline.datasets.photos import Cases
from pipeline.notices import first_of
from pipeline.palette import voc_palette

PALETTE = "palette_order"


def read_mask(path: Path) -> tuple[npt.NDArray[np.int32], tuple[tuple[str, str], ...]]:
    """Indices as :func:`pipeline.datasets.images.read_indices`, int32 [H,W], and remarks (topic, detail).

    Raises:
        BadFileError: as there.
    """
    with opened(path, "a PNG of indices") as picture:
        indices = to_indices(picture, path)
        moved = _moved(picture)
    return indices, ((PALETTE, moved),) if moved else ()


def _moved(picture: PILImage.Image) -> str:
    """``1 has the colour of 15``, where all colours that are used are VOC's and some stand at another index."""
    palette = picture.getpalette() if picture.mode == "P" else None
    if not palette or bytes(palette) == _voc_bytes()[: len(palette)]:
        return ""
    counted: Any = picture.getcolors(256)
    used = [index for _, index in counted or () if index != IGNORE]
    colours = {index: tuple(palette[3 * index : 3 * index + 3]) for index in used}
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
