"""Which images an entry of ``annotate`` or ``import_annotations`` has labels for."""

from __future__ import annotations

from pipeline.book.artifacts import artifact
from pipeline.book.lineage import Node
from pipeline.book.params import Book
from pipeline.datasets.catalogue import Catalogue
from pipeline.storage.stores import SupervisionStore


def labelled_ids(book: Book, node: Node, catalogue: Catalogue) -> tuple[str, ...] | None:
    """The images of its split, or those that its store holds, where it leaves images without labels out.

    Args:
        book: a checked book.
        node: (verb, name) of the entry.
        catalogue: of its data set.

    Returns:
        None where that cannot be known: it has not run yet, or images without labels stand among the others
        (``unannotated: unlabelled`` and ``background``).
    """
    entry = book.entry(*node)
    unannotated = entry.options.get("unannotated")
    if unannotated is None:
        return catalogue.ids(entry.split)
    folder = artifact(book.book.work, "supervision", node[1])
    return SupervisionStore.opened(folder).ids if unannotated == "left_out" and folder.is_dir() else None
