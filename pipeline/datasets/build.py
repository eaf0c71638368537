"""Make a catalogue: list with a reader, read every image once, keep the good ones."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from models.doors import resolve
from models.errors import ConfigurationError
from models.structures import MAX_CLASSES
from pipeline.datasets import READERS
from pipeline.datasets.catalogue import Catalogue, Entry
from pipeline.datasets.checking import Finding, inspect
from pipeline.datasets.listing import Listed, Listing
from pipeline.datasets.parallel import in_processes
from stages.prepare import OnBadImage, Problem, duplicate_problems, id_problem, prepare

Progress = Callable[[Iterable[Finding], int, str], Iterable[Finding]]


def make_catalogue(
    reader: str,
    folder: Path,
    options: Mapping[str, Any],
    *,
    root: str = ".",
    on_bad_image: OnBadImage = "stop",
    workers: int = 1,
    progress: Progress = lambda items, total, desc: items,
) -> Catalogue:
    """Write ``folder`` (catalogue.json, and the files where the reader draws them), whole or not at all.

    Args:
        reader: a name of the door ``READERS``.
        folder: where the catalogue goes; its name is the catalogue's name. What lies there is replaced.
        options: the reader's.
        root: folder of the data set, relative to the project root.
        on_bad_image: "stop" or "skip".
        workers: processes that read images.
        progress: wraps the findings as they come: (findings, total, description).

    Raises:
        ConfigurationError: unknown reader, or options that do not hold.
        DataError: bad images, all of them in one message.
    """
    listing: Listing = resolve(READERS, reader, "reader")(root, **options)
    _check_classes(listing.class_names)
    partial_folder = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial_folder, ignore_errors=True)
    partial_folder.mkdir(parents=True)
    if listing.make is not None:
        listing.make(partial_folder, workers)
    files = partial_folder if listing.root == "." else Path(listing.root)
    listed, problems = _unique(listing)
    findings = _read(listing, files, listed, workers, progress)
    problems += [problem for finding in findings.values() for problem in finding.problems]
    splits = {name: [item.id for item in items] for name, items in listing.splits.items()}
    kept, left_out = prepare(splits, problems, on_bad_image)
    catalogue = _catalogue(folder, listing, listed, findings, kept, left_out)
    catalogue.save(partial_folder)
    shutil.rmtree(folder, ignore_errors=True)
    partial_folder.replace(folder)
    return catalogue


def _unique(listing: Listing) -> tuple[dict[str, Listed], list[Problem]]:
    """Each image once, and what is wrong with the ids."""
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


def _read(
    listing: Listing, files: Path, listed: Mapping[str, Listed], workers: int, progress: Progress
) -> dict[str, Finding]:
    """Findings by id; images with a bad id are not opened, for their path may lead anywhere."""
    good = [item for item in listed.values() if id_problem(item.id, item.where) is None]
    one = partial(
        inspect,
        root=files,
        mask_maximum=listing.mask_maximum,
        upright=listing.upright,
        num_classes=len(listing.class_names),
    )
    stream: Iterator[Finding] = in_processes(one, good, workers)
    return {item.id: finding for item, finding in zip(good, progress(stream, len(good), "images"), strict=True)}


def _catalogue(
    folder: Path,
    listing: Listing,
    listed: Mapping[str, Listed],
    findings: Mapping[str, Finding],
    splits: dict[str, tuple[str, ...]],
    left_out: dict[str, str],
) -> Catalogue:
    ids = dict.fromkeys(id for split in splits.values() for id in split)
    return Catalogue(
        name=folder.name,
        class_names=listing.class_names,
        splits=splits,
        entries={id: _entry(listed[id], findings[id]) for id in ids},
        root=listing.root,
        mask_values=listing.mask_values,
        left_out=left_out,
        upright=listing.upright,
        folder=folder,
    )


def _entry(listed: Listed, finding: Finding) -> Entry:
    assert finding.size is not None, "an image without size has a problem and is left out"
    return Entry(
        id=listed.id,
        image=listed.image,
        size=finding.size,
        mask=listed.mask,
        instances=listed.instances,
        tags=listed.tags,
        sha256=finding.sha256,
        mask_sha256=finding.mask_sha256,
    )


def _check_classes(names: tuple[str, ...]) -> None:
    if not 1 <= len(names) <= MAX_CLASSES:
        raise ConfigurationError(f"Expected 1 to {MAX_CLASSES} classes, found {len(names)}.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigurationError(f"Expected each class name once, found twice: {', '.join(twice)}.")
