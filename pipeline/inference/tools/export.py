"""Masks of a book in the form of a labelling tool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from models.doors import resolve
from models.errors import ConfigurationError
from models.structures import UNLABELLED
from pipeline.book.params import Book
from pipeline.datasets.catalogue import Catalogue
from pipeline.inference.coco import coco_segments
from pipeline.inference.coco_ids import read_ids
from pipeline.inference.inputs import Input
from pipeline.inference.stored import StoredMasks, require_empty
from pipeline.inference.tools import TOOLS
from pipeline.inference.tools.images import How, Images, LabelledImage, Shapes, shapes_for
from pipeline.problems.notices import Notice


@dataclass(frozen=True)
class BookImages:
    """The stored masks of a book as labelled images; those with pixels that say nothing are counted as they pass."""

    stored: StoredMasks
    silent: dict[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.stored.store)

    def __iter__(self) -> Iterator[LabelledImage]:
        names = file_names(self.stored.catalogue)
        for id, mask in self.stored.masks():
            share = float((mask >= UNLABELLED).mean())
            if share:
                self.silent[id] = share
            entry = self.stored.catalogue.entry(id)
            path = self.stored.catalogue.path(entry.image)
            yield LabelledImage(id, names[id], path, entry.size, coco_segments(mask))


def file_names(catalogue: Catalogue) -> dict[str, str]:
    """Of each image by its id: the file's name alone, or with its folders where several files have one name."""
    paths = {id: PurePosixPath(entry.image) for id, entry in catalogue.entries.items()}
    counts = Counter(path.name for path in paths.values())
    return {id: path.name if counts[path.name] == 1 else path.as_posix() for id, path in paths.items()}


def write_for(tool: str, images: Images, folder: Path, how: How) -> None:
    """Write images with their masks as a tool reads them, into a folder that is made where it is not there.

    Raises:
        ConfigurationError: unknown tool.
    """
    write: Any = resolve(TOOLS, tool, "labelling tool")
    folder.mkdir(parents=True, exist_ok=True)
    write(images, folder, how)


def export_for_tool(
    book: Book,
    name: str,
    tool: str,
    out: Path,
    *,
    shapes: Shapes | None = None,
    coco_ids: Path | None = None,
    **options: Any,
) -> tuple[int, list[Notice]]:
    """Write the masks of ``masks/NAME`` or ``supervision/NAME``; returns how many, and what is lost.

    Args:
        book: checked by name.
        name: of the artefact.
        tool: a name of :data:`pipeline.inference.tools.TOOLS`.
        out: folder to write to.
        shapes: masks or polygons; None for the tool's usual ones.
        coco_ids: COCO: the user's own file of these images.
        options: other ones of :class:`pipeline.inference.tools.images.How`.

    Raises:
        ConfigurationError: no such artefact, no such tool, or options that do not hold.
        DataError: the artefact has not been made, ``out`` holds files, or ``coco_ids`` is of other images.
    """
    resolve(TOOLS, tool, "labelling tool")
    if coco_ids is not None and tool != "coco":
        raise ConfigurationError(f"--coco-ids is of COCO's files: expected --as coco, found --as {tool}.")
    stored = StoredMasks.of(book, name)
    require_empty(out)
    class_names = stored.store.class_names
    ids = None if coco_ids is None else read_ids(coco_ids, class_names, _inputs(stored))
    how = How(class_names, shapes_for(tool, shapes), source=name, split=stored.split, ids=ids, **options)
    images = BookImages(stored)
    write_for(tool, images, out, how)
    return len(images), list(_silent(images))


def _inputs(stored: StoredMasks) -> list[Input]:
    catalogue = stored.catalogue
    return [Input(id, catalogue.path(catalogue.entry(id).image)) for id in stored.store.ids]


def _silent(images: BookImages) -> Iterator[Notice]:
    if images.silent:
        count, share = len(images.silent), float(np.mean(list(images.silent.values())))
        text = (
            f"{images.stored.name}: {count} of {len(images)} images have pixels that are unlabelled or void, "
            f"{share:.0%} of them on average. Labelling tools have no such pixels: what nobody labels there comes back "
            "as background."
        )
        yield Notice("silent_pixels", count, text)
