"""Images of which a file of annotations says nothing: refused, or what the option ``unannotated`` makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np

from models.errors import ConfigurationError, DataError
from models.structures import BACKGROUND, UNLABELLED, Supervision
from pipeline.annotations.common import tags_with
from pipeline.datasets.catalogue import Catalogue
from pipeline.datasets.image_names import ImageNames
from pipeline.problems.notices import Notice, first_of
from stages.annotate import AnnotationSource, Annotator

Unannotated = Literal["unlabelled", "background", "left_out"]


def remedy(catalogue: Catalogue) -> str:
    """How to say what images without labels are: to keep them unlabelled, a catalogue has to have tags."""
    tagged = any(entry.tags is not None for entry in catalogue.entries.values())
    kept = "`unannotated: unlabelled` keeps these with the tags that they have, " if tagged else ""
    return (
        f"`unannotated: left_out` teaches from the others alone, {kept}and `unannotated: background` says that they "
        "have no object"
    )


def strange_names(names: Sequence[str], catalogue: Catalogue) -> str:
    """A sentence about names in a file that no image has, with the images that may be meant; empty without any."""
    known = ImageNames(catalogue)
    hinted = [f"'{name[:80]}' ({hint})" if (hint := known.hint(name)) else f"'{name[:80]}'" for name in names[:3]]
    return f" Names there that no image has: {first_of([*hinted, *names[3:]], 3)}." if names else ""


def kept_ids(kind: Any, catalogue: Catalogue, ids: Sequence[str]) -> tuple[str, ...]:
    """The images that get a supervision: all of them, but for those that are left out."""
    return tuple(_labelled(kind, catalogue, ids)) if _option(kind) == "left_out" else tuple(ids)


def check_kind(kind: Any, catalogue: Catalogue, ids: Sequence[str], workers: int) -> list[Notice]:
    """What may be wrong with the annotation files of a kind of supervision; nothing where it has none.

    Raises:
        DataError: everything that surely is wrong with them.
        ConfigurationError: an option for images without annotations, of a kind that derives its labels.
    """
    if not hasattr(kind, "check"):
        return []
    labelled = _labelled(kind, catalogue, ids)
    if ids and not labelled:
        raise DataError(f"{kind.file}: expected labels for one of {len(ids)} images at least, found none.")
    notices: list[Notice] = kind.check(catalogue, labelled, workers)
    return [*notices, *_notices(kind, catalogue, ids, set(labelled))]


def bind_kind(kind: Any, catalogue: Catalogue, ids: Sequence[str]) -> Annotator:
    """The annotator of these images, after its files were read. Raises as :func:`check_kind` does."""
    labelled = set(_labelled(kind, catalogue, ids))
    annotator: Annotator = kind.bind(catalogue, [id for id in ids if id in labelled])
    if len(labelled) == len(ids):
        return annotator
    label = BACKGROUND if _option(kind) == "background" else UNLABELLED
    return lambda source: annotator(source) if source.id in labelled else _without(source, label)


def _option(kind: Any) -> Unannotated | None:
    option: Unannotated | None = getattr(kind, "unannotated", None)
    return option


def _labelled(kind: Any, catalogue: Catalogue, ids: Sequence[str]) -> Sequence[str]:
    """The images that a kind has labels for; all of them where nobody said what the others are."""
    if _option(kind) is None:
        return ids
    if kind.file is None:
        raise ConfigurationError("unannotated: expected it beside `file:`. Labels that are derived are there for all.")
    labelled: Sequence[str] = kind.labelled(catalogue, ids)
    return labelled


def _without(source: AnnotationSource, label: int) -> Supervision:
    return Supervision(tags_with(source, ()), np.full(source.size, label, np.uint8))


def _notices(kind: Any, catalogue: Catalogue, ids: Sequence[str], labelled: set[str]) -> Iterator[Notice]:
    without, option = [id for id in ids if id not in labelled], _option(kind)
    some = f"{kind.file}: {len(without)} of {len(ids)} images have no label"
    if without and option == "left_out":
        yield Notice("images_left_out", len(without), f"{some} and are left out: {first_of(without)}.")
    tagged = [id for id in without if catalogue.entry(id).tags]
    if option == "background" and tagged:
        text = f"{some} and are background; {len(tagged)} of them have a tag: {first_of(tagged)}."
        yield Notice("tagged_as_background", len(tagged), text)
    untagged = [id for id in without if catalogue.entry(id).tags is None]
    if option == "unlabelled" and without:
        text = f"{some} and stay unlabelled: {first_of(without)}."
        if untagged:
            text += (
                " Methods that learn from tags take an image without a tag for one without an object. Remedy: "
                "`unannotated: left_out`, or a table of their tags."
            )
        yield Notice("images_unlabelled", len(without), text)
