"""ilsvrc: ImageNet's localisation task in the folder layout, labelled by folders, XML files or wsolevaluation's lists.

Tags and boxes, no masks: more classes than a mask can hold are welcome.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from models.errors import ConfigurationError, DataError, closest
from pipeline.datasets.folder_images import files_below
from pipeline.datasets.image_lists import listed_in
from pipeline.datasets.lines import read_lines
from pipeline.datasets.listing import Listed, Listing
from pipeline.datasets.voc_xml import object_boxes
from stages.prepare import Problem

OWN_SPLITS = {"train": "train", "val": "val"}
SUFFIXES = (".jpeg", ".jpg", ".png")


def ilsvrc(
    root: str,
    *,
    splits: dict[str, str] = OWN_SPLITS,
    images: str = ".",
    annotations: str | None = None,
    metadata: str | None = None,
    classes: str | None = None,
    upright: bool = False,
) -> Listing:
    """List a folder of images of one class each.

    With ``metadata``, a split is named by its lists: image_ids.txt (paths below ``images``), class_labels.txt
    (``path,class``, classes from 0) and, where there are boxes, localization.txt (``path,x0,y0,x1,y1``, a line for
    each box) and image_sizes.txt (``path,width,height``), as wsolevaluation has them for ILSVRC and CUB. Without, a
    split is a folder with a folder of images for each class, or (val) of images whose class is in their XML file.

    Args:
        root: relative to the project root.
        splits: split name to the folder of its images, or to that of its lists under ``metadata``.
        images: folder of the images under ``root`` (the devkit: Data/CLS-LOC).
        annotations: folder of the XML files under ``root`` (Annotations/CLS-LOC); where an image has one, its boxes
            come from it.
        metadata: folder of the lists under ``root``.
        classes: file under ``root`` with a line ``wnid words`` for each class, in order (LOC_synset_mapping.txt). None
            takes the sorted names of the class folders.
        upright: apply EXIF orientation, where boxes were drawn on upright photos.

    Raises:
        ConfigurationError: both ``annotations`` and ``metadata``.
        DataError: a folder or list that is missing, or no class.
    """
    if annotations is not None and metadata is not None:
        raise ConfigurationError("ilsvrc: expected annotations or metadata, found both. Leave one of them out.")
    base = Path(root)
    problems: list[Problem] = []
    known = None if classes is None else _class_list(base / classes)
    if metadata is not None:
        wnids, listed = listed_in(base / metadata, splits, problems)
        wnids = [wnid for wnid, _ in known] if known else wnids
    else:
        xml = None if annotations is None else base / annotations
        folder = _folder_at(base / images, "images")
        files = {split: _files(folder, PurePosixPath(name)) for split, name in splits.items()}
        wnids = [wnid for wnid, _ in known] if known else _folders(files)
        listed = {split: _by_folder(files[split], wnids, folder, xml, problems) for split in splits}
    if not wnids:
        raise DataError(f"{base}: expected a folder for each class in {', '.join(splits.values())}, found no class.")
    names = tuple(f"{wnid} {words}".strip() for wnid, words in known) if known else tuple(wnids)
    ids = _ids(item.image for items in listed.values() for item in items)
    placed = {split: [_placed(item, ids, images) for item in items] for split, items in listed.items()}
    problems = [replace(bad, id=ids.get(bad.id, bad.id)) for bad in problems]
    values = tuple(range(1, len(names) + 1))
    return Listing(base.as_posix(), names, placed, values, len(names), problems, upright=upright)


def _class_list(path: Path) -> list[tuple[str, str]]:
    """(wnid, the first of its words) in order; two classes may share words, but no wnid."""
    return [(line.key, line.rest.split(",")[0]) for line in read_lines(path)]


def _folder_at(folder: Path, option: str) -> Path:
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a folder, found none. Set `root` and `{option}`.")
    return folder


File: TypeAlias = tuple[PurePosixPath, str | None]
"""An image, relative to the folder of all images, and the name of its class folder where it lies in one."""


def _files(folder: Path, name: PurePosixPath) -> list[File]:
    """Images of a split, sorted; class folders may be links to folders elsewhere."""
    listed = map(PurePosixPath, files_below(_folder_at(folder / name, "splits")))
    paths = sorted(path for path in listed if path.suffix.lower() in SUFFIXES)
    return [(name / path, path.parts[0] if len(path.parts) > 1 else None) for path in paths]


def _folders(by_split: dict[str, list[File]]) -> list[str]:
    """Sorted names of the class folders of all splits."""
    return sorted({wnid for files in by_split.values() for _, wnid in files if wnid is not None})


def _by_folder(
    files: Sequence[File], wnids: Sequence[str], folder: Path, xml: Path | None, problems: list[Problem]
) -> list[Listed]:
    """Images and problems, called by their paths: ids are given when all splits are listed."""
    number = {wnid: k for k, wnid in enumerate(wnids, start=1)}
    items = []
    for path, class_folder in files:
        id, where = path.as_posix(), str(folder / path)
        annotation = None if xml is None else xml / path.with_suffix(".xml")
        objects = _objects(path, annotation, problems) if annotation is not None and annotation.is_file() else []
        classes = {class_folder} if class_folder is not None else {name for name, _ in objects}
        label = next(iter(classes)) if len(classes) == 1 else None
        if label is None:
            found = f"{', '.join(sorted(classes))}" if classes else f"no class folder and no {annotation or 'XML file'}"
            problems.append(Problem(id, where, "one class", found))
        elif label not in number:
            problems.append(Problem(id, where, "a known class", f"'{label}'.{closest(label, number)}"))
        tags = (number[label],) if label in number else None
        corners = tuple(box for name, box in objects if name == label)
        items.append(Listed(id, id, tags=tags, where=where, boxes=corners or None))
    return items


def _objects(
    path: PurePosixPath, annotation: Path, problems: list[Problem]
) -> list[tuple[str, tuple[float, float, float, float]]]:
    """(wnid, corners) of an XML file. Corners are taken as they stand, as wsolevaluation does."""
    try:
        return [(name, box) for name, _, box in object_boxes(annotation, first=0)]
    except DataError as error:
        found = str(error).partition("found ")[2]
        problems.append(Problem(path.as_posix(), str(annotation), "a VOC annotation XML", found))
        return []


def _ids(images: Iterable[str]) -> dict[str, str]:
    """Path to id: the name, or the whole path where files of different folders share a name."""
    paths = {path: PurePosixPath(path) for path in images}
    counts = Counter(path.stem for path in paths.values())
    return {
        name: path.stem if counts[path.stem] == 1 else "_".join(path.with_suffix("").parts)
        for name, path in paths.items()
    }


def _placed(item: Listed, ids: Mapping[str, str], images: str) -> Listed:
    return replace(item, id=ids[item.image], image=(PurePosixPath(images) / item.image).as_posix())
