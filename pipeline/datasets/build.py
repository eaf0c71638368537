"""Make a catalogue: list with a reader, read every image once, keep the good ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from models.doors import resolve
from models.errors import ConfigurationError, DataError
from models.structures import MAX_CLASSES
from pipeline.datasets import READERS
from pipeline.datasets.catalogue import Catalogue, CatalogueImage
from pipeline.datasets.checking import Finding, inspect
from pipeline.datasets.data_notices import data_notices
from pipeline.datasets.ground_truth import GroundTruth, ImageTruth
from pipeline.datasets.limiting import limited
from pipeline.datasets.listing import Listed, Listing
from pipeline.datasets.overlaps import overlap_notices
from pipeline.datasets.parallel import in_processes
from pipeline.datasets.teachable import teachable_notices
from pipeline.problems.notices import Notice, save_notices
from pipeline.storage.whole import whole_folder
from stages.prepare import OnBadImage, Problem, duplicate_problems, id_problem, prepare

HINTS = 3
"""Warnings that a message about bad images repeats."""


def make_catalogue(
    reader: str,
    folder: Path,
    truth_folder: Path,
    options: Mapping[str, Any],
    *,
    on_bad_image: OnBadImage = "stop",
    limit: int | None = None,
    workers: int = 1,
) -> Catalogue:
    """Write the catalogue and the ground truth (with the files, where the reader draws them), whole or not at all.

    Args:
        reader: a name of the door ``READERS``.
        folder: where the catalogue goes; its name is the catalogue's name. What lies there is replaced.
        truth_folder: where the ground truth goes.
        options: the reader's, ``root`` (relative to the project root) among them.
        on_bad_image: "stop" or "skip".
        limit: images of each split, the first ones; None for all. Those that are left out are not opened.
        workers: processes that read images.

    Raises:
        ConfigurationError: unknown reader, or options that do not hold.
        DataError: bad images, all of them in one message.
    """
    listing: Listing = resolve(READERS, reader, "reader")(**options)
    if limit is not None:
        listing = limited(listing, limit)
    listed, problems = _unique(listing)
    _check_classes(listing.class_names, any(item.mask is not None for item in listed.values()))
    with whole_folder(folder) as images, whole_folder(truth_folder) as truth:
        if listing.make is not None:
            problems += listing.make(images, truth, workers, listed)
        truth_root = listing.root if listing.truth_root is None else listing.truth_root
        roots = (_place(listing.root, images), _place(truth_root, truth))
        findings = _read(listing, roots, listed, workers)
        problems += [problem for finding in findings.values() for problem in finding.problems]
        notices = [*listing.notices, *data_notices(listing, listed, findings)]
        kept, left_out = _kept(listing, problems, on_bad_image, notices)
        ids = dict.fromkeys(id for split in kept.values() for id in split)
        catalogue = Catalogue(
            name=folder.name,
            class_names=listing.class_names,
            splits=kept,
            entries={id: _entry(listed[id], findings[id]) for id in ids},
            root=listing.root,
            mask_values=listing.mask_values,
            mask_background=listing.mask_background,
            left_out=left_out,
            upright=listing.upright,
            limit=limit,
            folder=folder,
        )
        catalogue.save(images)
        notices += overlap_notices(kept, {id: finding.sha256 for id, finding in findings.items()})
        if limit is None:  # of a dry run's few images little can be asked
            topics = {notice.topic for notice in notices}
            notices += (
                notice
                for notice in teachable_notices(listing.class_names, _classes_shown(listing, listed, findings, kept))
                if notice.topic != "class_without_image" or "categories_without_annotation" not in topics
            )
        save_notices(images, notices)
        GroundTruth.save(truth, truth_root, _truth_entries(ids, listed, findings))
    return catalogue


def _kept(
    listing: Listing, problems: Sequence[Problem], on_bad_image: OnBadImage, notices: Sequence[Notice]
) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """The splits without bad images, and what was left out. Where that is an error, warnings may explain it."""
    splits = {name: [item.id for item in items] for name, items in listing.splits.items()}
    try:
        return prepare(splits, problems, on_bad_image)
    except DataError as error:
        hints = [f"Note: {notice.text}" for notice in notices[:HINTS]]
        raise DataError("\n".join([str(error), *hints])) from None


def _classes_shown(
    listing: Listing, listed: Mapping[str, Listed], findings: Mapping[str, Finding], kept: Mapping[str, Sequence[str]]
) -> dict[str, list[tuple[int, ...] | None]]:
    """For each split the classes of its images: their tags, else what their masks show, else None."""

    def shown(id: str) -> tuple[int, ...] | None:
        tags, values = listed[id].tags, findings[id].mask_values
        if tags is not None or values is None:
            return tags
        return tuple(number for number, value in enumerate(listing.mask_values, start=1) if value in values)

    return {split: [shown(id) for id in ids] for split, ids in kept.items()}


def _place(root: str, folder: Path) -> Path:
    return folder if root == "." else Path(root)


def _unique(listing: Listing) -> tuple[dict[str, Listed], list[Problem]]:
    """Each image once, and what is wrong with the lists and the ids."""
    problems = list(listing.problems)
    listed: dict[str, Listed] = {}
    for split, items in listing.splits.items():
        problems += duplicate_problems(split, [(item.id, item.where) for item in items])
        for item in items:
            first = listed.setdefault(item.id, item)
            if first.image != item.image:
                expected, found = f"one file for id '{item.id}'", f"{first.image} and {item.image}"
                problems.append(Problem(item.id, item.where, expected, found))
    problems += [bad for item in listed.values() if (bad := id_problem(item.id, item.where)) is not None]
    return listed, problems


def _read(listing: Listing, roots: Sequence[Path], listed: Mapping[str, Listed], workers: int) -> dict[str, Finding]:
    """Findings by id; images with a bad id are not opened, for their path may lead anywhere."""
    good = [item for item in listed.values() if id_problem(item.id, item.where) is None]
    one = partial(
        inspect,
        root=roots[0],
        truth_root=roots[1],
        mask_maximum=listing.mask_maximum,
        upright=listing.upright,
        num_classes=len(listing.class_names),
        made=listing.truth_root == ".",
    )
    findings = in_processes(one, good, workers, "reading images")
    return {item.id: finding for item, finding in zip(good, findings, strict=True)}


def _entry(listed: Listed, finding: Finding) -> CatalogueImage:
    assert finding.size is not None, "an image without size has a problem and is left out"
    return CatalogueImage(listed.id, listed.image, finding.size, listed.tags, finding.sha256)


def _truth_entries(
    ids: Mapping[str, None], listed: Mapping[str, Listed], findings: Mapping[str, Finding]
) -> dict[str, ImageTruth]:
    return {
        id: ImageTruth(listed[id].mask, listed[id].instances, findings[id].mask_sha256, listed[id].boxes)
        for id in ids
        if listed[id].mask is not None or listed[id].boxes is not None
    }


def _check_classes(names: tuple[str, ...], masks: bool) -> None:
    if not names or (masks and len(names) > MAX_CLASSES):
        most = f"1 to {MAX_CLASSES} classes, which is what masks can hold" if masks else "1 class or more"
        raise ConfigurationError(f"Expected {most}, found {len(names)}.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigurationError(f"Expected each class name once, found twice: {', '.join(twice)}.")
