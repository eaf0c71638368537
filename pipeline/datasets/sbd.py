"""The masks of SBD (Hariharan et al. 2011) beside those of VOC 2012: as published, or as the PNGs that people share."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from scipy.io import loadmat

from models.errors import DataError
from pipeline.datasets.images import BadFileError, write_indices
from pipeline.datasets.listing import Listed
from pipeline.datasets.parallel import in_processes
from pipeline.datasets.regular import open_regular
from stages.prepare import Problem, id_problem

TRAIN_AUG = "train_aug"
MASKS, INSTANCES = "masks", "instances"
BELOW = (".", "cls", "dataset/cls", "benchmark_RELEASE/dataset/cls", "SegmentationClassAug")


@dataclass(frozen=True)
class Sbd:
    """Files of masks by id: .mat with GTcls, or .png with the values of VOC."""

    files: dict[str, Path]

    @classmethod
    def find(cls, root: Path) -> Sbd:
        """Look for the masks at ``root`` and where the archive has them.

        Raises:
            DataError: there are none.
        """
        for below in BELOW:
            for suffix in (".mat", ".png"):
                files = {path.stem: path for path in sorted((root / below).glob(f"*{suffix}"))}
                if files:
                    return cls(files)
        raise DataError(
            f"{root}: expected SBD's masks (benchmark_RELEASE/dataset/cls/*.mat, or a folder SegmentationClassAug of "
            "*.png), found none. Point `sbd` to them, or leave it out."
        )


@dataclass(frozen=True)
class MasksToCopy:
    """Where the mask and the instances of an image are to be copied from."""

    id: str
    mask: Path
    instances: Path | None


def choose(
    listed: Sequence[Listed], folder: Path, sbd: Sbd, problems: list[Problem]
) -> tuple[list[Listed], list[MasksToCopy]]:
    """Images with masks in the artefact's own folder: VOC's where it has one, SBD's for the others."""
    items, files = [], []
    for item in listed:
        if id_problem(item.id, item.where) is not None:  # is refused later; its file may lead anywhere
            items.append(item)
            continue
        voc_mask = None if item.mask is None else folder / item.mask
        in_voc = voc_mask is not None and voc_mask.is_file()
        mask = voc_mask if in_voc else sbd.files.get(item.id)
        instances = folder / item.instances if in_voc and item.instances is not None else None
        if mask is None:
            problems.append(Problem(item.id, item.where, f"a mask of VOC ({voc_mask}) or SBD", "none"))
        else:
            files.append(MasksToCopy(item.id, mask, instances))
        places = f"{MASKS}/{item.id}.png", f"{INSTANCES}/{item.id}.png"
        own_mask, own_instances = (
            place if there else None for place, there in zip(places, (mask, instances), strict=True)
        )
        items.append(
            Listed(item.id, item.image, own_mask, own_instances, item.tags, item.where, mask_from=str(mask or ""))
        )
    return items, files


def copy_all(
    images: Path, truth: Path, workers: int, ids: Collection[str], *, files: Sequence[MasksToCopy]
) -> list[Problem]:
    """Write masks/ and instances/ of ``ids`` under ``truth``."""
    for folder in (MASKS, INSTANCES):
        (truth / folder).mkdir()
    wanted = [file for file in files if file.id in ids]
    problems = in_processes(partial(_copy, truth=truth), wanted, workers, "copying masks")
    return [problem for problem in problems if problem is not None]


def _copy(files: MasksToCopy, truth: Path) -> Problem | None:
    if files.instances is not None:
        shutil.copyfile(files.instances, truth / INSTANCES / f"{files.id}.png")
    target = truth / MASKS / f"{files.id}.png"
    if files.mask.suffix.lower() != ".mat":  # VOC's own may be of several formats; readers go by the content
        shutil.copyfile(files.mask, target)
        return None
    try:
        write_indices(target, read_mat(files.mask))
    except BadFileError as bad:
        return Problem(files.id, str(files.mask), bad.expected, bad.found)
    return None


MOST_MAT_BYTES = 2**20
"""SBD's largest have a few tens of thousands; a .mat may unpack to a thousand times its size."""


def read_mat(path: Path) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """uint8 [H,W] of a file of SBD.

    Raises:
        BadFileError: not such a file.
    """
    if (size := path.stat().st_size if path.is_file() else 0) > MOST_MAT_BYTES:
        raise BadFileError(f"a .mat file of SBD (at most {MOST_MAT_BYTES:,} bytes)", f"{size:,} bytes")
    try:
        with open_regular(path) as file:
            content = loadmat(file, variable_names=["GTcls"])
        mask = content["GTcls"]["Segmentation"][0, 0]
    except Exception as error:  # scipy raises many kinds for damaged files
        raise BadFileError("a .mat file of SBD (GTcls.Segmentation)", f"{type(error).__name__}: {error}") from None
    if mask.dtype != np.uint8 or mask.ndim != 2:
        raise BadFileError("a mask of 8-bit classes", f"{mask.dtype} of shape {mask.shape}")
    return np.ascontiguousarray(mask)
