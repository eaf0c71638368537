"""What lies in a user's folder: images, tags, other annotations, masks; and what is odd about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from models.errors import DataError
from models.structures import MAX_CLASSES
from pipeline.datasets.catalogue import Catalogue
from pipeline.datasets.file_names import nearest_name
from pipeline.datasets.folder import folder
from pipeline.datasets.folder_masks import coverage
from pipeline.datasets.listing import Listing
from pipeline.datasets.tag_table import TagTable
from pipeline.datasets.teachable import teachable_notices, too_many_for_masks
from pipeline.new_book.label_files import SHAPES, LabelFiles, kind_of, labels_pixels
from pipeline.new_book.layout import (
    ANNOTATIONS,
    MASKS,
    annotated_classes,
    images_folder,
    layout_notes,
    split_folders,
    tags_file,
)
from pipeline.new_book.tool_exports import (
    LABEL_OPTIONS,
    exported_classes,
    exports_in,
    files_of,
    label_options,
    unread_export,
)
from pipeline.new_book.trial import Trial, try_prepare
from pipeline.problems.notices import first_lines, first_of
from stages.prepare import Problem, duplicate_problems, report

FEWEST = 4
FEW = 10
"""Fewer images are not worth a validation split."""
EXPLAINING = ("tags_and_masks_differ", "values_of_no_class")
"""Notices that may say why masks are left out."""
SEVERAL_ROWS = (
    "Images with more than one row in the CSV are left out: put the classes of an image into one row ('cat;dog'), or "
    "call the column 'tag' to have one row for each class"
)


@dataclass(frozen=True)
class Survey:
    """A folder as the reader ``folder`` sees it. Paths are relative to it.

    Attributes:
        images: folder of the images.
        tags: CSV of tags, or None.
        classes: names in the order of their numbers.
        splits: split name to its ids.
        val_fraction: what the reader is told; None where the CSV has a column ``split``.
        size: median (H, W) of the images.
        annotations: name to file, of those that cover the training split.
        kinds: name to kind of supervision.
        drawn: names of annotations that label pixels with classes.
        label_options: of exports of labelling tools, and `unannotated`, as the user said.
        taught: training images that have labels to learn from, where some are left out; None for all of them.
        masks: folder of masks, or None; ``measured`` are the splits that have one for each image.
        options: what else the reader is told, as the user said.
        notes: what the user should know.
    """

    images: str
    tags: str | None
    classes: tuple[str, ...]
    splits: dict[str, tuple[str, ...]]
    val_fraction: float | None
    size: tuple[int, int]
    annotations: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    drawn: tuple[str, ...] = ()
    label_options: Mapping[str, Any] = field(default_factory=dict)
    taught: int | None = None
    masks: str | None = None
    measured: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def options_of(self, name: str) -> dict[str, Any]:
        """Of annotations: all of an export, and what images without labels are of any."""
        shapes = self.kinds[name] == SHAPES
        return {key: value for key, value in self.label_options.items() if shapes or key == "unannotated"}

    @property
    def train(self) -> int:
        """Number of training images."""
        return len(self.splits["train"])

    @property
    def total(self) -> int:
        """Number of images."""
        return sum(map(len, self.splits.values()))

    @property
    def makes_masks(self) -> bool:
        """Whether masks can hold so many classes; else a book ends at the CAMs."""
        return len(self.classes) <= MAX_CLASSES


def survey(data: Path, options: Mapping[str, Any] | None = None, file: Path | None = None) -> Survey:
    """Look at a folder: the numbers are those that ``prepare`` will find.

    Args:
        data: the folder.
        options: of the reader, such as ``mask_values``, which the folder does not say, and of exports.
        file: the one export of a labelling tool to learn from, where the folder may have several.

    Raises:
        DataError: no images, no labels, labels of other images, or too little to learn from.
    """
    if not data.is_dir():
        raise DataError(f"{data}: expected a folder with images and a CSV of tags, found none.")
    exports = exports_in(data, file)
    folders = split_folders(data) if exports else {}
    try:
        images = "." if folders else images_folder(data)
        tags = None if file is not None else tags_file(data, images, files_of(exports))
    except DataError as error:
        if exports or (other := unread_export(data)) is None:
            raise
        raise DataError(f"{error}\nFound, and not read: {other}") from None
    if tags is None and (options or {}).get("unannotated") == "unlabelled":
        raise DataError(
            f"{data}: 'unannotated: unlabelled' keeps images with their tags alone, and there is no CSV of tags. "
            f"Remedy: {data / 'tags.csv'} with columns image,tags, or `unannotated: left_out`."
        )
    masks = MASKS if (data / MASKS).is_dir() else None
    given: dict[str, Any] = {"images": images, "tags": tags, "masks": masks}
    given |= {"split_folders": folders} if folders else {}
    if tags is None:
        given["classes"] = exported_classes(exports) if exports else annotated_classes(data)
    given |= {name: value for name, value in (options or {}).items() if name not in LABEL_OPTIONS}
    named = bool(folders) or (tags is not None and TagTable.read(data / tags, None).has_splits)
    listing, val_fraction = _listing(data, given, named)
    twice = [problem for name in listing.splits for problem in _twice(name, listing)]
    bad = {problem.id for problem in (*listing.problems, *twice)}
    splits = {name: tuple(i.id for i in items if i.id not in bad) for name, items in listing.splits.items()}
    hint = f" {SEVERAL_ROWS}; the first is {twice[0].path}." if twice else _reasons(listing.problems)
    _check_splits(splits, data, hint)
    trial = try_prepare(data, {**given, "val_fraction": val_fraction}, listing)
    if trial.limit is None:
        splits = dict(trial.catalogue.splits)
        explained = [f" {notice.text}" for notice in trial.notices if notice.topic in EXPLAINING]
        _check_splits(splits, data, _reasons(trial.catalogue.left_out.values()) + "".join(explained))
    labels = LabelFiles(data, trial.catalogue, label_options(options or {}))
    annotations, annotation_notes = labels.found([] if file is not None else ANNOTATIONS.items(), exports, tags is None)
    if not tags and not annotations:
        raise DataError(
            f"{data}: without tags, one kind of labels has to cover every training image; found: "
            f"{' '.join(annotation_notes)} Remedy: label those images too, add a CSV of tags, or "
            "say what the others are: --option 'unannotated: left_out' or 'unannotated: background' (no object)."
        )
    masked = _masked(splits, listing)
    size, size_notes = _sizes(trial.catalogue)
    notes = [
        *_left_out_notes(trial, twice),
        *layout_notes(data, images, masks, folders),
        *_data_notes(trial, listing, splits, masked),
        *size_notes,
        *annotation_notes,
    ]
    return Survey(
        images=images,
        tags=tags,
        classes=listing.class_names,
        splits={name: ids for name, ids in splits.items() if ids},
        val_fraction=None if named else val_fraction,
        size=size,
        annotations=annotations,
        kinds={name: kind_of(name) for name in annotations},
        drawn=tuple(name for name in annotations if labels_pixels(name, exports)),
        label_options=label_options(options or {}),
        taught=None if tags else max(1, len(splits["train"]) * labels.taught(annotations) // len(labels.ids)),
        masks=masks if any(any(has.values()) for has in masked.values()) else None,
        options={name: value for name, value in given.items() if name not in ("images", "tags", "masks")},
        measured=tuple(name for name, has in masked.items() if has and all(has.values())),
        notes=tuple(notes),
    )


def _listing(data: Path, given: Mapping[str, Any], named: bool) -> tuple[Listing, float]:
    """What the reader says, and the part of the images that is validated on: few images are all learnt from."""
    listing = folder(str(data), **given)
    few = not named and len({item.id for items in listing.splits.values() for item in items}) < FEW
    return (folder(str(data), **given, val_fraction=0.0), 0.0) if few else (listing, 0.2)


def _twice(split: str, listing: Listing) -> list[Problem]:
    """Images with several rows, as ``prepare`` will find them."""
    return duplicate_problems(split, [(item.id, item.where) for item in listing.splits[split]])


def _reasons(found: Any) -> str:
    """The first reasons why images are left out, for a message."""
    reasons = [str(reason) for reason in found]
    return f" Others are left out, such as: {reasons[0]}." if reasons else ""


def _check_splits(splits: Mapping[str, tuple[str, ...]], data: Path, hint: str = "") -> None:
    if "train" not in splits:
        near = nearest_name("train", splits)
        which = f"'{near}' to 'train'" if near else "it"
        raise DataError(
            f"{data}: expected a split 'train', found {first_of(list(splits), 8)}. Rename "
            f"{which} in the column 'split'."
        )
    if len(splits["train"]) < FEWEST:
        raise DataError(
            f"{data}: expected at least {FEWEST} training images with tags, found {len(splits['train'])}. "
            f"A few dozen for each class are a beginning.{hint}"
        )


def _left_out_notes(trial: Trial, twice: Sequence[Problem]) -> list[str]:
    """Images that ``prepare`` leaves out, with the first reasons."""
    notes = [f"{SEVERAL_ROWS}. {report(twice, limit=5)}"] if twice else []
    ids = {problem.id for problem in twice}
    reasons = {id: reason for id, reason in trial.catalogue.left_out.items() if id not in ids}
    total = len(trial.catalogue.entries) + len(trial.catalogue.left_out)
    if reasons:
        lines = first_lines([f"  {reason}" for reason in reasons.values()], 5)
        head = f"{len(reasons)} of {total} images and rows will be left out:"
        notes.append("\n".join([head, *lines]))
    if trial.limit is not None:
        notes.append(f"Only the first {trial.limit} images of each split were opened; `prepare` opens them all.")
    return notes


def _data_notes(
    trial: Trial, listing: Listing, splits: Mapping[str, Sequence[str]], masked: Mapping[str, Mapping[str, bool]]
) -> list[str]:
    """What may be wrong with the data: what ``prepare`` says, and on its own what is asked of all images alone."""
    notices = [notice for notice in trial.notices if notice.topic != "images_without_mask"]
    if any(any(has.values()) for has in masked.values()):
        notices += coverage(masked)
    tags = {item.id: item.tags for items in listing.splits.values() for item in items}
    known = {notice.topic for notice in notices}
    few = teachable_notices(listing.class_names, {name: [tags[id] for id in ids] for name, ids in splits.items()})
    notices += [notice for notice in few if notice.topic not in known]
    return [notice.text for notice in (*too_many_for_masks(len(listing.class_names)), *notices)]


def _masked(splits: Mapping[str, Sequence[str]], listing: Listing) -> dict[str, dict[str, bool]]:
    """For each split which images have a mask."""
    has = {item.id: item.mask is not None for items in listing.splits.values() for item in items}
    return {name: {id: has[id] for id in ids} for name, ids in splits.items()}


def _sizes(catalogue: Catalogue) -> tuple[tuple[int, int], list[str]]:
    """Median (H, W) of the images that were opened."""
    sizes = [entry.size for entry in catalogue.entries.values()]
    lengths = sorted(map(max, sizes))
    notes = []
    if lengths[-1] > 3 * lengths[0]:
        notes.append(
            f"Long sides go from {lengths[0]} to {lengths[-1]} pixels. Networks see objects best at the size that "
            "they were trained at: bring the images to similar sizes."
        )
    if median(lengths) > 1600:
        notes.append("The images are large: the dense CRF takes seconds for each. Smaller copies train as well.")
    return (round(median(h for h, _ in sizes)), round(median(w for _, w in sizes))), notes
