"""voc: the layout of PASCAL VOC 2012, with the SBD masks of train_aug where they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from models.errors import ConfigurationError, DataError, closest
from pipeline.datasets.class_names import VOC_CLASSES
from pipeline.datasets.label_files import read_labels
from pipeline.datasets.labelmap import LabelMap, coloured
from pipeline.datasets.listing import Listed, Listing
from pipeline.datasets.sbd import TRAIN_AUG, MasksToCopy, Sbd, choose, copy_all
from pipeline.datasets.voc_files import VocFiles, devkit
from pipeline.datasets.voc_xml import object_boxes
from pipeline.problems.notices import Notice, first_of
from stages.prepare import Problem

OWN_MASKS = "SegmentationClass"
OWN_LISTS = {"train": "train", "val": "val"}


def voc(
    root: str,
    *,
    splits: dict[str, str] = OWN_LISTS,
    classes: list[str] | None = None,
    names: list[str] | None = None,
    labelmap: str | None = None,
    masks: str | None = OWN_MASKS,
    labels: str | None = None,
    labels_key: str = "labels",
    sbd: str | None = None,
    upright: bool = False,
    download: bool = False,
) -> Listing:
    """List a VOC folder.

    Published image tags come from ``labels``; without it from Annotations/*.xml (objects that are not "difficult")
    where that folder is; else an image has none, and ``annotate`` derives tags from masks.

    Args:
        root: VOC2012, VOCdevkit, or the folder that holds VOCdevkit; relative to the project root.
        splits: split name to list name, a file of ImageSets/Segmentation (of ImageSets/Main where that has none)
            without suffix, or a .txt relative to the project root. Where "train_aug" is no file, it is VOC's train and
            all of SBD but VOC's val (10,582 images).
        classes: names to keep, in the order of their new numbers; pixels of others become void. None keeps all.
        names: the data set's own classes, in the order of their values in the masks (from 1); None for VOC's 20.
        labelmap: for masks of colours, the file that says what each means (CVAT's labelmap.txt, or lines ``name,r,g,b``
            or ``r g b name``), in ``root`` or relative to the project root; or "voc" for VOC's own colours. Its
            classes, in their order, take the place of ``names``.
        masks: mask folder, "SegmentationClassAug" where train_aug is a split; None for a data set without masks.
        labels: file of image labels, relative to the project root: JSON with a mapping ``labels_key`` from id to VOC
            class numbers, or cls_labels.npy of PSA, SEAM or IRN (a dict of arrays; no code in it is run).
        labels_key: which mapping of the JSON.
        sbd: folder of SBD (benchmark_RELEASE, or its cls/*.mat) or SegmentationClassAug anywhere, relative to the
            project root (DVC watches it where it lies in ``root``): masks of the images that have none in ``masks``.
        upright: apply EXIF orientation, where masks were drawn on upright photos. VOC's are of the stored pixels.
        download: fetch VOC 2012 with torchvision when ``root`` has no VOC folder, and SBD when train_aug or
            SegmentationClassAug is asked for and not there.

    Raises:
        ConfigurationError: unknown class, list or label key; or most of a split's masks are not there.
        DataError: no VOC folder at ``root``, or a file of lists or labels that cannot be read.
    """
    if download:
        from pipeline.datasets.voc_download import download_voc

        download_voc(Path(root), list(splits.values()), masks, sbd)
    folder = devkit(Path(root))
    colours = _colours(labelmap, names, sbd, Path(root), folder)
    known = colours.names if colours is not None else tuple(names) if names is not None else VOC_CLASSES
    kept = tuple(classes) if classes is not None else known
    values = tuple(_class_value(name, known) for name in kept)
    files = VocFiles.find(folder, masks)
    extra = None if sbd is None else Sbd.find(Path(sbd))
    problems: list[Problem] = []
    listed: dict[str, list[Listed]] = {}
    copied: dict[str, MasksToCopy] = {}
    published = _Tags(folder, known, labels, labels_key)
    for split, list_name in splits.items():
        ids = _ids(files, list_name, extra)
        tags = published.of(ids, problems)
        listed[split] = [_listed(files, id, where, tags.get(id), values) for id, where in ids]
        bare = [item.id for item in listed[split] if item.id not in files.mask_names]
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
            listed[split], chosen = choose(listed[split], folder, extra, problems)
            copied.update((file.id, file) for file in chosen)
    published.raise_unknown()
    notices = [*files.notices(), *published.notices(listed, values)]
    listing = Listing(folder.as_posix(), kept, listed, values, len(known), problems, notices, upright)
    if names is not None and classes is None:
        listing = replace(listing, order_option="names")
    if colours is not None:
        return coloured(listing, colours)
    copy = partial(copy_all, files=list(copied.values()))
    return listing if extra is None else replace(listing, make=copy, truth_root=".")


def _colours(
    labelmap: str | None, names: list[str] | None, sbd: str | None, root: Path, folder: Path
) -> LabelMap | None:
    if labelmap is None:
        return None
    if names is not None or sbd is not None:
        other = "names" if names is not None else "sbd"
        raise ConfigurationError(f"voc: expected labelmap or {other}, found both. Leave one of them out.")
    return LabelMap.of(labelmap, root if (root / labelmap).is_file() else folder)


def _class_value(name: str, known: Sequence[str]) -> int:
    if name not in known:
        remedy = " Classes of your own: name all of them in `names`, in the order of their values in the masks."
        raise ConfigurationError(
            f"voc: unknown class '{name}'.{closest(name, known)}{remedy if known == VOC_CLASSES else ''}"
        )
    return known.index(name) + 1


def _ids(files: VocFiles, list_name: str, sbd: Sbd | None = None) -> list[tuple[str, str]]:
    """(id, "list line n"), and train_aug where no list of that name is."""
    if list_name == TRAIN_AUG and not files.list_path(list_name).is_file():
        more = set(sbd.files) if sbd is not None else set(files.mask_names) if files.masks != OWN_MASKS else set()
        if more:
            train, val = ({id for id, _ in files.ids(name)} for name in ("train", "val"))
            return [
                (id, f"{TRAIN_AUG} (VOC's train, and SBD without VOC's val)") for id in sorted((train | more) - val)
            ]
    return files.ids(list_name)


def _listed(files: VocFiles, id: str, where: str, tags: Sequence[int] | None, values: tuple[int, ...]) -> Listed:
    return Listed(
        id=id,
        image=files.image(id),
        mask=files.mask(id),
        instances=files.instances(id),
        tags=None if tags is None else tuple(values.index(tag) + 1 for tag in sorted(set(tags)) if tag in values),
        where=where,
    )


@dataclass(frozen=True)
class _Tags:
    """Published image labels, and what is odd about them.

    Attributes:
        folder: of VOC.
        known: class names, in the order of their numbers.
        labels, key: as in :func:`voc`.
        difficult: classes that only difficult objects of an image have, by id.
        unknown: names of no class to the XML files that have them, one entry an object.
    """

    folder: Path
    known: tuple[str, ...]
    labels: str | None
    key: str
    difficult: dict[str, set[int]] = field(default_factory=dict)
    unknown: dict[str, list[str]] = field(default_factory=dict)

    def of(self, ids: Sequence[tuple[str, str]], problems: list[Problem]) -> Mapping[str, Sequence[int]]:
        """Class numbers by id; every image must have an entry in the file that publishes them."""
        count, xml = len(self.known), self.folder / "Annotations"
        if self.labels is not None:
            tags: Mapping[str, Sequence[int]] = read_labels(Path(self.labels), self.key, count)
        elif xml.is_dir():
            there = {path.stem for path in xml.glob("*.xml")}
            tags = {id: self._of_xml(id, xml / f"{id}.xml", problems) for id, _ in ids if id in there}
        else:
            return {}
        source = self.labels or str(xml)
        for id, where in ids:
            if id not in tags:
                problems.append(Problem(id, where, f"image labels in {source}", "none for this id"))
            elif wrong := [tag for tag in tags[id] if not 1 <= tag <= count]:
                problems.append(Problem(id, f"{source} '{id}'", f"classes 1..{count}", str(wrong)))
        return tags

    def _of_xml(self, id: str, path: Path, problems: list[Problem]) -> list[int]:
        try:
            objects = object_boxes(path)
        except DataError as error:
            problems.append(Problem(id, str(path), "a VOC annotation XML", str(error)))
            return []
        plain: set[int] = set()
        self.difficult[id] = set()
        for name, difficult, _ in objects:
            if name in self.known:
                (self.difficult[id] if difficult else plain).add(self.known.index(name) + 1)
            elif not difficult:
                self.unknown.setdefault(name, []).append(path.name)
        return list(plain)

    def raise_unknown(self) -> None:
        """Raises DataError with every unknown name, once."""
        if not self.unknown:
            return
        names = sorted(self.unknown, key=lambda name: (-len(self.unknown[name]), name))
        counted = [f"'{name}' {len(self.unknown[name])} times (first in {min(self.unknown[name])})" for name in names]
        kind, remedy = "the data set", "Mend the names"
        if self.known == VOC_CLASSES:
            kind = "VOC"
            remedy = (
                "Where the classes are your own, name all of them in `names`, in the order of their values in the masks"
            )
        raise DataError(
            f"{self.folder / 'Annotations'}: expected objects of classes of {kind}, found {first_of(counted, 5)}."
            f"{closest(names[0], self.known)} {remedy}."
        )

    def notices(self, listed: Mapping[str, Sequence[Listed]], values: Sequence[int]) -> Iterator[Notice]:
        """Images whose objects are all difficult: what they show is not nothing."""
        items = {item.id: item for split in listed.values() for item in split}
        only = [id for id, item in items.items() if item.tags == () and self.difficult.get(id, set()) & set(values)]
        if only:
            counts = Counter(self.known[tag - 1] for id in only for tag in self.difficult[id] & set(values))
            shown = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
            text = (
                f"{len(only)} of {len(items)} images have no tag because all their objects are marked as difficult "
                f"({first_of(only)}; {shown}): they are not empty. A training with tags takes them for images of "
                "background. To tag them, derive tags from masks (`annotate` with `source: masks`), name a file of "
                "`labels`, or leave these images out of the list."
            )
            yield Notice("difficult_objects_only", len(only), text)
