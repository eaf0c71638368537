"""Fetch COCO's own archives and unpack them as they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models.errors import ConfigurationError, DataError, closest
from pipeline.datasets.coco_images import ROOTS, SAMPLE, find_images
from pipeline.datasets.coco_split import annotations_path
from pipeline.storage.whole import scratch_at

HOST = "http://images.cocodataset.org"
ARCHIVES = {
    "train2014": ("zips/train2014.zip", "0da8c0bd3d6becc4dcb32757491aca88"),
    "val2014": ("zips/val2014.zip", "a3d79f5ed8d289b7a7554ce06a5782b3"),
    "train2017": ("zips/train2017.zip", "cced6f7f71b7629ddf16f17bbcfab6b2"),
    "val2017": ("zips/val2017.zip", "442b8da7639aecaf257c1dceb8ba8c80"),
    "annotations2014": ("annotations/annotations_trainval2014.zip", "0a379cfc70b0e71301e0f377548639bd"),
    "annotations2017": ("annotations/annotations_trainval2017.zip", "f4bbac642086de4f52a3fdda2de5fa2c"),
}
"""Path on the host, and MD5: the archives are large enough for a broken copy to be likely."""
IMAGES = ("train2014", "val2014", "train2017", "val2017")


def fetch_annotations(root: Path, names: Sequence[str]) -> None:
    """Put the annotations of ``names`` (train2014, ..., or JSONs under ``root``) there; what is there stays.

    Raises:
        ConfigurationError: a name that is not there and that COCO does not have.
        DataError: no network, no space or a damaged archive; whole parts are kept.
    """
    lacking = [name for name in names if not annotations_path(root, name).is_file()]
    for name in lacking:
        _require_known(name)
    for name in lacking:
        if not annotations_path(root, name).is_file():  # a year's archive has those of both splits
            _fetch(root, f"annotations{name[-4:]}", "annotations", "annotations")


def fetch_images(root: Path, name: str, folder: str | None, folders: Sequence[str], listed: Sequence[str]) -> None:
    """Put the images of ``name`` under ``root``, where :func:`find_images` finds none of them.

    Args:
        root: of the data set.
        name: train2014, ...
        folder: where the user says that they are; None for the usual places.
        folders: places under ``root`` where they are looked for.
        listed: names of the images.

    Raises:
        ConfigurationError, DataError: as :func:`fetch_annotations`.
    """
    own = [name, *(f"{place}/{name}" for place in ROOTS)] if folder is None else [folder]
    if not any(_has_files(root / place) for place in own) and not _are_there(root, folders, listed):
        _require_known(name)
        _fetch(root, name, name, folder or name)


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _are_there(root: Path, folders: Sequence[str], listed: Sequence[str]) -> bool:
    """Whether a few of the images are found, all of them: another split's may lie in the same folder."""
    try:
        return all(image.exists for image in find_images(root, folders, listed[:: max(len(listed) // SAMPLE, 1)]))
    except DataError:
        return False


def _require_known(name: str) -> None:
    if name not in IMAGES:
        raise ConfigurationError(f"coco: '{name}' cannot be downloaded.{closest(name, IMAGES)}")


def _fetch(root: Path, archive: str, folder: str, target: str) -> None:
    """Unpack beside, then move an archive's folder to ``target``, so that a folder that is there is whole."""
    from torchvision.datasets.utils import download_and_extract_archive

    path, md5 = ARCHIVES[archive]
    try:
        with scratch_at(root / f"{archive}.partial") as scratch:
            download_and_extract_archive(f"{HOST}/{path}", str(root), str(scratch), md5=md5, remove_finished=True)
            if not (root / target).exists():
                (root / target).parent.mkdir(parents=True, exist_ok=True)
                (scratch / folder).replace(root / target)
            else:
                for file in (scratch / folder).iterdir():
                    file.replace(root / target / file.name)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"coco: the download of {HOST}/{path} to {root} failed ({error}).\n"
            "Without internet, put COCO there by hand (annotations/instances_train2014.json, "
            "annotations/instances_val2014.json, train2014/, val2014/) and set `download: false`."
        ) from None
