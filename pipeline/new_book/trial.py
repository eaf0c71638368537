"""Look at a user's folder as the stages will: same readers, same checks, on all images or the first of each split."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from models.doors import resolve
from models.errors import DataError
from pipeline.annotations import ANNOTATORS
from pipeline.annotations.unannotated import bind_kind, check_kind
from pipeline.compute.runtime import workers
from pipeline.datasets.build import make_catalogue
from pipeline.datasets.catalogue import Catalogue
from pipeline.datasets.listing import Listing
from pipeline.problems.notices import Notice, read_notices

BYTES = 1_500_000_000
"""Images of more bytes than this are not all opened: that would take minutes."""


@dataclass(frozen=True)
class Trial:
    """What ``prepare`` makes of a folder.

    Attributes:
        catalogue: of the images that are used.
        notices: what may be wrong.
        limit: so many images of each split were opened; None for all.
    """

    catalogue: Catalogue
    notices: tuple[Notice, ...]
    limit: int | None


def try_prepare(data: Path, options: Mapping[str, Any], listing: Listing) -> Trial:
    """Make the catalogue in a scratch folder, as ``prepare`` will with ``on_bad_image: skip``.

    Args:
        data: the folder.
        options: of the reader ``folder``.
        listing: what the reader says with these options.

    Raises:
        ConfigurationError, DataError: as ``prepare`` does, among them a split without a good image.
    """
    limit = _limit(data, listing)
    with TemporaryDirectory(prefix="weak2mask_") as scratch:
        places = Path(scratch, "images", "mine"), Path(scratch, "truth", "mine")
        catalogue = make_catalogue(
            "folder", *places, {"root": str(data), **options}, on_bad_image="skip", limit=limit, workers=workers()
        )
        return Trial(catalogue, read_notices(places[0]), limit)


def _limit(data: Path, listing: Listing) -> int | None:
    paths = [data / item.image for items in listing.splits.values() for item in items]
    sizes = [path.stat().st_size if path.is_file() else 0 for path in paths]  # a link may lead nowhere
    if sum(sizes) <= BYTES:
        return None
    return max(1, round(BYTES * len(sizes) / sum(sizes) / len(listing.splits)))


def try_annotations(
    kind: str, file: Path, catalogue: Catalogue, ids: Sequence[str], options: Mapping[str, Any] | None = None
) -> tuple[bool, list[str]]:
    """Read an annotation file as ``import_annotations`` will: whether it covers these images, and what to say.

    Raises:
        DataError: what is wrong with the file.
    """
    annotator = resolve(ANNOTATORS, kind, "kind of supervision")(file=str(file), **(options or {}))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        annotator.bind(catalogue, ())
        try:
            notices = check_kind(annotator, catalogue, ids, 0)
            bind_kind(annotator, catalogue, ids)
        except DataError as error:
            counted = re.search(r"for (\d+) images, found none for (\d+) of them", str(error))
            if counted is None:
                raise
            return False, [f"{file.name} has nothing for {counted[2]} of {counted[1]} training images: it is not used."]
    texts = [*(notice.text for notice in notices), *(str(warning.message) for warning in caught)]
    return True, list(dict.fromkeys(texts))
