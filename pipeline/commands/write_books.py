"""Books of one's own: for a folder of images, as a copy of another, and with more seeds."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.commands.app import USE, BookOption, JsonOption, app, complete_book, program
from pipeline.problems.notices import first_of


@app.command(rich_help_panel=USE)
def init(
    data: Annotated[Path, typer.Argument(help="Folder with images and labels, or the export of a tool; also zipped.")],
    book: Annotated[str | None, typer.Option("--book", "-b", help="Folder to write. Default: recipes/NAME.")] = None,
    style: Annotated[
        Literal["fast", "small", "default"] | None,
        typer.Option("--from", help="fast (a try), small (for a CPU) or default (for a GPU)."),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="File of ImageNet weights, or random. Default: torchvision's, downloaded.")
    ] = None,
    normalisation: Annotated[
        Literal["imagenet", "half"],
        typer.Option(help="What --weights expects: imagenet (torchvision), or half (x/127.5-1, TensorFlow)."),
    ] = "imagenet",
    option: Annotated[
        list[str] | None,
        typer.Option(
            help="Option, as a message gives it: classes, mask_values, labelmap, upright; unannotated, of labels; "
            "annotators, brush, crowds, of exports of labelling tools. May repeat."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a recipe book (book.yaml) for a folder of images and labels, with settings for their number and size.

    Run it in the project's root; outside of any project it makes the current folder one. It uses what the folder has of
    tags.csv, boxes.csv, points.csv, scribbles/, masks/ and exports of labelling tools (CVAT, LabelMe, Label Studio,
    VIA, YOLO, COCO, Datumaro, Supervisely, Pascal VOC); one kind of labels has to be there. A ZIP archive of all this
    is unpacked into data/NAME_unpacked.

    Examples:

    - ``python -m pipeline init /photos/farm``
    - ``python -m pipeline init /photos/farm/annotations.xml --option 'unannotated: background'``
    - ``python -m pipeline init /photos/farm --book recipes/farm --weights mobilenet_v2.pth``
    - ``python -m pipeline init /photos/farm --option 'mask_values: {cat: 127, dog: 255}'``
    """
    from pipeline.new_book.write import init as write_book
    from pipeline.new_book.write import reader_options

    done = write_book(data, book, style, weights, normalisation, reader_options(option or []))
    if as_json:
        print(json.dumps(asdict(done), indent=2, ensure_ascii=False))
        return
    survey, height, width = done.survey, *done.survey.size
    if done.new_project:
        print(f"{done.new_project} is a weak2mask project now: run its books here.")
    splits = ", ".join(f"{len(ids)} {name}" for name, ids in survey.splits.items())
    print(f"{done.path}/book.yaml: {survey.total} images ({splits}) of about {width} x {height} pixels.")
    print(f"{_listed(survey.classes)}. Settings '{done.plan.style}': {done.plan.backbone}.")
    for note in survey.notes:
        print(f"Note: {note}")
    about = "a minute" if done.minutes == 1 else f"{done.minutes} minutes"
    print(f"\nNext, about {about} on {done.device}:\n  {program()} run --book {done.path}")
    if survey.makes_masks:
        use = f"{program()} predict NEW_IMAGES --checkpoint segmenter --book {done.path} --out masks"
        print(f"and then, as often as you like:\n  {use}")


@app.command(rich_help_panel=USE)
def copy(
    source: Annotated[str, typer.Argument(help="Folder of the book to begin with.", autocompletion=complete_book)],
    book: Annotated[str, typer.Argument(help="Folder to write.")],
) -> None:
    """Begin a recipe book of your own as a copy of another: same entries, its own place and work folder.

    It has a book.yaml to edit, also where the other book is a params.yaml alone. What was trained for the other book is
    trained again for the copy. To try another setting beside what there is, add
    an entry to the book instead.

    Examples:

    - ``python -m pipeline copy recipes/voc12 recipes/mine``
    """
    from pipeline.new_book.copy import copy_book

    written = copy_book(source, book)
    place = written.as_posix()
    print(
        f"{place}/book.yaml is yours to edit. Then: python -m pipeline expand --book {place} && "
        f"python -m pipeline run --book {place}"
    )


@app.command(rich_help_panel=USE)
def repeat(
    targets: Annotated[list[str], typer.Argument(help="Ends of the recipe, e.g. evaluate@segmenter_val.")],
    seeds: Annotated[str, typer.Option(help="Of the new trainings, separated by commas.")] = "1,2",
    first: Annotated[
        list[str] | None,
        typer.Option("--from", help="train@NAME: this training and those behind it alone. Default: all."),
    ] = None,
    book: BookOption = ".",
) -> None:
    """Add the same recipe under other seeds to a book: its entries, and their mean and deviation in the table.

    In a book.yaml whose recipe takes its seeds from a list they go into that list, otherwise into a block at its end.

    Names end with the seed (cam_1), or have it where the original has a 0 (points_0_head: points_1_head). Entries that
    are there already stay as they are, and what does not stand on a training is shared.

    Examples:

    - ``python -m pipeline repeat evaluate@segmenter_val``
    - ``python -m pipeline repeat evaluate@points_0_val --seeds 3,4 --from train@points_0 --book recipes/voc_mini_spml``
    """
    from pipeline.new_book.repeat import repeat as add_repeats

    done = add_repeats(book, targets, _seeds(seeds), first or [])
    print(f"{done.file}: {len(done.entries)} entries added: {', '.join(done.entries) or 'all were there'}.")
    for row in done.existing_rows:
        print(f"table.repeats.{row} is there already: add the new evaluations to its `of:`.")
    for name in done.without_row:
        print(f"No row of means has evaluate.{name} and the new ones: add `mean: NAME` to its `judge:`, then expand.")
    print(f"Next:\n  python -m pipeline run {' '.join(done.targets)}{'' if book == '.' else f' --book {book}'}")


def _listed(classes: Sequence[str], limit: int = 30) -> str:
    """Class names in a line or two; in quotes where a name could be taken for several, or for none."""
    plain = all(re.fullmatch(r"[^,;'\"]*\S", name) and name == name.strip() for name in classes)
    names = first_of([name if plain else f"'{name}'" for name in classes], limit)
    count = f"{len(classes)} classes" if len(classes) > limit else "Classes"
    return f"{count}: {names}"


def _seeds(given: str) -> list[int]:
    from models.errors import ConfigurationError

    numbers = [part.strip() for part in given.split(",")]
    if not all(part.isdecimal() for part in numbers) or len({*map(int, numbers)}) < len(numbers):
        raise ConfigurationError(f"--seeds: expected different whole numbers such as 1,2, found '{given}'.")
    return [int(part) for part in numbers]
