"""evaluate: Masks, Supervision or Cams x ground truth -> metrics and plots."""

from __future__ import annotations

import csv
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

from pipeline.binders.common import Log, Workspace, id_chunks, span, split_of
from pipeline.book.params import Book
from pipeline.compute.chunks import run_chunks
from pipeline.datasets.ground_truth import GroundTruth
from pipeline.problems.notices import first_of
from pipeline.storage.csv_cells import plain_cell
from pipeline.storage.stores import CamStore, MaskStore, SupervisionStore
from pipeline.storage.whole import whole_folder
from stages.evaluate import (
    CamScore,
    Evaluation,
    MaskScore,
    Table,
    image_table,
    score_cam_masks,
    score_cams,
    score_masks,
)

CHUNK, MOST_CHUNKS = 64, 32
"""Images of a chunk, of which a large split has more, and how many chunks: what one counts has 3 MB where there are 80
classes, and all of them wait until they are added."""
STORES: dict[str, Any] = {"cams": CamStore, "masks": MaskStore, "supervision": SupervisionStore}


@dataclass(frozen=True)
class _Score:
    """Counts one chunk of the images; picklable. ``threshold``: of CAMs in their second pass."""

    here: Workspace
    kind: str
    chunks: tuple[tuple[str, ...], ...]
    threshold: float | None = None

    def __call__(self, k: int) -> MaskScore | CamScore:
        here, entry = self.here, self.here.entry
        catalogue = here.catalogue
        truth = GroundTruth(catalogue, here.path("ground_truth", entry.data))
        store = STORES[self.kind].opened(here.path(*entry.of.split("/")))
        ids = self.chunks[k]
        if self.kind == "cams":
            triples = ((id, cam, truth.mask(id)) for id, cam in store.items(ids))
            if self.threshold is None:
                return score_cams(triples, catalogue.class_names, **entry.options)
            options = {key: value for key, value in entry.options.items() if key != "fixed_threshold"}
            return score_cam_masks(triples, catalogue.class_names, self.threshold, **options)
        masks = ((id, getattr(item, "seeds", item), truth.mask(id)) for id, item in store.items(ids))
        return score_masks(masks, catalogue.class_names, **entry.options)


def run(book: Book, name: str, log: Log) -> None:
    """Write ``evaluations/NAME``: metrics.json, classes.csv, confusion.csv, images.csv, sweep.csv."""
    here = Workspace(book, "evaluate", name)
    entry, catalogue = here.entry, here.catalogue
    kind, _, source = entry.of.partition("/")
    store = STORES[kind].opened(here.path(kind, source))
    ids = store.ids if entry.split is None else catalogue.ids(entry.split)
    store.require(ids, f"evaluate.{name}", catalogue.digest)
    chunks = score_chunks(ids)
    score = _Score(here, kind, chunks)
    total = _counted(score, f"evaluate {name}")
    if kind == "cams":  # the best threshold is known now
        at_best = _counted(replace(score, threshold=total.best_threshold), f"evaluate {name}, best threshold")
        evaluation = total.evaluation(at_best)
    else:
        evaluation = total.evaluation()
    labels = {"kind": kind, "of": entry.of, "split": entry.split or split_of(catalogue.splits, ids)}
    with whole_folder(here.path("evaluations", name)) as folder:
        _write(folder, evaluation, labels)
        _write_table(folder / "images.csv", image_table(ids, evaluation.images, catalogue.class_names))
    if absent := evaluation.metrics.get("absent_classes"):
        named = first_of(absent.split(", "))
        warnings.warn(
            f"evaluate.{name}: no image of split '{labels['split']}' has a pixel of {named}: mIoU "
            f"{evaluation.metrics['miou']:.1f} is over the other labels; with absent ones as 0 (HFPL, SEAM, SPML) it "
            f"is {evaluation.metrics['miou_absent_zero']:.1f} (miou_absent_zero).",
            stacklevel=2,
        )
    log.metrics({key: value for key, value in evaluation.metrics.items() if isinstance(value, int | float)})
    log.metrics({f"iou_{key}": value for key, value in evaluation.metrics["classes"].items()})
    log.tags(labels)


def _counted(score: _Score, desc: str) -> Any:
    """What all chunks have counted together."""
    chunks = score.chunks
    parts: list[Any] = [
        *run_chunks(
            score,
            range(len(chunks)),
            desc,
            describe=lambda k: span(chunks[k]),
            images=lambda k: len(chunks[k]),
        )
    ]
    return reduce(lambda a, b: a.merge(b), parts)


def score_chunks(ids: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Ids in at most :data:`MOST_CHUNKS` parts, of whole chunks of the stores."""
    return id_chunks(ids, CHUNK * -(-len(ids) // (CHUNK * MOST_CHUNKS)))


def _write(folder: Path, evaluation: Evaluation, labels: dict[str, str]) -> None:
    metrics = dict(evaluation.metrics)
    classes = metrics.pop("classes")
    content = json.dumps({**labels, **metrics}, indent=1, sort_keys=True)
    (folder / "metrics.json").write_text(content + "\n", encoding="utf-8")
    _write_table(folder / "classes.csv", Table(("class", "iou"), tuple(classes.items())))
    _write_table(folder / "confusion.csv", evaluation.tables["confusion"])
    # DVC wants every declared plot to be there: masks have no threshold, so theirs is a sweep without rows.
    _write_table(folder / "sweep.csv", evaluation.tables.get("threshold_curve", Table(("threshold", "miou"), ())))


def _write_table(path: Path, table: Table) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows(map(plain_cell, row) for row in (table.columns, *table.rows))
