"""A few images on which to compare an exported network with itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.errors import DataError
from models.ops.resize import resize_bilinear
from models.structures import Image
from pipeline.book.artifacts import artifact
from pipeline.datasets.catalogue import Catalogue
from pipeline.datasets.images import BadFileError, read_image
from pipeline.inference.inputs import find_images
from pipeline.inference.trained import Place

COUNT = 4


def comparison_images(place: Place, named: Sequence[str]) -> list[Image]:
    """Up to :data:`COUNT` images uint8 RGB [H,W,3]: of those that are named, else of the book's data, else made.

    Raises:
        DataError: a named image cannot be read.
    """
    if named:
        try:
            return [read_image(item.path, upright=True) for item in find_images(named)[:COUNT]]
        except BadFileError as bad:
            raise DataError(f"An image to compare on: {bad}.") from None
    return _of_book(place) or [_made(seed) for seed in range(COUNT)]


def _of_book(place: Place) -> list[Image]:
    if place.book is None or place.folder.name not in place.book.train:
        return []
    folder = artifact(place.book.book.work, "catalogues", place.book.train[place.folder.name].data)
    if not folder.is_dir():
        return []
    catalogue = Catalogue.load(folder)
    ids = sorted(catalogue.entries)
    try:
        return [catalogue.image(id) for id in ids[:: max(1, len(ids) // COUNT)][:COUNT]]
    except DataError:  # the data are no longer there, which is no reason not to export
        return []


def _made(seed: int) -> Image:
    """Coloured blobs, of another size for each seed."""
    random = np.random.default_rng(seed)
    size = (120 + 37 * seed, 200 - 23 * seed)
    smooth = resize_bilinear(random.random((3, 6, 7), np.float32), size)
    return np.ascontiguousarray(np.rint(255 * smooth).astype(np.uint8).transpose(1, 2, 0))
