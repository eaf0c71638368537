"""Fetch VOC 2012 and SBD with torchvision and lay them out as VOC with SegmentationClassAug and train_aug."""

from __future__ import annotations

import shutil
from pathlib import Path

from models.errors import DataError
from pipeline.storage.whole import whole_folder

AUG = "SegmentationClassAug"


def download_voc(root: Path) -> None:
    """Make ``root/VOCdevkit/VOC2012`` with the train_aug list and masks (10,582 images); done parts are kept.

    Raises:
        DataError: no network or no space; nothing that was fetched is lost.
    """
    folder = root / "VOCdevkit" / "VOC2012"
    if (folder / "ImageSets" / "Segmentation" / "train_aug.txt").is_file() and (folder / AUG).is_dir():
        return
    from torchvision.datasets import SBDataset, VOCSegmentation

    try:
        if not (folder / "JPEGImages").is_dir():
            VOCSegmentation(str(root), year="2012", image_set="trainval", download=True)
        fetched = (root / "SBD" / "cls").is_dir()
        parts = [
            SBDataset(str(root / "SBD"), image_set=name, mode="segmentation", download=not fetched and name == "train")
            for name in ("train", "val")
        ]
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"voc: the download to {root} failed ({error}).\n"
            "Without internet, put VOC 2012 there by hand (VOCdevkit/VOC2012 with JPEGImages/, SegmentationClass/, "
            "ImageSets/; SegmentationClassAug/ or `sbd` for the SBD masks) and set `download: false`."
        ) from None
    _write_aug(folder, parts)


def _write_aug(folder: Path, parts: list[SBDataset]) -> None:  # type: ignore[name-defined]  # noqa: F821
    """SBD masks for all ids that VOC's own train and val lack; VOC's masks for those."""
    lists = folder / "ImageSets" / "Segmentation"
    lists_of_voc = {name: (lists / f"{name}.txt").read_text().split() for name in ("train", "val")}
    with whole_folder(folder / AUG) as scratch:
        for id in lists_of_voc["train"] + lists_of_voc["val"]:
            shutil.copyfile(folder / "SegmentationClass" / f"{id}.png", scratch / f"{id}.png")
        extra = set()
        for part in parts:
            for number, path in enumerate(part.masks):
                id = Path(path).stem
                if id not in lists_of_voc["train"] and id not in lists_of_voc["val"]:
                    part[number][1].convert("L").save(scratch / f"{id}.png")
                    extra.add(id)
        (lists / "train_aug.txt").write_text("\n".join(sorted(extra | set(lists_of_voc["train"]))) + "\n")
