"""Where class-agnostic masks come from: files of SAM and of segmenters that write COCO results, or region maps.

A proposer is built from keyword options, and ``bind(file, catalogue)`` gives the function from an image's id to its
:class:`models.structures.Proposals`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np

from models.errors import ConfigurationError, DataError
from models.ops.oversegmentation import RegionOptions
from models.ops.run_lengths import Region
from models.options import Count, Share
from models.structures import Proposals
from pipeline.annotations.files import require_items
from pipeline.annotations.items import Known, raise_together
from pipeline.annotations.json_files import json_content
from pipeline.annotations.label_folder import Files, LabelFolder
from pipeline.annotations.regions import RegionSource
from pipeline.datasets.catalogue import Catalogue
from pipeline.datasets.coco_shapes import read_shape, region_of
from pipeline.datasets.coco_values import short
from pipeline.datasets.image_names import ImageNames
from pipeline.datasets.images import BadFileError
from pipeline.problems.notices import Notice, first_of

Source: TypeAlias = Callable[[str], Proposals]
Masks: TypeAlias = Sequence[Mapping[str, Any]]

SAM = "the JSON of SAM's automatic masks (a list of segmentation, area, predicted_iou, stability_score)"
COCO = "COCO results (a list of image_id, segmentation, score), or COCO's JSON whose annotations have a score"


class SamFiles:
    """SAM's masks of everything: a folder with one JSON an image."""

    seen: ClassVar[str] = "masks"

    def __init__(
        self,
        score: Literal["predicted_iou", "stability_score"] = "predicted_iou",
        least_score: Share = 0.0,
        least_area: Count = 1,
    ) -> None:
        """Choose what counts.

        Args:
            score: which of SAM's two is the score; what lies beyond [0,1] is clipped (SAM guesses IoUs above 1).
            least_score: masks of a smaller score are left out.
            least_area: masks of fewer pixels are left out.
        """
        self.score, self.least_score, self.least_area = score, least_score, least_area

    def bind(self, file: Path, catalogue: Catalogue) -> Source:
        """From an id to its proposals. Raises DataError: a file is missing or wrong."""

        def read(id: str) -> Proposals:
            path = self._files(file, catalogue, [id]).paths[id]
            content = json_content(path, SAM)
            masks = content.get("annotations") if isinstance(content, Mapping) else content  # SA-1B has it inside
            if not isinstance(masks, list):
                raise DataError(f"{path}: expected {SAM}, found {short(content)}.")
            return self._proposals(path, masks, catalogue.size(id))

        return read

    def check(self, file: Path, catalogue: Catalogue, ids: Sequence[str]) -> list[Notice]:
        """Files that belong to no image. Raises DataError: images without a file, all of them."""
        files = self._files(file, catalogue, ids, all_files=True)
        if not files.strangers or catalogue.limit is not None:
            return []
        text = f"{file}: {len(files.strangers)} files belong to no image of catalogue '{catalogue.name}': "
        return [Notice("proposals_without_image", len(files.strangers), f"{text}{first_of(files.strangers)}.")]

    def _proposals(self, path: Path, masks: Masks, size: tuple[int, int]) -> Proposals:
        scored = [(mask, min(max(_score(path, mask, self.score), 0.0), 1.0)) for mask in masks]
        return _kept(path, scored, size, self.least_score, self.least_area)

    def _files(self, file: Path, catalogue: Catalogue, ids: Sequence[str], all_files: bool = False) -> Files:
        if not file.is_dir():
            raise DataError(f"{file}: expected a folder with {SAM} for each image, found no folder.")
        files = LabelFolder(file, catalogue, (".json",)).find(ids, all_files)
        raise_together(files.problems)
        require_items(ids, files.paths, file, "files of SAM's masks", catalogue, files.strangers)
        return files


class CocoResults:
    """Masks of a segmenter that writes COCO results (EntitySeg, detectron2, mmdetection); categories are not read."""

    seen: ClassVar[str] = "masks"

    def __init__(self, least_score: Share = 0.0, least_area: Count = 1) -> None:
        """Choose what counts.

        Args:
            least_score: masks of a smaller score are left out (ModuSeg 0.6).
            least_area: masks of fewer pixels are left out (ModuSeg 300).
        """
        self.least_score, self.least_area = least_score, least_area

    def bind(self, file: Path, catalogue: Catalogue) -> Source:
        """From an id to its proposals; none for an image that the file does not name. Raises DataError: it is wrong."""
        by_id, _ = self._read(file, catalogue)

        def read(id: str) -> Proposals:
            scored = [(mask, _checked_share(file, mask, _score(file, mask, "score"))) for mask in by_id.get(id, ())]
            return _kept(file, scored, catalogue.size(id), self.least_score, self.least_area)

        return read

    def check(self, file: Path, catalogue: Catalogue, ids: Sequence[str]) -> list[Notice]:
        """Names of images that the catalogue does not have. Raises DataError: the file has none of the images."""
        by_id, strangers = self._read(file, catalogue)
        if not any(id in by_id for id in ids):
            raise DataError(
                f"{file}: expected masks of {len(ids)} images, found none of them. image_id there are such as "
                f"{first_of(strangers) or 'of no image'}, ids of the catalogue such as {first_of(ids)}. "
                "Remedy: write the images' names as image_id, or give the file a list `images` with id and file_name."
            )
        if not strangers or catalogue.limit is not None:
            return []
        text = f"{file}: {len(strangers)} of its images are not in catalogue '{catalogue.name}': {first_of(strangers)}."
        return [Notice("proposals_without_image", len(strangers), text)]

    def _read(self, file: Path, catalogue: Catalogue) -> tuple[dict[str, list[Any]], list[str]]:
        try:
            written = file.stat().st_mtime_ns
        except OSError:
            raise DataError(f"{file}: expected {COCO}, found no such file.") from None
        return _by_image(file, Path.cwd(), written, Known.of(catalogue))


