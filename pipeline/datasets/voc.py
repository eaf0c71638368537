"""voc: the layout of PASCAL VOC 2012, with the SBD masks of train_aug where they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from models.errors import ConfigurationError, DataError, closest
from pipeline.datasets.class_names import VOC_CLASSES
from pipeline.datasets.label_files import read_labels
from pipeline.datasets.listing import Listed, Listing
from pipeline.datasets.sbd import TRAIN_AUG, MaskFiles, Sbd, choose, copy_all
from pipeline.datasets.voc_xml import object_boxes
from stages.prepare import Problem

OWN_MASKS = "SegmentationClass"
OWN_LISTS = {"train": "train", "val": "val"}


def voc(
    root: str,
    *,
    splits: dict[str, str] = OWN_LISTS,
    classes: list[str] | None = None,
    masks: str | None = OWN_MASKS,
    labels: str | None = None,
    labels_key: str = "labels",
    sbd: str | None = None,
    download: bool = False,
) -> Listing:
    """List a VOC folder.

    Published image tags come from ``labels``; without it from Annotations/*.xml (objects that are not "difficult")
    where that folder is; else an image has none, and ``annotate`` derives tags from masks.

    Args:
        root: VOC2012, VOCdevkit, or the folder that holds VOCdevkit; relative to the project root.
        splits: split name to list name, a file of ImageSets/Segmentation without suffix, or a .txt relative to the
            project root. Where "train_aug" is no file, it is VOC's train and all of SBD but VOC's val (10,582 images).
        classes: names to keep, in the order of their new numbers; pixels of others become void. None keeps all 20.
        masks: mask folder, "SegmentationClassAug" where train_aug is a split; None for a data set without masks.
        labels: file of image labels, relative to the project root: JSON with a mapping ``labels_key`` from id to VOC
            class numbers, or cls_labels.npy of PSA, SEAM or IRN (a dict of arrays; no code in it is run).
        labels_key: which mapping of the JSON.
        sbd: folder of SBD (benchmark_RELEASE, or its cls/*.mat) or SegmentationClassAug anywhere, relative to the
            project root (DVC watches it where it lies in ``root``): masks of the images that have none in ``masks``.
        download: fetch VOC 2012 and SBD with torchvision when ``root`` has no VOC folder.

    Raises:
        ConfigurationError: unknown class, list or label key; or most of a split's masks are not there.
        DataError: no VOC folder at ``root``, or a file of lists or labels that cannot be read.
    """
    names = tuple(classes) if classes is not None else VOC_CLASSES
    values = tuple(_class_value(name) for name in names)
    if download:
        from pipeline.datasets.voc_download import download_voc

        download_voc(Path(root))
    folder = devkit(Path(root))
    masks_folder = _masks_folder(folder, masks)
    extra = None if sbd is None else Sbd.find(Path(sbd))
    problems: list[Problem] = []
    listed: dict[str, list[Listed]] = {}
    copied: dict[str, MaskFiles] = {}
    for split, list_name in splits.items():
        ids = _ids(folder, list_name, masks_folder, extra)
        tags = _published_tags(folder, labels, labels_key, ids, problems)
        listed[split] = [_listed(folder, masks_folder, id, where, tags.get(id), values) for id, where in ids]
        bare = [item.id for item in listed[split] if not (item.mask and (folder / item.mask).is_file())]
        drawn = [id for id in bare if extra is not None and id in extra.files]
        if len(bare) == len(ids) and not drawn:
            listed[split] = [Listed(i.id, i.image, None, None, i.tags, i.where) for i in listed[split]]
        elif len(bare) - len(drawn) > len(ids) / 2:
            raise ConfigurationError(
                f"voc: {len(bare) - len(drawn)} of {len(ids)} images of split '{split}' have no mask in "
                f"{folder / str(masks)}, such as {bare[0]}. Set `masks` to the folder that has them "
                "(SegmentationClassAug for train_aug), or `sbd` to where SBD lies."
            )
        elif extra is not None:
            listed[split], files = choose(listed[split], folder, extra, problems)
            copied.update((file.id, file) for file in files)
    listing = Listing(folder.as_posix(), names, listed, values, len(VOC_CLASSES), problems)
    copy = partial(copy_all, files=list(copied.values()))
    return listing if extra is None else replace(listing, make=copy, truth_root=".")


def devkit(root: Path) -> Path:
    """The folder with JPEGImages and ImageSets, at ``root`` or below.

    Raises:
        DataError: there is none.
    """
    for candidate in (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012", root / "VOCdevkit"):
        if (candidate / "JPEGImages").is_dir() and (candidate / "ImageSets").is_dir():
            return candidate
    raise DataError(
        f"{root}: expected a VOC folder (JPEGImages/, ImageSets/Segmentation/) here or below VOCdevkit/VOC2012, found "
        "none. Point `root` to it, or set `download: true` where there is internet."
    )


def _class_value(name: str) -> int:
    if name not in VOC_CLASSES:
        raise ConfigurationError(f"voc: unknown class '{name}'.{closest(name, VOC_CLASSES)}")
    return VOC_CLASSES.index(name) + 1


def _masks_folder(folder: Path, masks: str | None) -> str | None:
    if masks is not None and not (folder / masks).is_dir():
        there = [path.name for path in folder.iterdir() if path.is_dir()]
        raise ConfigurationError(
            f"voc: {folder} has no mask folder '{masks}'.{closest(masks, there)} "
            "Set `masks` to its name, or to null for a data set without masks."
        )
    return masks


def _stems(folder: Path, masks: str | None) -> set[str]:
    return {path.stem for path in (folder / masks).glob("*.png")} if masks is not None else set()


def _ids(folder: Path, list_name: str, masks: str | None = None, sbd: Sbd | None = None) -> list[tuple[str, str]]:
    """(id, "list line n"). DeepLab-style lists with two paths a line are understood."""
    lists = folder / "ImageSets" / "Segmentation"
    path = Path(list_name) if list_name.endswith(".txt") else lists / f"{list_name}.txt"
    if not path.is_file():
        more = set(sbd.files) if sbd is not None else _stems(folder, masks) if masks != OWN_MASKS else set()
        if list_name == TRAIN_AUG and more:
            own, val = ({id for id, _ in _ids(folder, name)} for name in ("train", "val"))
            return [(id, f"{TRAIN_AUG} (VOC's train, and SBD without VOC's val)") for id in sorted((own | more) - val)]
        known = [other.stem for other in lists.glob("*.txt")]
        raise ConfigurationError(f"voc: {lists} has no list '{list_name}'.{closest(list_name, known)}")
    ids = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip():
            word = line.split()[0]
            id = Path(word).stem if word.endswith((".jpg", ".png")) else word
            ids.append((id, f"{path} line {number}"))
    return ids


def _listed(
    folder: Path, masks: str | None, id: str, where: str, tags: Sequence[int] | None, values: tuple[int, ...]
) -> Listed:
    instances = f"SegmentationObject/{id}.png"
    return Listed(
        id=id,
        image=f"JPEGImages/{id}.jpg",
        mask=None if masks is None else f"{masks}/{id}.png",
        instances=instances if (folder / instances).is_file() else None,
        tags=None if tags is None else tuple(values.index(tag) + 1 for tag in sorted(set(tags)) if tag in values),
        where=where,
    )


def _published_tags(
    folder: Path, labels: str | None, key: str, ids: Sequence[tuple[str, str]], problems: list[Problem]
) -> Mapping[str, Sequence[int]]:
    """VOC class numbers by id; every image must have an entry in the file that publishes them."""
    if labels is not None:
        tags = read_labels(Path(labels), key, len(VOC_CLASSES))
        source = labels
    elif (folder / "Annotations").is_dir():
        there = [(id, folder / "Annotations" / f"{id}.xml") for id, _ in ids]
        tags = {id: _xml_tags(id, path, problems) for id, path in there if path.is_file()}
        source = str(folder / "Annotations")
    else:
        return {}
    for id, where in ids:
        if id not in tags:
            problems.append(Problem(id, where, f"image labels in {source}", "none for this id"))
        elif wrong := [tag for tag in tags[id] if not 1 <= tag <= len(VOC_CLASSES)]:
            problems.append(Problem(id, f"{source} '{id}'", f"classes 1..{len(VOC_CLASSES)}", str(wrong)))
    return tags


def _xml_tags(id: str, path: Path, problems: list[Problem]) -> list[int]:
    try:
        names = {name for name, difficult, _ in object_boxes(path) if not difficult}
    except DataError as error:
        problems.append(Problem(id, str(path), "a VOC annotation XML", str(error)))
        return []
    unknown = sorted(names - set(VOC_CLASSES))
    if unknown:
        problems.append(Problem(id, str(path), "objects of VOC classes", ", ".join(unknown)))
    return [VOC_CLASSES.index(name) + 1 for name in names if name in VOC_CLASSES]
