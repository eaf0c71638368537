"""Annotate images of a catalogue with a kind of supervision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

from models.doors import resolve
from models.errors import ConfigurationError
from models.structures import Supervision
from pipeline.annotations import ANNOTATORS
from pipeline.annotations.unannotated import bind_kind, check_kind, kept_ids
from pipeline.datasets.catalogue import Catalogue
from pipeline.datasets.ground_truth import GroundTruth
from pipeline.problems.notices import Notice
from stages.annotate import AnnotationSource, annotate


def annotate_catalogue(
    kind: str, catalogue: Catalogue, truth: GroundTruth | None, ids: Sequence[str], options: Mapping[str, Any]
) -> Iterator[tuple[str, Supervision]]:
    """Yield (id, supervision) of ``ids``, in order. Any subset gives the same as the whole.

    Args:
        kind: a name of the door ``ANNOTATORS``.
        catalogue: of the images.
        truth: is opened only by kinds that derive their labels; None keeps it closed.
        ids: images of the catalogue.
        options: the kind's.

    Raises:
        ConfigurationError: unknown kind, options that do not hold, or labels to derive without ground truth.
        DataError: annotation files that are missing or wrong, or an image without the mask that is needed.
    """
    annotator = bind_kind(resolve(ANNOTATORS, kind, "kind of supervision")(**options), catalogue, ids)
    return annotate((source(catalogue, truth, id) for id in ids), annotator)


def annotated_ids(kind: str, catalogue: Catalogue, ids: Sequence[str], options: Mapping[str, Any]) -> tuple[str, ...]:
    """Those of ``ids`` that :func:`annotate_catalogue` has a supervision for: all, unless some are to be left out."""
    return kept_ids(resolve(ANNOTATORS, kind, "kind of supervision")(**options), catalogue, ids)


def check_annotations(
    kind: str, catalogue: Catalogue, ids: Sequence[str], options: Mapping[str, Any], workers: int = 0
) -> list[Notice]:
    """What may be wrong with the annotation files of these images, looked at once and as a whole.

    Args:
        kind: a name of the door ``ANNOTATORS``.
        catalogue: of the images.
        ids: all images that are to be annotated.
        options: the kind's.
        workers: processes that read files, where there is one for each image.

    Raises:
        ConfigurationError: unknown kind, or options that do not hold.
        DataError: everything that surely is wrong with the files.
    """
    return check_kind(resolve(ANNOTATORS, kind, "kind of supervision")(**options), catalogue, ids, workers)


def source(catalogue: Catalogue, truth: GroundTruth | None, id: str) -> AnnotationSource:
    """What an annotator may look at for one image."""
    entry = catalogue.entry(id)
    return AnnotationSource(
        id=id,
        size=entry.size,
        num_classes=catalogue.num_classes,
        tags=entry.tags,
        mask=_closed if truth is None else partial(truth.mask, id),
        instances=_closed if truth is None else partial(truth.instances, id),
    )


def _closed() -> NoReturn:
    raise ConfigurationError(
        "import_annotations reads annotation files and never the ground truth, which this kind or option needs. "
        "Remedy: name the file of every part, or derive the labels under 'annotate:'."
    )
