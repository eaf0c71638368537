"""What correcting masks gains for the minutes that it takes: a budget of images, chosen in several ways.

    python -m pipeline copy recipes/voc_mini recipes/loop
    python -m benchmarks.label_loop recipes/loop --truth masks --judge segmenter_val --budgets 5,10,20,40 --seeds 0,1,2

The book's segmenter is made first. Then, for each way to choose (least confidence, largest disagreement, at random) and
each budget, the true masks of the chosen images stand for what a person would correct: they are exported as COCO's
file, read again by ``import_annotations``, laid over the pseudo-masks, and a segmenter learns from both, once for each
seed. Gains are over segmenters of the same seed that learn from the pseudo-masks alone. A book.yaml gets the entries
as a block ``label_loop`` at its end.

Minutes are those of outlines from scratch, 79 s an object (Bearman et al. 2016; ``models/metrics/label_cost.py``), for
the classes that each image shows: an upper bound, since whoever corrects a mask begins with one. The table is printed
and written to WORK/label_loop.csv.

That is a whole training for each trial. In the smaller form of ``benchmarks/label_loop.yaml``, whose head has the
commands, the trials go on from the first segmenter for a few epochs at a small crop, those without corrections too, so
that only the labels differ: ``--go-on --epochs 5 --lr 0.003``.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from tempfile import TemporaryDirectory
from typing import Any, get_args

import numpy as np
import yaml

from models.metrics.label_cost import label_seconds
from pipeline.book.load import checked_book
from pipeline.book.params import Book
from pipeline.compute.runtime import device
from pipeline.inference.coco import coco_segments
from pipeline.inference.label_loop import By, choose
from pipeline.inference.rounds import Trained, changed, segmenter_of
from pipeline.inference.stored import StoredMasks
from pipeline.inference.tools.export import file_names, write_for
from pipeline.inference.tools.images import How, LabelledImage
from pipeline.results.tables.evaluations import read_evaluations

BLOCK = "label_loop"


@dataclass(frozen=True)
class Trial:
    """One way to choose, one budget, one seed; a budget of 0 is what there was before."""

    by: str
    images: int
    seed: int

    @property
    def corrections(self) -> str:
        return f"corrected_{self.by}_{self.images}"

    @property
    def name(self) -> str:
        return f"loop_{self.by}_{self.images}_{self.seed}"


def main(arguments: Sequence[str] | None = None) -> None:
    given = _given(arguments)
    base = checked_book(given.book)
    first = f"evaluate@{given.judge}"
    annotate = f"annotate@{given.truth}"
    _run(given.book, [first, annotate])
    before = [Trial("none", 0, seed) for seed in given.seeds]
    trials = [Trial(by, n, seed) for by in given.by for n in given.budgets for seed in given.seeds]
    minutes = _write_corrections(base, trials, given)
    _add_block(Path(given.book), sections(base, [*before, *trials], given))
    _run(given.book, [f"evaluate@{trial.name}" for trial in (*before, *trials)])
    book = checked_book(given.book)
    scores = {one.name: one.metrics["miou"] for one in read_evaluations(book.book.work, list(book.evaluate))}
    found = list(rows(trials, minutes, scores, {trial.seed: scores[trial.name] for trial in before}))
    _report(Path(book.book.work) / "label_loop.csv", found)


def _given(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = lambda text: [int(part) for part in text.split(",")]  # noqa: E731
    parser.add_argument("book", help="a copy of a book, with a book.yaml")
    parser.add_argument("--truth", default="masks", help="annotate entry of the true masks")
    parser.add_argument("--judge", default="segmenter_val", help="evaluation of the segmenter's predictions")
    parser.add_argument("--checkpoint", help="the segmenter. Default: that of the book's first predict_masks entry")
    parser.add_argument("--budgets", type=numbers, default=[5, 10, 20, 40], help="images to correct")
    parser.add_argument("--seeds", type=numbers, default=[0], help="of the new trainings")
    parser.add_argument("--go-on", action="store_true", help="begin with the first segmenter, not as it began")
    parser.add_argument("--epochs", type=int, help="of the new trainings; by default those of the book")
    parser.add_argument("--lr", type=float, help="of the new trainings; by default that of the book")
    parser.add_argument("--crop", type=int, help="of the new trainings; by default that of the book")
    parser.add_argument("--by", type=lambda text: text.split(","), default=list(get_args(By)))
    given = parser.parse_args(arguments)
    if not set(given.by) <= set(get_args(By)):
        parser.error(f"--by: expected some of {','.join(get_args(By))}.")
    return given


def _run(book: str, stages: Sequence[str]) -> None:
    subprocess.run([sys.executable, "-m", "pipeline", "run", *stages, "--book", book], check=True)


def _write_corrections(book: Book, trials: Sequence[Trial], given: argparse.Namespace) -> dict[str, float]:
    """Write the true masks of each choice as COCO's file; returns the minutes of a person by its name."""
    segmenter = Trained(book, segmenter_of(book, given.checkpoint))
    truth = StoredMasks.of(book, f"supervision/{given.truth}")
    minutes = {}
    for by in given.by:
        with TemporaryDirectory() as scratch:
            out = Path(scratch) / "chosen"
            most = max(given.budgets)
            chosen = choose(book, out, by=by, count=most, tool="coco", checkpoint=segmenter.name, device=device())
        ids = [one.id for one in chosen.images]
        for trial in {trial.corrections: trial for trial in trials if trial.by == by}.values():
            minutes[trial.corrections] = _write(segmenter, truth, ids[: trial.images], _file(book, trial))
    return minutes


