"""Masks of new images: read, segmented and written in chunks, so that one bad file costs no other its result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.errors import ConfigurationError, DataError
from pipeline.inference.coco_ids import CocoIds, size_notices
from pipeline.inference.inputs import Input
from pipeline.inference.worker import CHUNK_SIZE, FOLDERS, PredictOptions, Result, SegmentChunk, write_json
from pipeline.problems.notices import FILE as WARNINGS
from pipeline.problems.notices import Notice, first_of, save_notices
from stages.prepare import Problem, report

USUAL_FORMATS = (*FOLDERS, "coco")
TOOL_FORMATS = ("cvat", "labelme", "labelstudio", "yolo")
"""Labelling tools, each with a folder of its own (:mod:`pipeline.inference.tools`)."""
FORMATS = (*USUAL_FORMATS, *TOOL_FORMATS)
PREDICTIONS = "predictions.json"
RESULTS = "results.json"
"""The list of annotations alone, which pycocotools' ``loadRes`` reads into the user's own COCO file."""


@dataclass(frozen=True)
class Summary:
    """What a prediction did, for people and machines."""

    out: str
    how: PredictOptions
    images: int
    classes: dict[str, int]
    problems: tuple[Problem, ...]
    notices: tuple[Notice, ...] = ()

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        problems = [{key: value for key, value in asdict(problem).items() if key != "id"} for problem in self.problems]
        return {**asdict(self), "problems": problems}

    def raise_problems(self) -> None:
        """Raises DataError with the inputs that gave no mask; the others are written."""
        if self.problems:
            others = (
                "mask of the other image is" if self.images == 1 else f"masks of the other {self.images} images are"
            )
            remedy = (
                f"The {others} in {self.out}. Repair these files and name them alone, with another --out."
                if self.images
                else "No mask was made. Repair these files, or name others."
            )
            raise DataError(f"{report(self.problems)}\n{remedy}")


def check_out(out: Path, inputs: Sequence[Input], overwrite: bool) -> None:
    """Nothing of the user's is replaced by accident.

    Raises:
        ConfigurationError: an input lies where output goes.
        DataError: ``out`` is a file, or holds files and ``overwrite`` was not asked for.
    """
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: expected a folder to write to, found a file. Name another.")
    written = {(out / kind).resolve() for kind in FORMATS}
    inside = next((item.path for item in inputs if item.path.resolve().parent in written), None)
    if inside is not None:
        raise ConfigurationError(f"{inside} is both read and in a folder that is written. Name another --out.")
    if not overwrite and out.is_dir() and any(out.iterdir()):
        raise DataError(f"{out} holds files already. Name a new folder, or replace them with --overwrite.")


def predict(
    inputs: Sequence[Input],
    checkpoint: Path,
    class_names: Sequence[str],
    out: Path,
    how: PredictOptions,
    *,
    formats: Sequence[str] = USUAL_FORMATS,
    tags: Mapping[str, Sequence[bool]] | None = None,
    ids: CocoIds | None = None,
    device: str = "cpu",
) -> Summary:
    """Segment images and write what was asked for; files appear as soon as their image is done.

    Args:
        inputs: from :func:`pipeline.inference.inputs.find_images`.
        checkpoint: folder of a segmenter.
        class_names: its C classes.
        out: gets ``masks/NAME.png`` (VOC palette), ``overlays/NAME.png``, ``json/NAME.json``, ``predictions.json``,
            a folder for each labelling tool, and ``warnings.json`` where something may be wrong with the images.
        how: scales, mirror image, CRF.
        formats: some of :data:`FORMATS`.
        tags: by input name, the C classes that may win there; an image without an entry is not restricted.
        ids: of images and categories for ``predictions.json``, whose annotations are then in ``results.json`` too.
        device: of the network.
    """
    from pipeline.inference.coco import coco_dataset

    for kind in formats:
        (out / kind if kind != "coco" else out).mkdir(parents=True, exist_ok=True)
    segment = SegmentChunk(tuple(inputs), checkpoint, tuple(class_names), out, how, tuple(formats), tags or {}, device)
    results = segment_all(segment)
    good = [result for result in results if result.problem is None]
    notices = list(_notices(results))
    if "coco" in formats:
        listed = [(r.card["source"], r.size, r.segments) for r in good]
        content = coco_dataset(listed, class_names, ids)
        write_json(out / PREDICTIONS, content, indent=None)
        if ids is not None:
            write_json(out / RESULTS, content["annotations"], indent=None)
            notices += size_notices(ids, {name: size for name, size, _ in listed})
    _write_for_tools(good, [kind for kind in formats if kind in TOOL_FORMATS], class_names, out, checkpoint.name)
    classes = {name: sum(any(c["name"] == name for c in r.card["classes"]) for r in good) for name in class_names}
    problems = tuple(r.problem for r in results if r.problem is not None)
    (out / WARNINGS).unlink(missing_ok=True)
    save_notices(out, notices)
    return Summary(str(out), how, len(good), classes, problems, tuple(notices))


def segment_all(segment: SegmentChunk) -> list[Result]:
    """What became of each input, in order; on a CPU chunks of them are spread over processes."""
    from pipeline.compute.chunks import map_chunks

    sizes = [len(segment.inputs[first : first + CHUNK_SIZE]) for first in range(0, len(segment.inputs), CHUNK_SIZE)]
    alone = segment.device != "cpu" or len(sizes) == 1  # starting processes costs more than a few images
    by_chunk = map_chunks(segment, range(len(sizes)), "predict", 0 if alone else None, images=lambda k: sizes[k])
    return [result for results in by_chunk for result in results]


def _write_for_tools(
    good: Sequence[Result], tools: Sequence[str], class_names: Sequence[str], out: Path, source: str
) -> None:
    from pipeline.inference.tools.export import write_for
    from pipeline.inference.tools.images import USUAL, How, LabelledImage

    names = Counter(result.input.path.name for result in good)
    images = [
        LabelledImage(
            result.input.name,
            path.name if names[path.name] == 1 else path.as_posix(),
            path,
            result.size,
            result.segments,
            result.confidence,
        )
        for result in good
        for path in (result.input.path,)
    ]
    for tool in tools:
        write_for(tool, images, out / tool, How(tuple(class_names), USUAL[tool], source=source))


def _notices(results: Sequence[Result]) -> Iterator[Notice]:
    """What may be wrong with the images, counted."""
    from pipeline.datasets.photos import EXIF, SENTENCES

    for topic, sentence in {**SENTENCES, EXIF: _turned}.items():
        cases = [(r.input.path.name, detail) for r in results for name, detail in r.remarks if name == topic]
        if cases:
            yield Notice(topic, len(cases), sentence(cases, len(results)))


def _turned(cases: Sequence[tuple[str, str]], total: int) -> str:
    names = first_of([name for name, _ in cases])
    return (
        f"{len(cases)} of {total} images carry an EXIF orientation ({names}): they are turned upright, and so are "
        "their masks. Programs that do not apply EXIF show these photos in another way than their masks."
    )
