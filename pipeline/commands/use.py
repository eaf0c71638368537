"""Use the result: masks of new images, published checkpoints, a file for other programs."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from models.errors import ConfigurationError
from pipeline.commands.app import USE, BookOption, JsonOption, app, complete_checkpoint, program

CheckpointOption = Annotated[
    str,
    typer.Option(
        "--checkpoint",
        "-c",
        help="A train entry of the book, or the folder of a checkpoint from anywhere.",
        autocompletion=complete_checkpoint,
    ),
]


@app.command(rich_help_panel=USE)
def predict(
    images: Annotated[list[str], typer.Argument(help="Folders, globs in quotes, or files.")],
    checkpoint: CheckpointOption,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")],
    book: BookOption = ".",
    scales: Annotated[str | None, typer.Option(help="Factors of the image's size, e.g. 0.75,1,1.25.")] = None,
    flip: Annotated[bool | None, typer.Option(help="Add the mirror image at every scale.")] = None,
    crf: Annotated[str | None, typer.Option(help="Preset of the dense CRF (irn, seg_test, ...), or none.")] = None,
    tags: Annotated[Path | None, typer.Option(help="CSV of image tags: no other class can win.")] = None,
    coco_ids: Annotated[
        Path | None,
        typer.Option(help="COCO file of these images: predictions.json gets its ids, results.json is for loadRes."),
    ] = None,
    formats: Annotated[
        str, typer.Option("--format", help="What to write, also cvat, labelme, labelstudio, yolo.")
    ] = "masks,overlays,json,coco",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Segment new images: palette PNG, overlay, JSON for each, predictions.json in COCO's form, labelling tools' files.

    Without --scales, --flip and --crf a checkpoint of a book predicts as the book's predict_masks entry does.
    Bad images are reported at the end (exit code 3); the others are written. Photos are turned as their EXIF
    orientation says, and masks are those of the turned photos.

    Examples:

    - ``python -m pipeline predict photos/ --checkpoint segmenter --book recipes/mine --out masks``
    - ``python -m pipeline predict photos/ -c segmenter -o masks --format coco --coco-ids instances_val.json``
    - ``python -m pipeline predict 'photos/**/*.jpg' -c model_folder -o masks --scales 0.75,1,1.25 --flip --crf irn``
    """
    from pipeline.inference import options
    from pipeline.inference.inputs import find_images, passed_over
    from pipeline.inference.predict import check_out
    from pipeline.inference.trained import find_checkpoint
    from pipeline.problems.notices import warn_of

    chosen = options.parse_formats(formats)
    if coco_ids is not None and "coco" not in chosen:
        raise ConfigurationError("--coco-ids is of predictions.json, which --format leaves out. Add coco to it.")
    inputs = find_images(images)
    place = find_checkpoint(checkpoint, book)
    how = options.predict_options(place, options.parse_scales(scales), flip, crf)
    check_out(out, inputs, overwrite)
    warn_of(passed_over(images))

    from pipeline.compute.runtime import device
    from pipeline.inference.coco_ids import read_ids
    from pipeline.inference.predict import predict as run
    from pipeline.inference.tags import read_tags
    from pipeline.inference.trained import load_segmenter

    _, class_names = load_segmenter(place)
    allowed = read_tags(tags, class_names, inputs) if tags else None
    ids = read_ids(coco_ids, class_names, inputs) if coco_ids else None
    summary = run(inputs, place.folder, class_names, out, how, formats=chosen, tags=allowed, ids=ids, device=device())
    warn_of(summary.notices)
    shown = ", ".join(f"{name} {count}" for name, count in summary.classes.items() if count) or "no class"
    summary_line = f"{summary.images} of {len(inputs)} images in {out} ({how}). Images that show each class: {shown}."
    print(json.dumps(summary.plain(), indent=2, ensure_ascii=False) if as_json else summary_line)
    summary.raise_problems()


@app.command(rich_help_panel=USE)
def import_checkpoint(
    network: Annotated[str, typer.Argument(help="Name of the published network: seam, rtc, spml, deeplab_v2, ...")],
    file: Annotated[Path, typer.Argument(help="Its file: .pth, .pt, .safetensors or .npz.")],
    out: Annotated[Path, typer.Argument(help="Folder of the checkpoint to write; replaced if it is one.")],
    classes: Annotated[
        str | None, typer.Option(help="Class names, separated by commas, where they are neither VOC's nor COCO's.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Turn a checkpoint that a paper published into one of this project; nothing in the file is executed.

    A book does the same with an entry ``import_weights: {NAME: {official: seam, file: PATH}}``, which other entries
    can then name as a checkpoint: to export CAMs, to propagate them, to predict masks or to train from.

    Example: ``python -m pipeline import-checkpoint seam resnet38_SEAM.pth work/seam``
    """
    from pipeline.storage.checkpoints import CARD
    from pipeline.weights.official.importing import import_official, save_official

    if out.exists() and not (out / CARD).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigurationError(f"{out} exists and is no checkpoint. Remedy: name a new folder.")
    published = import_official(network, file, [name.strip() for name in classes.split(",")] if classes else None)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_official(out, published)
    card = published.card
    answer = {"folder": str(out), "method": card.method, "classes": list(card.class_names), **card.recipe}
    class_count = f"{len(card.class_names) or 'no'} classes"
    message = (
        f"{out}: read as {card.method} of {card.recipe['source']}, {class_count}. A segmenter predicts ({program()} "
        "predict -c FOLDER ...); CAMs and walks come from a book that imports the file."
    )
    print(json.dumps(answer, indent=2, ensure_ascii=False) if as_json else message)


@app.command(rich_help_panel=USE)
def export_onnx(
    out: Annotated[Path, typer.Argument(help="The .onnx file to write; replaced if it is there.")],
    checkpoint: CheckpointOption,
    book: BookOption = ".",
    size: Annotated[str | None, typer.Option(help="Fix the image's height,width. Default: any size.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Give logits at the image's size, not the network's.")] = False,
    images: Annotated[
        list[str] | None, typer.Option("--images", help="Images to compare on. Default: some of the book's data.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a segmenter as ONNX; the file is kept only if onnxruntime computes the same as PyTorch.

    Input ``image``: float32 RGB [B,3,H,W] in [0,1]. Output ``logits``: [B,1+C,h,w], channel 0 background.
    Class names, palette and stride are in the file's metadata.

    Examples:

    - ``python -m pipeline export-onnx segmenter.onnx --checkpoint segmenter --book recipes/mine``
    - ``python -m pipeline export-onnx fixed.onnx -c model_folder --size 512,512 --full --images photos/``
    """
    from pipeline.inference.trained import find_checkpoint, load_segmenter

    place = find_checkpoint(checkpoint, book)

    from pipeline.inference import onnx_export
    from pipeline.inference.comparison import comparison_images

    fixed = onnx_export.parse_size(size)
    onnx_export.check_target(out)
    segmenter, class_names = load_segmenter(place)
    shown = comparison_images(place, images or [])
    print(f"Exporting {place.folder}: about half a minute.", file=sys.stderr)
    done = onnx_export.export_onnx(segmenter, class_names, out, shown, size=fixed, full=full)
    message = (
        f"{done.path}: image {list(done.input)}, logits of background and {len(class_names)} classes at stride "
        f"{done.output_stride}. Against PyTorch on {done.images} images: largest difference {done.difference:.1e}."
    )
    print(json.dumps(asdict(done), indent=2, ensure_ascii=False) if as_json else message)