@dataclass(frozen=True)
class RegionMaps(RegionOptions):
    """The regions of a partition, each of them a mask of score 1: of an oversegmentation, or your own maps.

    Options are those of ``regions`` in ``annotate``. With the method "files", ``file`` and ``folder`` are the same.
    """

    seen: ClassVar[str] = "nothing"

    def bind(self, file: Path, catalogue: Catalogue) -> Source:
        """From an id to its proposals. Raises DataError: a map is missing or wrong."""
        source = self._source(file, catalogue)

        def cut(id: str) -> Proposals:
            regions = source(id)
            masks = regions == np.unique(regions)[:, None, None]
            return Proposals(masks, np.ones(len(masks), np.float32))

        return cut

    def check(self, file: Path, catalogue: Catalogue, ids: Sequence[str]) -> list[Notice]:
        """As :meth:`pipeline.annotations.regions.RegionSource.check`."""
        return self._source(file, catalogue).check(ids)

    def _source(self, file: Path, catalogue: Catalogue) -> RegionSource:
        if self.folder and Path(self.folder) != file:
            raise ConfigurationError(
                f"import_proposals: expected file: {self.folder} with regions of that folder, found {file}. "
                "DVC watches `file`."
            )
        return RegionSource(self, catalogue)


def _score(path: Path, mask: Any, key: str) -> float:
    value = mask.get(key) if isinstance(mask, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise DataError(f"{path}: expected masks with a number `{key}`, found {short(mask)}.")
    return float(value)


def _checked_share(path: Path, mask: Any, score: float) -> float:
    if not 0 <= score <= 1:
        raise DataError(f"{path}: expected scores in [0,1], found {score:g} ({short(mask)}).")
    return score


def _kept(
    path: Path, scored: Iterable[tuple[Mapping[str, Any], float]], size: tuple[int, int], least: float, area: int
) -> Proposals:
    """Those masks that count, in the order of the file; one without pixels never does."""
    masks: list[Region] = []
    scores: list[float] = []
    for mask, score in scored:
        if score < least:
            continue
        region = _region(path, mask, size)
        if region.sum() >= max(area, 1):
            masks.append(region)
            scores.append(score)
    stacked = np.stack(masks) if masks else np.zeros((0, *size), np.bool_)
    return Proposals(stacked, np.array(scores, np.float32))


def _region(path: Path, mask: Mapping[str, Any], size: tuple[int, int]) -> Region:
    try:
        if not mask.get("segmentation"):
            raise BadFileError("masks with a segmentation of run lengths or polygons", short(mask))
        return region_of(read_shape({"segmentation": mask["segmentation"]}, 1, size), size)
    except BadFileError as bad:
        raise DataError(
            f"{path}: expected {bad.expected}, found {bad.found}. Remedy: masks of the images as they are stored, "
            "neither resized nor turned."
        ) from None


@lru_cache(maxsize=2)
def _by_image(file: Path, cwd: Path, written: int, known: Known) -> tuple[dict[str, list[Any]], list[str]]:
    """Masks by the id of their image, and names of images that the catalogue lacks: read once a process."""
    content = json_content(file, COCO)
    names: dict[str, str] = {}
    if isinstance(content, Mapping):
        listed = content.get("images")
        for image in listed if isinstance(listed, list) else ():
            if isinstance(image, Mapping):
                key, named = str(image.get("id")), str(image.get("file_name"))
                if names.setdefault(key, named) != named:
                    raise DataError(
                        f"{file}: expected an id of its own for each image, found {key} twice: "
                        f"'{names[key]}' and '{named}'."
                    )
        content = content.get("annotations")
    if not isinstance(content, list) or not all(isinstance(mask, Mapping) for mask in content):
        raise DataError(f"{file}: expected {COCO}, found {short(content)}.")
    images, by_id, strangers = ImageNames(known.catalogue), dict[str, list[Any]](), dict[str, None]()
    for mask in content:
        name = str(mask.get("image_id"))
        id = images.find(names.get(name, name)) or images.find(name.zfill(12))  # COCO's own ids have 12 digits
        if id is None:
            strangers.setdefault(name)
        else:
            by_id.setdefault(id, []).append(mask)
    return by_id, list(strangers)
