"""The verbs, as dvc.yaml calls them."""

from __future__ import annotations

from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.book.load import checked_book
from pipeline.commands.app import STAGES, BookOption, app, complete_stage

if TYPE_CHECKING:
    from pipeline.book.params import Book
    from pipeline.tracking.log import Log

StageName = Annotated[
    str, typer.Argument(help="Name of an entry of this section of params.yaml.", autocompletion=complete_stage)
]


@app.command(rich_help_panel=STAGES)
def code(book: BookOption = ".") -> None:
    """Check the book and write the code fingerprint of every entry.

    Example: ``python -m pipeline code --book recipes/voc_mini``.
    """
    from pipeline.book.fingerprints import write_fingerprints
    from pipeline.book.graph_file import check_graph_file

    checked = checked_book(book, committed=True)
    check_graph_file(Path(checked.book.path))  # a plain `dvc repro` asks nobody else
    write_fingerprints(checked, Path(checked.book.work) / "code")


def _stage(verb: str, name: str, folder: str) -> None:
    """Run one binder as one tracked run."""
    from pipeline.book.artifacts import artifact, kind_of
    from pipeline.book.params import load_book
    from pipeline.compute.alone import alone, first_of_group
    from pipeline.compute.runtime import workers
    from pipeline.compute.scratch import SCRATCH
    from pipeline.running.stage_process import under_way
    from pipeline.running.times import expected, measured
    from pipeline.tracking import log as tracking

    book = load_book(folder)
    entry = book.entry(verb, name)
    binder = import_module(f"pipeline.binders.{verb}")
    outputs = [artifact(book.book.work, kind_of(verb), name)]
    stage = f"{verb}@{name}"
    if (known := expected(book, stage, max(1, workers()))) is not None:
        print(f"{stage}: {known}.", flush=True)
    lock = SCRATCH / "stages" / f"{book.book.work.replace('/', '.')}.{stage}.lock"
    mine = alone(lock, stage) if first_of_group() else nullcontext()
    with (
        mine,
        under_way(stage),
        measured(book, stage),
        tracking.run(stage, book.name, entry.model_dump(), outputs) as log,
    ):
        try:
            binder.run(book, name, log)
        except TypeError:  # perhaps an option that no part has: who runs a stage alone has not checked the book
            checked_book(folder, committed=True)
            raise
        _show(book, verb, name, log)


def _show(book: Book, verb: str, name: str, log: Log) -> None:
    """Give the tracker a few pictures of what a stage made."""
    from pipeline.pictures.gallery import gallery_sheet
    from pipeline.tracking.log import enabled

    sheet = gallery_sheet(book, verb, name) if enabled() else None
    if sheet is not None:
        log.picture(f"{name}.png", sheet)


EXAMPLES = {
    "prepare": "toy",
    "annotate": "tags",
    "import_annotations": "points --book recipes/voc_mini",
    "import_weights": "random",
    "import_proposals": "regions --book recipes/voc_mini_proposals",
    "train": "classifier",
    "export_cams": "cam",
    "refine_cams": "cam_crf",
    "propagate_cams": "walk --book recipes/voc_mini",
    "align_cams": "vote --book recipes/voc_mini_proposals",
    "merge_cams": "seam_rtc_two --book recipes/voc_mini_beyond",
    "make_pseudo_masks": "cam_crf",
    "overlay_labels": "walk_clicked --book recipes/voc_mini",
    "predict_masks": "segmenter",
    "classify_proposals": "neighbours --book recipes/voc_mini_proposals",
    "evaluate": "segmenter_val",
    "evaluate_boxes": "cam_val",
}
"""An entry of a shipped book for each verb, for its help."""


def _add_stage(verb: str, summary: str) -> None:
    def command(name: StageName, book: BookOption = ".") -> None:
        _stage(verb, name, book)

    command.__doc__ = f"{summary}\n\nExample: ``python -m pipeline {verb} {EXAMPLES.get(verb, 'NAME')}``."
    app.command(verb, rich_help_panel=STAGES)(command)


for _verb, _summary in {
    "prepare": "Find or make a data set and check every image.",
    "annotate": "Write supervision from published tags or ground-truth masks.",
    "import_annotations": "Write supervision from boxes, points, scribbles or an export of a labelling tool.",
    "import_weights": "Turn a file of pretrained weights into a checkpoint.",
    "import_proposals": "Write class-agnostic masks from files of SAM or COCO results, or from regions.",
    "train": "Train a method; an interrupted training goes on where it was.",
    "export_cams": "Write the class activation maps of the tagged images.",
    "refine_cams": "Refine CAMs without training (dense CRF, PAMR, PAR, VARM).",
    "propagate_cams": "Spread CAMs by a random walk over what a network has learned, or by its features.",
    "align_cams": "Give CAMs the outlines of class-agnostic masks (region vote, SEPL).",
    "merge_cams": "Average the CAMs of two networks, seeds or methods.",
    "make_pseudo_masks": "Turn CAMs into supervision by a background rule.",
    "overlay_labels": "Lay labels over others, such as corrected masks over pseudo-masks.",
    "predict_masks": "Write the masks that a trained segmenter predicts.",
    "classify_proposals": "Write masks of class-agnostic proposals, classified by labelled regions that are like them.",
    "evaluate": "Score CAMs, pseudo-masks or predictions against ground truth.",
    "evaluate_boxes": "Score the boxes of CAMs against ground-truth boxes (object localisation).",
}.items():
    _add_stage(_verb, _summary)
