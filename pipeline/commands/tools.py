"""Masks for labelling tools, and the images that are worth correcting there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.book.load import checked_book
from pipeline.commands.app import USE, BookOption, app, complete_book
from pipeline.problems.notices import warn_of

Tool = Literal["cvat", "labelme", "labelstudio", "coco", "yolo"]
ToolOption = Annotated[Tool, typer.Option("--as", help="The labelling tool, or the format, to write for.")]
ShapesOption = Annotated[
    Literal["masks", "polygons"] | None,
    typer.Option(help="Exact masks, or polygons. Default: polygons for labelme and yolo, masks for the others."),
]
ToleranceOption = Annotated[float, typer.Option(help="Pixels that a polygon may stray; 0 keeps every corner.")]
UrlOption = Annotated[
    str, typer.Option(help="Label Studio: what stands before the name of an image, in its address there.")
]


@app.command(rich_help_panel=USE)
def export_masks(
    name: Annotated[str, typer.Argument(help="masks/NAME or supervision/NAME of the book.")],
    tool: ToolOption,
    out: Annotated[Path, typer.Option("--to", help="Folder to write to; must not hold files yet.")],
    book: BookOption = ".",
    shapes: ShapesOption = None,
    tolerance: ToleranceOption = 1.0,
    url: UrlOption = "/data/local-files/?d=",
    coco_ids: Annotated[
        Path | None, typer.Option(help="COCO: a file of these images, whose image and category ids are taken.")
    ] = None,
) -> None:
    """Write masks or pseudo-masks of a book for a labelling tool, in which people can correct them.

    CVAT's annotations.xml, LabelMe's JSON files, Label Studio's predictions, COCO's instances.json, or YOLO's
    segmentation files. Palette PNGs are written by export-png.

    Examples:

    - ``python -m pipeline export-masks supervision/cam_crf --as cvat --to cvat``
    - ``python -m pipeline export-masks masks/segmenter --as labelme --to labelme --book recipes/farm``
    - ``python -m pipeline export-masks masks/segmenter --as coco --to coco --coco-ids instances_val.json``
    """
    from pipeline.inference.tools.export import export_for_tool

    count, notices = export_for_tool(
        checked_book(book), name, tool, out, shapes=shapes, coco_ids=coco_ids, tolerance=tolerance, url=url
    )
    warn_of(notices)
    print(f"{count} masks in {out}, as {tool} reads them.")


@app.command(rich_help_panel=USE)
def label_loop(
    book: Annotated[str, typer.Argument(help="Folder of the recipe book.", autocompletion=complete_book)],
    tool: ToolOption,
    out: Annotated[Path, typer.Option("--to", help="Folder to write to; must not hold files yet.")],
    count: Annotated[int, typer.Option(help="How many images.")] = 20,
    by: Annotated[
        Literal["confidence", "disagreement", "random"],
        typer.Option(
            help="Lowest confidence of the segmenter, largest disagreement with what it learned from, or any images."
        ),
    ] = "confidence",
    checkpoint: Annotated[
        str | None,
        typer.Option(
            "--checkpoint", "-c", help="A train entry of the book. Default: that of its first predict_masks entry."
        ),
    ] = None,
    shapes: ShapesOption = None,
    tolerance: ToleranceOption = 1.0,
    url: UrlOption = "/data/local-files/?d=",
) -> None:
    """Choose the training images that are worth correcting, with masks to correct in a labelling tool.

    It writes images.csv (which images, how sure, why), the images, and the segmenter's masks of them as the tool reads
    them. Corrected masks come back as an entry of import_annotations, which overlay_labels lays over the pseudo-masks.
    Images that have been corrected are left out the next time.

    Examples:

    - ``python -m pipeline label-loop recipes/farm --count 20 --as cvat --to round_1``
    - ``python -m pipeline label-loop recipes/farm --by disagreement --as labelme --to round_2``
    """
    from pipeline.compute.runtime import device
    from pipeline.inference.label_loop import CORRECTED, ENTRIES, choose

    chosen = choose(
        checked_book(book),
        out,
        by=by,
        count=count,
        tool=tool,
        checkpoint=checkpoint,
        shapes=shapes,
        device=device(),
        tolerance=tolerance,
        url=url,
    )
    done = f"; {chosen.corrected} are corrected already" if chosen.corrected else ""
    print(f"{len(chosen.images)} of {chosen.of} images in {out}, chosen by {by}{done}.")
    print(f"Correct them, put the tool's export into {out / CORRECTED}, and add {out / ENTRIES} to the book.yaml.")
