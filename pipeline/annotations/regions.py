"""Region maps of a data set's images: made once for each image and way to make them, or read from a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from models.errors import DataError
from models.ops.oversegmentation import FILES, RegionOptions, oversegment
from pipeline.annotations.files import require_items
from pipeline.annotations.items import raise_together
from pipeline.annotations.label_folder import Files, LabelFolder
from pipeline.compute.scratch import SCRATCH
from pipeline.compute.source import module_path
from pipeline.datasets.catalogue import Catalogue
from pipeline.datasets.images import BadFileError, read_indices
from pipeline.problems.notices import Notice, first_of
from pipeline.storage.whole import whole_file

Regions = npt.NDArray[np.int32]
CODE = ("models.ops.oversegmentation", "models.ops.region_merging")


@dataclass(frozen=True)
class RegionSource:
    """Gives the regions of an image by its id.

    Made regions are kept in ``.scratch/regions``, by the content of the image, its orientation, the options and the
    code, so that the supervisions of one data set share them. They are the same bytes without it.
    """

    options: RegionOptions
    catalogue: Catalogue

    @classmethod
    def of(cls, options: Mapping[str, Any] | None, catalogue: Catalogue) -> Self | None:
        """From what an entry says under ``regions:``; None where it says nothing."""
        return None if options is None else cls(RegionOptions(**options), catalogue)

    def __call__(self, id: str) -> Regions:
        """int32 [H,W].

        Raises:
            DataError: the image's file of regions is missing, of another kind or of another size.
        """
        if self.options.method == FILES:
            return self._read(id)
        turned = "upright" if self.catalogue.upright else "stored"  # a file's bytes do not say how it is turned
        name = f"{self.catalogue.entry(id).sha256}_{turned}.npz"
        kept = SCRATCH / "regions" / _identity(self.options) / name
        with suppress(OSError, ValueError, KeyError, EOFError, BadZipFile), np.load(kept) as arrays:
            regions: Regions = arrays["regions"]
            return regions  # where it is not there, or damaged, it is made again
        made = oversegment(self.catalogue.image(id), self.options)
        kept.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(kept, shared=True, durable=False) as scratch:
            np.savez_compressed(scratch, regions=made)
        return made

    def check(self, ids: Sequence[str]) -> list[Notice]:
        """Files of region maps that belong to no image.

        Raises:
            DataError: images whose file is missing, all of them.
        """
        if self.options.method != FILES:
            return []
        files = self._files(ids, all_files=True)
        if not files.strangers or self.catalogue.limit is not None:
            return []
        count = len(files.strangers)
        text = f"{self.options.folder}: {count} files belong to no image of catalogue '{self.catalogue.name}': "
        return [Notice("regions_without_image", count, f"{text}{first_of(files.strangers)}.")]

    def _files(self, ids: Sequence[str], all_files: bool = False) -> Files:
        folder = Path(self.options.folder)
        files = LabelFolder(folder, self.catalogue, (".png", ".tif", ".tiff")).find(ids, all_files)
        raise_together(files.problems)
        require_items(ids, files.paths, folder, "maps of regions", self.catalogue, files.strangers)
        return files

    def _read(self, id: str) -> Regions:
        path, size = self._files([id]).paths[id], self.catalogue.size(id)
        try:
            regions = read_indices(path)
        except BadFileError as bad:
            raise DataError(f"{path}: {bad}. Every image of the split needs its map of regions.") from None
        if regions.shape != size or regions.min(initial=0) < 0:
            turned = " Width and height are exchanged: EXIF orientation?" if regions.shape == size[::-1] else ""
            raise DataError(f"{path}: expected region ids of size {size} (H, W), found size {regions.shape}.{turned}")
        return regions


@cache
def _identity(options: RegionOptions) -> str:
    """What decides the regions of an image, beside its content."""
    code = [module_path(module).read_text(encoding="utf-8") for module in CODE]
    known = {"options": asdict(options), "code": code, "scikit-image": version("scikit-image")}
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:24]
