"""import_proposals: files of class-agnostic masks, or region maps -> Proposals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.doors import resolve
from models.structures import Proposals
from pipeline.annotations import PROPOSERS
from pipeline.binders.common import Log, Workspace, header, write_shards
from pipeline.book.params import Book
from pipeline.problems.notices import Notice, first_of, save_notices, warn_of
from pipeline.storage.proposals import ProposalStore


@dataclass(frozen=True)
class _Import:
    here: Workspace

    def __call__(self, ids: tuple[str, ...]) -> Iterator[Proposals]:
        source = _proposer(self.here).bind(Path(self.here.entry.file), self.here.catalogue)
        yield from map(source, ids)


def run(book: Book, name: str, log: Log) -> None:
    """Write ``proposals/NAME`` for every image of the entry's split."""
    here = Workspace(book, "import_proposals", name)
    entry, catalogue = here.entry, here.catalogue
    ids, file = catalogue.ids(entry.split), Path(entry.file)
    notices = _proposer(here).check(file, catalogue, ids)
    listed = here.path("catalogues", entry.data) / "catalogue.json"
    path, fingerprint = here.path("proposals", name), here.fingerprint(listed, file)
    writer = ProposalStore.create(path, header(catalogue, ids), fingerprint=fingerprint)

    def add_notices(whole: Path) -> None:
        counts = ProposalStore(whole).counts
        notices.extend(_without_masks(here, [id for id, count in zip(ids, counts, strict=True) if not count]))
        save_notices(whole, notices)

    write_shards(writer, _Import(here), f"import_proposals {name}", add=add_notices)
    counts = ProposalStore.opened(path).counts
    warn_of(notices)
    log.metrics({"images": len(ids), "masks": sum(counts), "warnings": len(notices)})


def _proposer(here: Workspace) -> Any:
    return resolve(PROPOSERS, here.entry.proposer, "proposer")(**here.entry.options)


def _without_masks(here: Workspace, ids: list[str]) -> list[Notice]:
    if not ids:
        return []
    text = (
        f"import_proposals.{here.name}: {len(ids)} images have no mask that counts: {first_of(ids)}. Their CAMs stay "
        "as they are. Remedy: smaller least_score or least_area, or see whether the file has all images."
    )
    return [Notice("images_without_proposals", len(ids), text)]
