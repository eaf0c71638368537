"""Where a number comes from: walked from its evaluation through the book's graph, with DVC hashes and MLflow runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.annotations import PROPOSERS
from pipeline.book.artifacts import artifact
from pipeline.book.entries import OverlayLabelsEntry
from pipeline.book.lineage import Node, ancestors, artefact_name
from pipeline.book.options import effective_options
from pipeline.book.params import Book
from pipeline.book.signatures import trait
from pipeline.results.tables.circumstances import of_stages, seconds_of
from pipeline.results.tables.freshness import Record
from pipeline.results.tables.label_cost import label_cost
from pipeline.results.tables.recipes import test_settings
from pipeline.tracking.runs import RecordedStage

GIVEN = {"masks": "ground-truth masks", "tags": "image tags"}


def provenance(
    book: Book, name: str, metrics: Mapping[str, Any], record: Record, runs: Mapping[str, RecordedStage]
) -> dict[str, Any]:
    """Everything that has to be known beside the number of ``evaluate@name``; JSON can hold it.

    Args:
        book: the recipe book, checked.
        name: of the evaluation.
        metrics: content of its metrics.json.
        record: the book's dvc.lock.
        runs: stage name -> its run, where MLflow knows one.
    """
    of = book.evaluate[name].of
    nodes = ancestors(book, "evaluate", name)
    folder = artifact(book.book.work, "evaluations", name)
    made = nodes[-2]
    return {
        "stage": f"evaluate@{name}",
        "of": of,
        "data": data_set(book, book.evaluate[name].data),
        "split": metrics["split"],
        "list": split_list(book, book.evaluate[name].data, metrics["split"]),
        "images": metrics.get("images"),
        **_inference(book, name, nodes, metrics),
        "init": [_init(book, node) for node in nodes if node[0] == "import_weights"],
        "proposals": [_proposals(book, node) for node in nodes if node[0] == "import_proposals"],
        "trained": [_training(book, node) for node in nodes if node[0] == "train"],
        "label_cost": label_cost(book, nodes),
        "dvc": {"metrics.json": record.md5(folder / "metrics.json"), of: record.md5(_path(book, _judged(book, name)))},
        "mlflow": {stage: run_of(runs, stage) for stage in (f"evaluate@{name}", f"{made[0]}@{made[1]}")},
        "made": of_stages((f"{verb}@{name}" for verb, name in nodes), runs, _seeds(book, nodes)),
        "stages": [_stage(book, node, record, runs) for node in nodes],
    }


def data_set(book: Book, data: str) -> str:
    """A data set for a reader: its name in the book and who reads it."""
    return f"{data} ({book.prepare[data].reader})"


def data_sets(book: Book) -> str:
    """Every data set of a book, for a reader."""
    return ", ".join(data_set(book, name) for name in book.prepare)


def split_list(book: Book, data: str, split: str) -> str:
    """The list of images behind a split: ``train`` -> ``train_six`` where the book says so."""
    splits = book.prepare[data].options.get("splits")
    return str(splits.get(split, split)) if isinstance(splits, dict) else split


def run_of(runs: Mapping[str, RecordedStage], stage: str) -> dict[str, str] | None:
    """Id and address of the run that made a stage's output."""
    recorded = runs.get(stage)
    if recorded is None or recorded.run_id is None:
        return None
    return {"run": recorded.run_id, "url": recorded.url or ""}


def _judged(book: Book, name: str) -> Node:
    kind, _, value = book.evaluate[name].of.partition("/")
    made = book.producer(kind, value)
    assert made is not None, "check() resolves every name"
    return made[0], value


def _path(book: Book, node: Node) -> Path:
    return artifact(book.book.work, *artefact_name(node).split("/"))


def _inference(book: Book, name: str, nodes: list[Node], metrics: Mapping[str, Any]) -> dict[str, Any]:
    """How the judged output was made: labels, scales, CRF, thresholds."""
    verb, made = _judged(book, name)
    if verb in ("predict_masks", "classify_proposals"):
        options = test_settings(book, name)
        return {
            "labels_at_inference": "none",
            "scales": options["scales"],
            "flip": options["flip"],
            "crf": _short(options["crf"]),
            "refiners": [],
            "thresholds": {},
        }
    main = _cam_chain(book, (verb, made))
    exported = [effective_options(*_entry(book, node)) for node in main if node[0] == "export_cams"]
    refiners = [
        {"refiner": _refiner(book, node), **(_short(effective_options(*_entry(book, node))) or {})}
        for node in main
        if node[0] in ("refine_cams", "propagate_cams", "align_cams", "merge_cams")
    ]
    return {
        "labels_at_inference": ", ".join(dict.fromkeys(_labels(book, main))),
        "scales": sorted({scale for each in exported for scale in each["scales"]}) if exported else None,
        "flip": any(each["flip"] for each in exported) if exported else None,
        "crf": next((refiner for refiner in refiners if refiner["refiner"] == "dense_crf"), None),
        "refiners": refiners,
        "thresholds": _thresholds(book, main, metrics),
    }