def _file(book: Book, trial: Trial) -> Path:
    return Path(book.book.path) / BLOCK / trial.corrections


def _write(segmenter: Trained, truth: StoredMasks, ids: Sequence[str], folder: Path) -> float:
    catalogue = segmenter.catalogue
    names, images, seconds = file_names(catalogue), [], 0.0
    for id, mask in truth.masks(ids):
        entry = catalogue.entry(id)
        path = catalogue.path(entry.image)
        images.append(LabelledImage(id, names[id], path, entry.size, coco_segments(mask)))
        seconds += label_seconds(["masks"], catalogue.num_classes, len(images[-1].segments))
    write_for("coco", images, folder, How(catalogue.class_names))
    return seconds / 60


def sections(book: Book, trials: Sequence[Trial], given: argparse.Namespace) -> dict[str, Any]:
    """What the block adds to the book: labels, trainings, predictions and evaluations as the book has them."""
    segmenter = Trained(book, segmenter_of(book, given.checkpoint))
    entry, judged = segmenter.entry, book.entry("evaluate", given.judge)
    prediction = book.entry("predict_masks", judged.of.partition("/")[2])
    added: dict[str, dict[str, Any]] = {verb: {} for verb in ADDED}
    for trial in trials:
        mixed = f"with_{trial.corrections}" if trial.images else entry.supervision
        added["train"][trial.name] = changed(entry, supervision=mixed, seed=trial.seed, **shorter(segmenter, given))
        added["predict_masks"][trial.name] = changed(prediction, checkpoint=trial.name)
        added["evaluate"][trial.name] = changed(judged, of=f"masks/{trial.name}")
        if not trial.images:
            continue
        added["import_annotations"][trial.corrections] = {
            "data": entry.data,
            "split": segmenter.split,
            "kind": "shapes",
            "file": (_file(book, trial) / "instances.json").as_posix(),
            "options": {"only": ["masks"], "unannotated": "unlabelled"},
        }
        over = {"data": entry.data, "supervision": entry.supervision, "over": trial.corrections}
        added["overlay_labels"][mixed] = over
    return added


def shorter(segmenter: Trained, given: argparse.Namespace) -> dict[str, Any]:
    """What the options change in the training of ``segmenter``."""
    entry, changes = segmenter.entry, dict[str, Any]()
    if given.go_on:
        changes["init"] = segmenter.name
    settings = {"epochs": given.epochs, "lr": given.lr}
    if any(settings.values()):
        changes["settings"] = {**entry.settings, **{key: value for key, value in settings.items() if value}}
    if given.crop:
        changes["loader"] = {**entry.loader, "crop": given.crop}
    return changes


ADDED = ("import_annotations", "overlay_labels", "train", "predict_masks", "evaluate")


def _add_block(folder: Path, added: Mapping[str, Any]) -> None:
    """Write the block at the end of book.yaml, in place of one of before, and expand it."""
    file = folder / "book.yaml"
    if not file.is_file():
        sys.exit(f"{file}: expected a book.yaml. `python -m pipeline copy BOOK {folder}` makes one.")
    text = file.read_text(encoding="utf-8").split(f"\n{BLOCK}:\n")[0].rstrip()
    block = yaml.safe_dump({BLOCK: dict(added)}, sort_keys=False, allow_unicode=True)
    file.write_text(f"{text}\n\n{block}", encoding="utf-8")
    subprocess.run([sys.executable, "-m", "pipeline", "expand", "--book", folder.as_posix()], check=True)


def rows(
    trials: Sequence[Trial], minutes: Mapping[str, float], scores: Mapping[str, float], before: Mapping[int, float]
) -> Iterator[dict[str, Any]]:
    """A row for each choice of images; ``before`` has the score without corrections by seed. A gain is a mean of
    differences between trainings of one seed, whose share of luck is the same.
    """
    yield {
        "by": "none",
        "images": 0,
        "minutes": 0.0,
        "miou": round(fmean(before.values()), 2),
        "gain": 0.0,
        "gain_deviation": "",
        "gain_an_hour": "",
    }
    for corrections in dict.fromkeys(trial.corrections for trial in trials):
        of = [trial for trial in trials if trial.corrections == corrections]
        gains = [scores[trial.name] - before[trial.seed] for trial in of]
        gain = fmean(gains)
        yield {
            "by": of[0].by,
            "images": of[0].images,
            "minutes": round(minutes[corrections], 1),
            "miou": round(fmean(scores[trial.name] for trial in of), 2),
            "gain": round(gain, 2),
            "gain_deviation": round(stdev(gains), 2) if len(gains) > 1 else "",
            "gain_an_hour": round(60 * gain / max(minutes[corrections], np.finfo(float).eps), 2),
        }


def _report(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as opened:
        table = csv.DictWriter(opened, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    print(f"Written: {file}")


if __name__ == "__main__":
    main()
