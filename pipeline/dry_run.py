"""A dry run: every stage of a book once, on its real networks and crops, with few steps and few images.

It works on a book derived from the real one, in a scratch folder, without DVC: the real book's work folder, cache and
lock are out of its reach.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Literal

import yaml

from models.errors import ConfigurationError
from models.methods import ADD_ONS, METHODS
from pipeline.lineage import Node, ancestors, inputs
from pipeline.params import Book, load_book
from pipeline.signatures import options_model

FOLDER = Path("work/dry_run")
LATE = ("start", "pretrain", "segmentation_start")
"""Options that hold a loss back for some epochs: a dry run is over before, so they become 0."""
TOLD = 12
"""Last lines of a failed stage that are shown."""

State = Literal["ran", "failed", "skipped"]


@dataclass(frozen=True)
class Ran:
    """How one stage went.

    Attributes:
        stage: VERB@NAME.
        seconds: wall time. peak_gib: largest resident memory of one of its processes.
        note: why it was skipped, or the last lines of what a failed one wrote.
    """

    stage: str
    state: State
    seconds: float = 0.0
    peak_gib: float = 0.0
    note: str = ""


@dataclass(frozen=True)
class Limits:
    """What a dry run does at most.

    Attributes:
        steps: optimiser steps of a training; None for the book's.
        images: images of each split; None for all.
        batch: images of a training batch; None for the book's.
        precision: of trainings; None for the book's.
    """

    steps: int | None = None
    images: int | None = None
    batch: int | None = None
    precision: str | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "images", "batch"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigurationError(f"dry run: expected 1 or more {name}, found {value}.")


def targets_of(book: Book, named: Sequence[str], everything: bool) -> list[Node]:
    """The stages to run, each after the ones it stands on.

    Args:
        named: VERB@NAME; none for the book's targets.
        everything: every entry of the book.

    Raises:
        ConfigurationError: a name that is no entry.
    """
    if everything:
        wanted: list[Node] = list(book.entries())
    else:
        pairs = [name.partition("@") for name in named or book.book.targets] or [(v, "@", n) for v, n in book.entries()]
        wanted = [(verb, name) for verb, _, name in pairs if verb != "code"]
        for verb, name in wanted:
            if not hasattr(book, verb):
                raise ConfigurationError(f"No stage '{verb}@{name}'. Expected VERB@NAME, such as evaluate@cam.")
            book.entry(verb, name)
    return list(dict.fromkeys(node for target in wanted for node in ancestors(book, *target)))


def derive(book: Book, limits: Limits) -> tuple[Book, dict[Node, str]]:
    """Write the book of the dry run; it, and the entries that stand in for missing files, each with a sentence.

    Trainings take ``limits.steps`` steps, batches ``limits.batch`` images, and losses that start late start at once.
    Weights that are not there are random ones of the same network. The scratch folder of an earlier dry run is emptied.
    """
    folder = FOLDER / book.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    content = book.model_dump(mode="json", exclude_none=True)
    content["book"] |= {
        "path": folder.as_posix(),
        "params": (folder / "params.yaml").as_posix(),
        "work": (folder / "work").as_posix(),
        "targets": [],
    }
    content["table"] = {}
    for entry in content["prepare"].values():
        if limits.images is not None:
            entry["limit"] = min(limits.images, entry.get("limit", limits.images))
    for entry in content["train"].values():
        _shorten(entry, limits)
    for entry in content["evaluate"].values():
        entry.pop("split", None)  # the first images of one split need not be among those of another
    absent = {}
    for name, entry in content["import_weights"].items():
        there = not entry["download"] and Path(entry["file"]).is_file()
        if not there and entry.get("architecture") != "random":
            reason = "nothing is downloaded" if entry["download"] else f"{entry['file']} is not there"
            absent["import_weights", name] = f"{reason}: random weights"
            entry |= {"download": False} if entry.get("official") else {"download": False, "architecture": "random"}
    (folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return load_book(folder), absent


def run(
    book: Book,
    nodes: Sequence[Node],
    absent: Mapping[Node, str],
    told: Callable[[Ran], None],
) -> list[Ran]:
    """Run the stages of a derived book one after the other; a failure costs only what stands on it.

    Args:
        book: what :func:`derive` wrote.
        nodes: in order.
        absent: what stands in for missing files.
        told: hears of each stage when it is over.
    """
    results: dict[Node, Ran] = {}
    for node in nodes:
        results[node] = _one(book, node, absent.get(node, ""), results)
        told(results[node])
    summary = [asdict(result) for result in results.values()]
    (Path(book.book.path) / "dry_run.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return list(results.values())


def _one(book: Book, node: Node, absent: str, results: Mapping[Node, Ran]) -> Ran:
    stage = "@".join(node)
    lost = [below for below in inputs(book, *node).values() if below in results and results[below].state != "ran"]
    if lost:
        return Ran(stage, "skipped", note=f"needs {'@'.join(lost[0])}")
    if reason := "; ".join(_missing(book, node)):
        return Ran(stage, "skipped", note=reason)
    if absent and book.import_weights[node[1]].official:
        _untrained(book, node[1])
        return Ran(stage, "ran", note=absent)
    log = Path(book.book.path) / "logs" / f"{stage}.log"
    log.parent.mkdir(exist_ok=True)
    start = monotonic()
    command = [sys.executable, "-m", "pipeline", *node, "--book", book.book.path]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env=os.environ | {"WEAK2MASK_TRACKING": "off"}
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    peak = used.ru_maxrss / 2**20  # Linux counts KiB
    if process.returncode:
        said = log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n").splitlines()
        note = "\n".join([line for line in said if line.strip()][-TOLD:]) or f"exit code {process.returncode}"
        return Ran(stage, "failed", monotonic() - start, peak, note)
    return Ran(stage, "ran", monotonic() - start, peak, absent)


def _missing(book: Book, node: Node) -> Iterator[str]:
    """Files of annotations that are not there."""
    verb, name = node
    if verb == "import_annotations" and not Path(book.import_annotations[name].file).exists():
        yield f"{book.import_annotations[name].file} is not there"


def _shorten(entry: dict[str, Any], limits: Limits) -> None:
    settings, loader = entry["settings"], entry["loader"]
    if limits.steps is not None:
        steps = min(limits.steps, settings.get("steps") or limits.steps)
        settings.pop("epochs", None)
        settings |= {"steps": steps, "log_every": 1}
        settings["warmup_steps"] = min(settings.get("warmup_steps", 0), steps - 1)
        _at_once(entry["model"], METHODS[entry["method"]])
        for name, options in entry["add_ons"].items():
            _at_once(options, ADD_ONS[name])
    if limits.batch is not None:
        loader["batch_size"] = min(limits.batch, loader.get("batch_size", limits.batch))
        settings["accumulate"] = 1
    loader["cache"] = False
    if limits.precision is not None:
        entry["precision"] = limits.precision


def _at_once(options: dict[str, Any], target: str) -> None:
    known = options_model(target).model_fields
    options |= {name: 0.0 for name in LATE if name in known}


def _untrained(book: Book, name: str) -> None:
    """A published network with random weights, for the classes of the book's data."""
    from pipeline.artifacts import artifact
    from pipeline.datasets.catalogue import Catalogue
    from pipeline.official.importing import save_official, untrained

    catalogue = next(iter(book.prepare))
    class_names = Catalogue.load(artifact(book.book.work, "catalogues", catalogue)).class_names
    official = book.import_weights[name].official
    assert official is not None
    save_official(artifact(book.book.work, "checkpoints", name), untrained(official, class_names))
