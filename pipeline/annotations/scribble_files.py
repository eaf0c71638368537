"""Scribbles as people draw them: an image of class values for each image, looked at once before they are used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.errors import ConfigurationError, DataError
from models.structures import BACKGROUND, IGNORE, UNLABELLED, Mask
from pipeline.annotations.files import require_items
from pipeline.annotations.items import raise_together
from pipeline.annotations.label_folder import Files, LabelFolder
from pipeline.datasets.catalogue import Catalogue
from pipeline.datasets.exports import foreign_folder, with_remedy
from pipeline.datasets.image_names import ImageNames
from pipeline.datasets.images import BadFileError, read_indices
from pipeline.datasets.parallel import in_processes
from pipeline.problems.notices import Notice, first_of

SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif")
"""Formats that keep values as they are."""
REMEDY = "export masks as PNG, with the number of the class as the value of a pixel"
UNMARKED = 255
NEARLY_ALL = 0.9
"""Part of the pixels with one value that speaks for files in which it means "no stroke"."""


@dataclass(frozen=True)
class Values:
    """What the pixel values of scribble files mean, beside the data set's own class values.

    Attributes:
        unlabelled: of pixels without a stroke.
        background: of strokes on the background; None where no value means it.
    """

    unlabelled: int = UNMARKED
    background: int | None = BACKGROUND

    def lookup(self, catalogue: Catalogue) -> Mask:
        """Value -> seed, uint8 [256]; values that mean nothing are void.

        Raises:
            ConfigurationError: one value for two things.
        """
        special = [self.unlabelled] if self.background is None else [self.unlabelled, self.background]
        taken = set(special) & set(catalogue.mask_values)
        if taken or len(set(special)) < len(special):
            raise ConfigurationError(
                f"scribbles: expected different values for unlabelled ({self.unlabelled}), background "
                f"({self.background}) and the classes ({first_of([str(v) for v in catalogue.mask_values], 8)})."
            )
        lookup = np.full(256, IGNORE, dtype=np.uint8)
        lookup[list(catalogue.mask_values)] = np.arange(1, catalogue.num_classes + 1)
        lookup[self.unlabelled] = UNLABELLED
        if self.background is not None:
            lookup[self.background] = BACKGROUND
        return lookup


@dataclass(frozen=True)
class Look:
    """What one file holds: pixels of each value, or why it cannot be used."""

    pixels: Mapping[int, int]
    problem: str | None = None


def scribbles_there(folder: Path, catalogue: Catalogue, ids: Sequence[str], all_files: bool = False) -> Files:
    """The files of these images, as far as there are any. Raises DataError where there is no folder."""
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing there"
        raise DataError(f"{folder}: expected a folder of scribble PNGs, found {found}.")
    return LabelFolder(folder, catalogue, SUFFIXES).find(ids, all_files)


def find_scribbles(folder: Path, catalogue: Catalogue, ids: Sequence[str], all_files: bool = False) -> Files:
    """The files of these images.

    Raises:
        DataError: images without a file, with several of them, or a folder of something else.
    """
    files = scribbles_there(folder, catalogue, ids, all_files)
    raise_together(files.problems)
    # of the whole folder: a part of the images may have no scribble, and these files may lie beside those of others
    strange = not files.paths and not LabelFolder(folder, catalogue, SUFFIXES).ids()
    if strange and (other := foreign_folder(folder)):
        raise DataError(f"{folder}: expected a folder of scribble PNGs (ID.png), found {with_remedy(other, REMEDY)}")
    lossy = [id for id in ids if id not in files.paths and (folder / f"{id}.jpg").is_file()]
    if lossy:
        raise DataError(
            f"{folder}: expected scribble PNGs, found JPEGs for {len(lossy)} images ({lossy[0]}.jpg). JPEG changes the "
            "values of pixels. Remedy: save the scribbles as PNG."
        )
    require_items(ids, files.paths, folder, "scribble PNGs", catalogue, files.strangers)
    return files


def read_scribble(path: Path, size: tuple[int, int]) -> Mask:
    """The values of a file, uint8 [H,W].

    Raises:
        DataError: it cannot be read, or is of another size than its image.
    """
    try:
        indices = read_indices(path)
    except BadFileError as bad:
        reason, of_colours, _ = str(bad).partition(". Set `labelmap`")  # an option of masks alone
        remedy = ". Write the number of each class in place of its colour (0 background, 1, 2, ..., 255 unlabelled)."
        raise DataError(f"{path}: {reason}{remedy if of_colours else ''}") from None
    if indices.shape != size or indices.max(initial=0) > 255:
        turned = " Width and height are exchanged: EXIF orientation?" if indices.shape == size[::-1] else ""
        raise DataError(
            f"{path}: expected values 0..255 of size {size} (H x W), found size {indices.shape}, up to "
            f"{indices.max(initial=0)}.{turned} Remedy: draw on the image as it is, in 8 bits, or scale what was drawn "
            "with the nearest neighbour."
        )
    return indices.astype(np.uint8)


def check_scribbles(
    folder: Path, values: Values, catalogue: Catalogue, ids: Sequence[str], workers: int
) -> tuple[dict[str, set[int]], list[Notice]]:
    """Look at every file once.

    Args:
        folder: of the files.
        values: what they mean.
        catalogue: of the images.
        ids: images to annotate.
        workers: processes that read.

    Returns:
        id -> classes 1..C with a stroke, and what may be wrong.

    Raises:
        DataError: everything that surely is wrong.
    """
    lookup = values.lookup(catalogue)
    files = find_scribbles(folder, catalogue, ids, all_files=True)
    items = [(path, catalogue.size(id)) for id, path in files.paths.items()]
    looks = in_processes(_look, items, workers, f"looking at {folder.name}")
    raise_together([look.problem for look in looks if look.problem])
    counted = {id: look.pixels for id, look in zip(files.paths, looks, strict=True)}
    drawn = {
        id: {int(lookup[value]) for value in pixels if 1 <= lookup[value] <= catalogue.num_classes}
        for id, pixels in counted.items()
    }
    notices = [*_strangers(folder, files, catalogue), *_values(folder, counted, files.paths, values, lookup, catalogue)]
    return drawn, notices


def _look(item: tuple[Path, tuple[int, int]]) -> Look:
    try:
        counts = np.bincount(read_scribble(*item).ravel(), minlength=256)
    except DataError as error:
        return Look({}, str(error))
    return Look({int(value): int(counts[value]) for value in np.flatnonzero(counts)})


def _strangers(folder: Path, files: Files, catalogue: Catalogue) -> Iterator[Notice]:
    if not files.strangers or catalogue.limit is not None:
        return
    names = ImageNames(catalogue)
    lines = [
        f"{name}{f' ({hint})' if place < 3 and (hint := names.hint(name.rpartition('.')[0])) else ''}"
        for place, name in enumerate(files.strangers)
    ]
    count = len(files.strangers)
    yield Notice(
        "scribbles_without_image",
        count,
        f"{folder}: {count} files belong to no image of catalogue '{catalogue.name}' and are left out: "
        f"{first_of(lines)}.",
    )


def _values(
    folder: Path,
    counted: Mapping[str, Mapping[int, int]],
    paths: Mapping[str, Path],
    values: Values,
    lookup: Mask,
    catalogue: Catalogue,
) -> Iterator[Notice]:
    totals: dict[int, int] = {}
    for pixels in counted.values():
        for value, count in pixels.items():
            totals[value] = totals.get(value, 0) + count
    everything = max(sum(totals.values()), 1)
    most = max(totals, key=lambda value: totals[value], default=values.unlabelled)
    share = totals.get(most, 0) / everything
    if counted and values.unlabelled not in totals:
        yield Notice(
            "scribbles_without_unlabelled", len(counted), _all_labelled(folder, len(counted), most, share, values)
        )
    classes = [f"{value} {name}" for value, name in zip(catalogue.mask_values, catalogue.class_names, strict=True)]
    if counted and not any(1 <= lookup[value] <= catalogue.num_classes for value in totals):
        held = first_of([str(value) for value in sorted(totals)], 8)
        yield Notice(
            "scribbles_without_class",
            len(counted),
            f"{folder}: no pixel of {len(counted)} files has the value of a class ({first_of(classes, 8)}); "
            f"they hold {held}.",
        )
    strange = sorted(value for value in totals if lookup[value] == IGNORE)
    if strange and catalogue.mask_values == tuple(range(1, catalogue.num_classes + 1)):
        with_them = [id for id, pixels in counted.items() if any(value in pixels for value in strange)]
        first = next(value for value in strange if value in counted[with_them[0]])
        ground = "no value" if values.background is None else values.background
        yield Notice(
            "scribbles_of_no_class",
            len(with_them),
            f"Scribbles with values of no class are void: {first_of([str(v) for v in strange], 8)}, in "
            f"{len(with_them)} of {len(counted)} files, such as {first} in {paths[with_them[0]]}. "
            f"Expected {ground} background, {first_of(classes, 8)}, {values.unlabelled} unlabelled.",
        )


def _all_labelled(folder: Path, count: int, most: int, share: float, values: Values) -> str:
    """That no pixel is unlabelled, and what the files are instead."""
    name = " = background" if most == values.background else ""
    text = f"{folder}: no pixel of {count} files is {values.unlabelled} (unlabelled), {share:.0%} are {most}{name}. "
    if share >= NEARLY_ALL:
        return (
            text
            + f"If {most} means unlabelled in your files, write `options: {{unlabelled: {most}}}`"
            + (
                ", and `background_value:` with the value of strokes on the background, if there are any."
                if most == values.background
                else "."
            )
        )
    return text + "If they are full masks, name their folder as the data set's `masks` and annotate with `kind: masks`."
