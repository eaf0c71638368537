"""annotate: Catalogue (and ground truth, where labels are derived) -> Supervision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from models.structures import Supervision
from pipeline.annotations.build import annotate_catalogue
from pipeline.binders.common import Log, Workspace, header, write_parts
from pipeline.datasets.catalogue import Catalogue, GroundTruth
from pipeline.params import Book
from pipeline.stores import SupervisionStore


@dataclass(frozen=True)
class _Annotate:
    here: Workspace

    def __call__(self, ids: tuple[str, ...]) -> Iterator[Supervision]:
        entry, catalogue = self.here.entry, self.here.catalogue
        truth = GroundTruth(catalogue, self.here.path("ground_truth", entry.data))
        for _, supervision in annotate_catalogue(entry.kind, catalogue, truth, ids, entry.options):
            yield supervision


def run(book: Book, name: str, log: Log) -> None:
    """Write ``supervision/NAME`` for every image of the entry's split."""
    here = Workspace(book, "annotate", name)
    catalogue: Catalogue = here.catalogue
    writer = SupervisionStore.create(
        here.path("supervision", name),
        header(catalogue, catalogue.ids(here.entry.split)),
        fingerprint=here.fingerprint(here.path("catalogues", here.entry.data) / "catalogue.json"),
    )
    write_parts(writer, _Annotate(here), f"annotate {name}")
    log.metrics({"images": len(writer.header.ids)})
