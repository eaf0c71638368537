"""Fetch VOC 2012 and SBD with torchvision and lay them out as VOC with SegmentationClassAug and train_aug."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from models.errors import DataError
from pipeline.datasets.sbd import TRAIN_AUG
from pipeline.datasets.voc_files import VocFiles, find_devkit
from pipeline.storage.whole import scratch_at, whole_folder

AUG, MASKS = "SegmentationClassAug", "SegmentationClass"
SBD, LISTS = "SBD", "ImageSets/Segmentation"
PARTS_OF_SBD = ("cls", "img", "train.txt", "val.txt")


def download_voc(root: Path, lists: Collection[str], masks: str | None, sbd: str | None = None) -> None:
    """Make ``root/VOCdevkit/VOC2012`` where ``root`` has no VOC folder; and the list and masks of train_aug if asked.

    What is there stays as it is: SBD is fetched only where train_aug or its masks are wanted and are nowhere.

    Args:
        root: as in :func:`pipeline.datasets.voc.voc`.
        lists: names of the lists that the splits take.
        masks, sbd: as there.

    Raises:
        ConfigurationError: a VOC folder without its own lists.
        DataError: no network or no space, where whole parts are kept; or a part that is there and not whole.
    """
    folder = find_devkit(root)
    if folder is None:
        folder = root / "VOCdevkit" / "VOC2012"
        _fetch_voc(root, folder)
    lacks_aug = _lacks_aug(root, folder, lists, masks, sbd)
    if (masks == MASKS or lacks_aug) and not (folder / MASKS).is_dir():
        raise _not_whole(folder, f"{MASKS}/")
    if lacks_aug:
        files = VocFiles.find(folder, MASKS)
        _write_aug(files, _lists_of_voc(files), _sbd(root))


def _lacks_aug(root: Path, folder: Path, lists: Collection[str], masks: str | None, sbd: str | None) -> bool:
    """Whether the reader will ask for SBD's masks, or for a list that is made of them, and not find them."""
    if (folder / AUG).is_dir() or masks == AUG:
        return not (folder / AUG).is_dir()
    if sbd is not None:  # what is named elsewhere is the user's own
        return not Path(sbd).exists() and Path(sbd).is_relative_to(root / SBD)
    listed = (folder / LISTS / f"{TRAIN_AUG}.txt").is_file() or masks not in (None, MASKS)
    return TRAIN_AUG in lists and not listed


def _fetch_voc(root: Path, folder: Path) -> None:
    """Unpack beside, then move, so that a folder that is there is whole."""
    if folder.is_dir() and any(folder.iterdir()):
        raise _not_whole(folder, "JPEGImages/ and ImageSets/")
    from torchvision.datasets.utils import download_and_extract_archive
    from torchvision.datasets.voc import DATASET_YEAR_DICT

    known = DATASET_YEAR_DICT["2012"]
    try:
        with scratch_at(root / "VOC2012.partial") as scratch:
            download_and_extract_archive(
                known["url"], str(root), str(scratch), filename=known["filename"], md5=known["md5"]
            )
            folder.parent.mkdir(parents=True, exist_ok=True)
            (scratch / known["base_dir"]).replace(folder)
    except (OSError, RuntimeError) as error:
        raise _failed(root, error) from None


def _sbd(root: Path) -> list[Any]:
    """SBD's train and val, fetched where they are not in ``root``."""
    from torchvision.datasets import SBDataset
    from torchvision.datasets.utils import download_and_extract_archive

    folder = root / SBD
    if not any((folder / part).exists() for part in PARTS_OF_SBD):
        try:
            with scratch_at(root / f"{SBD}.partial") as scratch:
                download_and_extract_archive(
                    SBDataset.url, str(folder), str(scratch), filename=SBDataset.filename, md5=SBDataset.md5
                )
                for part in sorted((scratch / "benchmark_RELEASE" / "dataset").iterdir()):
                    part.replace(folder / part.name)
        except (OSError, RuntimeError) as error:
            raise _failed(root, error) from None
    lacking = [part for part in PARTS_OF_SBD if not (folder / part).exists()]
    if lacking:
        raise _not_whole(folder, ", ".join(lacking))
    return [SBDataset(str(folder), image_set=name, mode="segmentation") for name in ("train", "val")]


def _lists_of_voc(files: VocFiles) -> dict[str, list[str]]:
    """The ids of VOC's own train and val, which must have masks."""
    ids = {name: [id for id, _ in files.ids(name)] for name in ("train", "val")}
    every = [id for named in ids.values() for id in named]
    bare = [id for id in every if id not in files.mask_names]
    if bare:
        raise _not_whole(files.folder, f"{len(bare)} of {len(every)} masks ({MASKS}/{bare[0]}.png)")
    return ids


def _write_aug(files: VocFiles, lists_of_voc: Mapping[str, list[str]], parts: Sequence[Any]) -> None:
    """SBD masks for all ids that VOC's own train and val lack; VOC's masks for those."""
    folder = files.folder
    with whole_folder(folder / AUG) as scratch:
        for id in lists_of_voc["train"] + lists_of_voc["val"]:
            shutil.copyfile(folder / str(files.mask(id)), scratch / f"{id}.png")
        extra = set()
        for part in parts:
            for number, path in enumerate(part.masks):
                id = Path(path).stem
                if id not in lists_of_voc["train"] and id not in lists_of_voc["val"]:
                    part[number][1].convert("L").save(scratch / f"{id}.png")
                    extra.add(id)
        (folder / LISTS / f"{TRAIN_AUG}.txt").write_text("\n".join(sorted(extra | set(lists_of_voc["train"]))) + "\n")


def _failed(root: Path, error: Exception) -> DataError:
    return DataError(
        f"voc: the download to {root} failed ({error}).\n"
        "Without internet, put VOC 2012 there by hand (VOCdevkit/VOC2012 with JPEGImages/, SegmentationClass/, "
        "ImageSets/; SegmentationClassAug/ or `sbd` for the SBD masks) and set `download: false`."
    )


def _not_whole(folder: Path, lacking: str) -> DataError:
    return DataError(
        f"{folder}: expected a whole folder, or none, so that `download: true` fetches it; found one without "
        f"{lacking}. An unpacking that was interrupted leaves such a folder. Remedy: remove or rename it and run "
        "again, or put there what is missing."
    )
