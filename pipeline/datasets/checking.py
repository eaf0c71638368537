"""Read one image of a data set, with its mask, and say everything that is wrong with it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from models.structures import IGNORE
from pipeline.datasets.images import MOST_INSTANCES, BadFileError
from pipeline.datasets.listing import Listed
from pipeline.datasets.masks import read_mask
from pipeline.datasets.photos import Photo, read_photo
from pipeline.datasets.sizes import size_hint
from pipeline.problems.notices import first_of
from stages.prepare import Problem


@dataclass(frozen=True, slots=True)
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
    listed: Listed,
    *,
    root: Path,
    truth_root: Path,
    mask_maximum: int,
    upright: bool,
    num_classes: int,
    made: bool = False,
) -> Finding:
    """Read the files of one image once. Never raises for a bad file: it becomes a problem of the finding.

    Args:
        listed: the image.
        root, truth_root: folders of the image, and of mask and instances.
        mask_maximum: largest class value of a mask.
        upright: apply EXIF orientation.
        num_classes: C.
        made: mask and instances lie in a scratch folder, whose files no message should name.
    """
    look = _Look(listed, upright, made)
    photo = look.photo(root / listed.image)
    values: tuple[int, ...] | None = None
    shapes: list[tuple[str, tuple[int, int]]] = []
    if photo is None or listed.size in (None, photo.size):
        if listed.mask is not None:
            values = look.indices(truth_root / listed.mask, mask_maximum, shapes)
        if listed.instances is not None:
            look.indices(truth_root / listed.instances, MOST_INSTANCES, shapes)
    if photo is not None and look.sizes_agree(photo, shapes):
        look.check_boxes(photo.size)
    wrong_tags = [tag for tag in listed.tags or () if not 1 <= tag <= num_classes]
    expected = f"tags within 1..{num_classes}"
    look.problems.extend(Problem(listed.id, listed.where, expected, str(tag)) for tag in wrong_tags)
    mask_sha = "" if listed.mask is None else _sha256(truth_root / listed.mask)
    size = None if photo is None else photo.size
    return Finding(size, _sha256(root / listed.image), mask_sha, tuple(look.problems), tuple(look.remarks), values)


@dataclass(frozen=True)
class _Look:
    """What is found at one image."""

    listed: Listed
    upright: bool
    made: bool
    problems: list[Problem] = field(default_factory=list)
    remarks: list[tuple[str, str]] = field(default_factory=list)

    def photo(self, path: Path) -> Photo | None:
        try:
            photo = read_photo(path, upright=self.upright)
        except BadFileError as bad:
            self._problem(str(path), bad.expected, bad.found)
            return None
        self.remarks.extend(photo.remarks)
        return photo

    def indices(self, path: Path, maximum: int, shapes: list[tuple[str, tuple[int, int]]]) -> tuple[int, ...] | None:
        """The values of a file of indices, ascending; None where it cannot be read. Its size goes to ``shapes``."""
        place = str(path) if not self.made else self.listed.mask_from or self.listed.where or str(path)
        if self.made and not path.is_file():  # whoever was to make it has said why not
            return None
        try:
            mask = read_mask(path)
        except BadFileError as bad:
            self._problem(place, bad.expected, bad.found)
            return None
        self.remarks.extend(mask.remarks)
        shapes.append((place, mask.size))
        wrong = {value: count for value, count in mask.counts.items() if not 0 <= value <= maximum}
        wrong.pop(IGNORE, None)
        if wrong:
            found = f"{first_of([str(value) for value in wrong], 5)} ({sum(wrong.values())} pixels)"
            self._problem(place, f"values 0..{maximum} or 255 (void)", found)
        return tuple(mask.counts)

    def sizes_agree(self, photo: Photo, shapes: Sequence[tuple[str, tuple[int, int]]]) -> bool:
        """The size that a list gives, and those of mask and instances: the first that is not the image's is told.

        Where the list is wrong, what was drawn of it would only say so again.
        """
        stated = self.listed.size
        if stated is not None and stated != photo.size:
            found = f"{_by(photo.size)}{size_hint(photo.size, stated, photo.orientation, self.upright)}"
            self._problem(self.listed.where, f"an image of the listed size {stated} (H x W)", found)
            return False
        for place, shape in shapes:
            if shape != photo.size:
                found = f"{_by(shape)}{size_hint(photo.size, shape, photo.orientation, self.upright)}"
                self._problem(place, f"the size of its image, {_by(photo.size)} (H x W)", found)
                break
        return True

    def check_boxes(self, size: tuple[int, int]) -> None:
        """Boxes lie in the image: some data sets' boxes reach a little beyond it."""
        for left, top, right, bottom in self.listed.boxes or ():
            inside = left < size[1] and top < size[0] and right > 0 and bottom > 0
            if not (left < right and top < bottom and inside):
                expected = f"boxes (left, top, right, bottom) within {size[0]} x {size[1]} (H x W)"
                self._problem(self.listed.where, expected, f"{left:g}, {top:g}, {right:g}, {bottom:g}")

    def _problem(self, path: str, expected: str, found: str) -> None:
        self.problems.append(Problem(self.listed.id, path, expected, found))


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