def _refiner(book: Book, node: tuple[str, str]) -> str:
    """Name of a refiner or aligner, of the network by which CAMs spread, or of the CAMs that are merged."""
    verb, name = node
    entry = book.entry(verb, name)
    if verb == "merge_cams":
        return f"mean with '{entry.other}'"
    if verb != "propagate_cams":
        return str(entry.refiner if verb == "refine_cams" else f"{entry.aligner} of '{entry.proposals}'")
    method = book.train[entry.checkpoint].method if entry.checkpoint in book.train else entry.checkpoint
    return f"{entry.spread} of {method} '{entry.checkpoint}'"


def _cam_chain(book: Book, node: Node) -> list[Node]:
    """From an output down to the CAMs it was made from, each once: pseudo-masks, refined CAMs, exported CAMs.

    Where two CAMs were merged, the first of them with all below it comes before the other.
    """
    nodes = {node: None}
    entry = book.entry(*node)
    for cams in (getattr(entry, "cams", None), getattr(entry, "other", None)):
        if cams:
            made = book.producer("cams", cams)
            assert made is not None, "check() resolves every name"
            nodes |= dict.fromkeys(_cam_chain(book, (made[0], cams)))
    return list(nodes)


def _labels(book: Book, chain: list[Node]) -> list[str]:
    """The labels of the judged images that the output was made with."""
    ends = [book.entry(*node) for node in chain if not getattr(book.entry(*node), "cams", None)]
    named = [getattr(end, "supervision", None) for end in ends]
    sources = [book.producer("supervision", name) if name else ("", end) for end, name in zip(ends, named, strict=True)]
    return [_kind(source[1]) for source in sources if source]


def _thresholds(book: Book, chain: list[Node], metrics: Mapping[str, Any]) -> dict[str, Any]:
    thresholds = {key: metrics[key] for key in ("best_threshold", "fixed_threshold") if key in metrics}
    for verb, name in chain:
        if verb == "make_pseudo_masks":
            entry = book.make_pseudo_masks[name]
            thresholds |= {"rule": entry.rule, **(_short(effective_options(verb, entry)) or {})}
    return thresholds


def _entry(book: Book, node: Node) -> tuple[str, Any]:
    return node[0], book.entry(*node)


def _short(options: dict[str, Any] | None) -> dict[str, Any] | None:
    """Options without those that are left to a preset."""
    return None if options is None else {key: value for key, value in options.items() if value is not None}


def _kind(entry: Any) -> str:
    if isinstance(entry, OverlayLabelsEntry):
        return f"{entry.over} over {entry.supervision}"
    kind = getattr(entry, "kind", None)
    return GIVEN.get(kind, kind) if kind else "pseudo-masks"


def _init(book: Book, node: Node) -> str:
    entry = book.import_weights[node[1]]
    if entry.architecture == "random":
        return f"{node[1]}: random"
    where = "the published weights" if entry.download else entry.file
    return f"{node[1]}: {entry.official or entry.architecture}, {where}"


def _proposals(book: Book, node: Node) -> dict[str, str]:
    """Which masks, and what their proposer has learned from: "masks", "images" or "nothing"."""
    entry = book.import_proposals[node[1]]
    seen = entry.seen or trait(PROPOSERS[entry.proposer], "seen")
    return {"name": node[1], "proposer": entry.proposer, "seen": seen}


def _seeds(book: Book, nodes: list[Node]) -> list[int]:
    return [book.train[name].seed for verb, name in nodes if verb == "train"]


def _training(book: Book, node: Node) -> dict[str, Any]:
    entry = book.train[node[1]]
    made = book.producer("supervision", entry.supervision)
    return {
        "name": node[1],
        "method": " + ".join([entry.method, *entry.add_ons]),
        "labels": _kind(made[1]) if made else entry.supervision,
        "init": entry.init,
        "seed": entry.seed,
        "precision": entry.precision,
        **{key: entry.model[key] for key in ("backbone", "head") if key in entry.model},
    }


def _stage(book: Book, node: Node, record: Record, runs: Mapping[str, RecordedStage]) -> dict[str, Any]:
    verb, name = node
    path = _path(book, node) / "metrics.json" if verb == "evaluate" else _path(book, node)
    stage = f"{verb}@{name}"
    return {
        "stage": stage,
        "output": path.as_posix(),
        "md5": record.md5(path),
        "mlflow": run_of(runs, stage),
        "seconds": seconds_of(stage, runs),
    }
