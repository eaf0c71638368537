"""Read one image of a data set, with its mask, and say everything that is wrong with it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.structures import IGNORE
from pipeline.datasets.images import MOST_INSTANCES, BadFileError, read_image, read_indices
from pipeline.datasets.listing import Listed
from pipeline.datasets.sizes import size_problem
from pipeline.notices import first_of
from stages.prepare import Problem


@dataclass(frozen=True)
class Finding:
    """What one image and its files are.

    Attributes:
        size: (H, W) of the image, or None when it cannot be read.
        sha256, mask_sha256: of the files; empty where there is none.
        problems: why the image cannot be used.
        remarks: what may be wrong, (topic, detail); ``prepare`` counts equal topics over all images.
        mask_values: values that the mask holds, ascending; None where there is no readable mask.
    """

    size: tuple[int, int] | None
    sha256: str
    mask_sha256: str
    problems: tuple[Problem, ...]
    remarks: tuple[tuple[str, str], ...] = ()
    mask_values: tuple[int, ...] | None = None


def inspect(
    listed: Listed, *, root: Path, truth_root: Path, mask_maximum: int, upright: bool, num_classes: int
) -> Finding:
    """Read the files of one image once. Never raises for a bad file: it becomes a problem of the finding."""
    problems: list[Problem] = []
    size = _image_size(listed, root, upright, problems)
    values = None
    if listed.size in (None, size):  # else the list is wrong, and what was drawn of it would only say so again
        if listed.mask is not None:
            values = _values(listed, truth_root / listed.mask, size, mask_maximum, problems)
        if listed.instances is not None:
            _values(listed, truth_root / listed.instances, size, MOST_INSTANCES, problems)
        _check_boxes(listed, size, problems)
    elif size is not None and (wrong := size_problem(listed, size, root / listed.image, upright)) is not None:
        problems.append(wrong)
    wrong_tags = [tag for tag in listed.tags or () if not 1 <= tag <= num_classes]
    expected = f"tags within 1..{num_classes}"
    problems += [Problem(listed.id, listed.where, expected, str(tag)) for tag in wrong_tags]
    mask_sha = "" if listed.mask is None else _sha256(truth_root / listed.mask)
    return Finding(size, _sha256(root / listed.image), mask_sha, tuple(problems), mask_values=values)


def _image_size(listed: Listed, root: Path, upright: bool, problems: list[Problem]) -> tuple[int, int] | None:
    try:
        image = read_image(root / listed.image, upright=upright)
    except BadFileError as bad:
        problems.append(Problem(listed.id, str(root / listed.image), bad.expected, bad.found))
        return None
    return image.shape[0], image.shape[1]


def _values(
    listed: Listed, path: Path, size: tuple[int, int] | None, maximum: int, problems: list[Problem]
) -> tuple[int, ...] | None:
    """The values of a file of indices, ascending, and what is wrong with it; None where it cannot be read."""
    try:
        indices = read_indices(path)
    except BadFileError as bad:
        problems.append(Problem(listed.id, str(path), bad.expected, bad.found))
        return None
    if size is not None and indices.shape != size:
        expected = f"the size of its image, {size[0]} x {size[1]} (H x W)"
        problems.append(Problem(listed.id, str(path), expected, f"{indices.shape[0]} x {indices.shape[1]}"))
    values, counts = _counted(indices)
    wrong = {value: count for value, count in zip(values, counts, strict=True) if not 0 <= value <= maximum}
    wrong.pop(IGNORE, None)
    if wrong:
        found = f"{first_of([str(value) for value in wrong], 5)} ({sum(wrong.values())} pixels)"
        problems.append(Problem(listed.id, str(path), f"values 0..{maximum} or 255 (void)", found))
    return values


def _counted(indices: npt.NDArray[np.int32]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The values, ascending, and the number of pixels of each."""
    if indices.size and indices.min() >= 0 and indices.max() < 1 << 16:  # counting is faster than sorting
        histogram = np.bincount(indices.ravel())
        values = np.flatnonzero(histogram)
        counts = histogram[values]
    else:
        values, counts = np.unique(indices, return_counts=True)
    return tuple(values.tolist()), tuple(counts.tolist())


def _check_boxes(listed: Listed, size: tuple[int, int] | None, problems: list[Problem]) -> None:
    """Boxes lie in the image: some data sets' boxes reach a little beyond it."""
    if size is None:
        return
    for left, top, right, bottom in listed.boxes or ():
        inside = left < size[1] and top < size[0] and right > 0 and bottom > 0
        if not (left < right and top < bottom and inside):
            expected = f"boxes (left, top, right, bottom) within {size[0]} x {size[1]} (H x W)"
            problems.append(Problem(listed.id, listed.where, expected, f"{left:g}, {top:g}, {right:g}, {bottom:g}"))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
