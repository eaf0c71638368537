"""Fetch COCO's own archives and unpack them as they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models.errors import ConfigurationError, DataError, closest
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


def download_coco(root: Path, names: Sequence[str]) -> None:
    """Put ``names`` (train2014, ...) and their annotations under ``root``; what is there stays.

    Raises:
        ConfigurationError: a name that COCO does not have.
        DataError: no network, no space or a damaged archive; whole parts are kept.
    """
    for name in names:
        if name not in IMAGES:
            raise ConfigurationError(f"coco: '{name}' cannot be downloaded.{closest(name, IMAGES)}")
    for name in names:
        if not (root / "annotations" / f"instances_{name}.json").is_file():
            _fetch(root, f"annotations{name[-4:]}", "annotations")
        if not (root / name).is_dir():
            _fetch(root, name, name)


def _fetch(root: Path, archive: str, folder: str) -> None:
    """Unpack beside, then move, so that a folder that is there is whole."""
    from torchvision.datasets.utils import download_and_extract_archive

    path, md5 = ARCHIVES[archive]
    try:
        with scratch_at(root / f"{archive}.partial") as scratch:
            download_and_extract_archive(f"{HOST}/{path}", str(root), str(scratch), md5=md5, remove_finished=True)
            if not (root / folder).exists():
                (scratch / folder).replace(root / folder)
            else:
                for file in (scratch / folder).iterdir():
                    file.replace(root / folder / file.name)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"coco: the download of {HOST}/{path} to {root} failed ({error}).\n"
            "Without internet, put COCO there by hand (annotations/instances_train2014.json, "
            "annotations/instances_val2014.json, train2014/, val2014/) and set `download: false`."
        ) from None
