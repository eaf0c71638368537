"""Files of which one byte has changed since they were written."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
import yaml

from models.errors import DataError, Weak2MaskError
from models.structures import Proposals, Supervision
from pipeline.datasets.catalogue import Catalogue
from pipeline.datasets.ground_truth import GroundTruth
from pipeline.results.tables.evaluations import read_metrics
from pipeline.results.tables.freshness import Record
from pipeline.storage.checkpoints import Card, read_checkpoint, write_checkpoint
from pipeline.storage.header import Header
from pipeline.storage.proposals import ProposalStore
from pipeline.storage.resume import Resume
from pipeline.storage.stores import CamStore, MaskStore, SupervisionStore
from pipeline.tracking.log import dvc_md5
from tests.helpers import made_book
from tests.reliability.frame import Case, Counts

WORK = Path("work/made")
FLIPS = 40
"""Of a trial, spread over the kinds of artefacts."""


@dataclass(frozen=True)
class Kind:
    """A kind of artefact: where one lies, and all that a reader gets from it, as text."""

    place: Path
    read: Callable[[Path], str]


def trial(number: int) -> Counts:
    """Change a byte of an artefact, read all of it, and put the byte back, many times over."""
    random, kinds, seen = Random(number), _artefacts(), Counter[str]()
    for turn in range(FLIPS):
        name = list(kinds)[turn % len(kinds)]
        kind = kinds[name]
        file = random.choice(sorted(_files(kind.place)))
        whole, good = file.read_bytes(), _good(name)
        place, bit = _place(random, file, whole), 1 << random.randrange(8)
        file.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
        outcome = _outcome(kind, good)
        assert outcome != "undetected", f"{name}: {file}: byte {place} of {len(whole)}, bit {bit}"
        seen[f"{outcome} in {name}"] += 1
        seen["flips"] += 1
        file.write_bytes(whole)
    return seen


def _outcome(kind: Kind, good: str) -> str:
    """What reading a damaged artefact does; nothing but our own errors may come of it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # a resume state that is not read says so
            found = kind.read(kind.place)
    except (Weak2MaskError, UserWarning):
        return "detected"
    return "harmless" if found == good else "undetected"


def _place(random: Random, file: Path, whole: bytes) -> int:
    """Any byte, and as often one of the first hundred, which say what the rest is."""
    return random.randrange(min(100, len(whole)) if random.random() < 0.3 else len(whole))


def _files(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
    yield from (path for path in place.rglob("*") if path.is_file())


@cache
def _good(name: str) -> str:
    kind = _artefacts()[name]
    return kind.read(kind.place)


@cache
def _artefacts() -> dict[str, Kind]:
    """One artefact of each kind below the working folder."""
    catalogue = made_book.make(made_book.book(), stages=("cams/cam", "supervision/pseudo", "masks/net", "evaluate"))
    _write_proposals(catalogue)
    state = {f"layer{k}.weight": torch.randn(4, 3, generator=torch.Generator().manual_seed(k)) for k in range(3)}
    write_checkpoint(WORK / "checkpoints" / "net", state, Card("classifier", {"width": 0.5}, catalogue.class_names))
    resume = Resume(WORK / "state", every_seconds=0)
    resume.on_step(3, lambda: {"done": 3, "model": state, "lr": 0.1})
    metrics = WORK / "evaluations" / "net" / "metrics.json"
    lock = {"stages": {"evaluate@net": {"outs": [{"path": metrics.as_posix(), "md5": dvc_md5(metrics)}]}}}
    Path("dvc.lock").write_text(yaml.safe_dump(lock), encoding="utf-8")
    return {
        "catalogue": Kind(WORK / "catalogues" / "made", _catalogue),
        "ground truth": Kind(WORK / "ground_truth" / "made", _truth),
        "cams": Kind(WORK / "cams" / "cam", lambda place: _store(CamStore(place))),
        "supervision": Kind(WORK / "supervision" / "pseudo", lambda place: _store(SupervisionStore(place))),
        "proposals": Kind(WORK / "proposals" / "regions", lambda place: _store(ProposalStore(place))),
        "masks": Kind(WORK / "masks" / "net", lambda place: _store(MaskStore(place))),
        "checkpoint": Kind(WORK / "checkpoints" / "net", _checkpoint),
        "resume state": Kind(resume.path, lambda place: _text(Resume(place.parent).load())),
        "evaluation": Kind(metrics, _evaluation),
    }


def _write_proposals(catalogue: Catalogue) -> None:
    """Two masks for each training image."""
    ids, (height, width) = catalogue.ids("train"), made_book.SIZE
    head = Header(ids, (made_book.SIZE,) * len(ids), catalogue.class_names, catalogue.digest)
    masks = np.zeros((2, height, width), np.bool_)
    masks[0, 3:20, 5:30], masks[1, 1:-1, 1::2] = True, True
    item = Proposals(masks, np.array([0.25, 1], np.float32))
    writer = ProposalStore.create(WORK / "proposals" / "regions", head)
    for shard in range(writer.count):
        writer.write(shard, [item] * len(writer.shard_ids(shard)))
    writer.finish()


def _catalogue(place: Path) -> str:
    catalogue = Catalogue.load(place)
    return _text([catalogue.content(), *(catalogue.image(id) for id in catalogue.entries)])


def _truth(place: Path) -> str:
    catalogue = Catalogue.load(WORK / "catalogues" / "made")
    truth = GroundTruth(catalogue, place)
    return _text([truth.mask(id) for id in catalogue.entries])


def _store(store: Any) -> str:
    return _text([store.header, [(id, _plain(item)) for id, item in store]])


def _plain(item: Any) -> Any:
    if isinstance(item, Proposals):
        return [item.masks, item.scores]
    if isinstance(item, Supervision):
        return [item.tags, item.seeds, item.boxes, item.box_classes, item.segments]
    return [item.classes, item.scores, item.size, item.instances] if hasattr(item, "scores") else item


def _evaluation(place: Path) -> str:
    record = Record(made_book.book())
    vars(record)["reasons"] = lambda node: ()  # the book's stages have not run: that would be said first
    for change in record.changes("net"):
        raise DataError(change)
    return _text(read_metrics(place))


def _checkpoint(place: Path) -> str:
    card, state = read_checkpoint(place)
    return _text([card, state])


def _text(value: Any) -> str:
    """All of a value, arrays with each of their numbers."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_text(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_text(each) for each in value) + "]"
    if isinstance(value, torch.Tensor | np.ndarray):
        array = np.asarray(value)
        return f"{array.dtype}{array.shape}{array.tobytes().hex()}"
    return repr(value)


CASES = {
    "byte": Case(
        "One bit of a catalogue (and its images), ground truth (and its masks), supervision, CAM store, proposals, "
        "mask store, checkpoint, resume state or evaluation is flipped: reading all of it is refused, or gives what "
        "was written",
        trial,
        quick=2,
        long=250,
    )
}
