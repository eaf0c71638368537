"""A folder that looks as if the toy book had run: the metrics of every evaluation, and their dvc.lock."""

from __future__ import annotations

import hashlib
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from pipeline.book.artifacts import VERBS, artifact, code_fingerprint
from pipeline.book.fingerprints import fingerprint
from pipeline.book.lineage import Node, artefact_name, entry_inputs
from pipeline.book.options import components
from pipeline.book.params import Book, load_book
from pipeline.tracking.log import dvc_md5

ROOT = Path(__file__).parents[2]
MIOU = {"cam": 60.677, "pseudo_masks": 79.248, "segmenter_val": 75.489, "full_val": 84.922}


def toy_content() -> dict[str, Any]:
    """The root book, as YAML has it, but for its boxes; all its evaluations are wanted."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["evaluate_boxes"] = {}
    content["book"]["targets"] = []
    return content


def metrics(of: str, miou: float) -> dict[str, Any]:
    """What an evaluation writes."""
    kind = of.partition("/")[0]
    found = {"kind": kind, "of": of, "split": "val" if kind == "masks" else "train", "images": 8, "miou": miou}
    found |= {"pixel_accuracy": 88.0, "boundary_f": 30.04}
    swept = {"best_threshold": 0.53, "miou_best": miou, "miou_fixed": 44.1, "fixed_threshold": 0.25}
    return found | swept if kind == "cams" else found


def write_book(folder: Path, content: dict[str, Any]) -> Book:
    """Write params.yaml; the working folder must be ``folder``."""
    (folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return load_book()


def write_results(book: Book, miou: dict[str, float] | None = None) -> None:
    """Write metrics.json of the given evaluations, or of all."""
    for name, value in (miou or MIOU).items():
        path = artifact(book.book.work, "evaluations", name) / "metrics.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(metrics(book.evaluate[name].of, value)))


def write_lock(book: Book, content: dict[str, Any]) -> dict[str, Any]:
    """Write the dvc.lock that DVC would have after ``dvc repro``; every output has a made-up hash."""
    stages = {f"{verb}@{name}": _stage(book, (verb, name), content) for verb in VERBS for name in content.get(verb, {})}
    lock = {"schema": "2.0", "stages": deepcopy(stages)}
    Path("dvc.lock").write_text(yaml.safe_dump(lock))
    return lock


def _stage(book: Book, node: Node, content: dict[str, Any]) -> dict[str, Any]:
    verb, name = node
    work = book.book.work
    code = (fingerprint(verb, components(book, verb, name)) + "\n").encode()
    deps = [
        {"path": f"{work}/{artefact_name(below)}", "md5": _md5(below)} for below in entry_inputs(book, *node).values()
    ]
    deps.append({"path": code_fingerprint(work, verb, name).as_posix(), "md5": hashlib.md5(code).hexdigest()})
    out = {"path": f"{work}/{artefact_name(node)}", "md5": _md5(node)}
    scores = artifact(work, "evaluations", name) / "metrics.json"
    if verb == "evaluate":
        out = {"path": scores.as_posix(), "md5": dvc_md5(scores) if scores.is_file() else "0"}
    return {"cmd": "", "deps": deps, "params": {"params.yaml": {f"{verb}.{name}": content[verb][name]}}, "outs": [out]}


def _md5(node: Node) -> str:
    return f"{artefact_name(node)}.dir"
